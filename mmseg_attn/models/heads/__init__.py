"""Decode heads, registered as `mmseg_attn.<Name>`."""

from .a2net import A2Head
from .apcnet import APCHead
from .ccnet import CCHead
from .danet import DAHead
from .dgmn import DGMNHead
from .emanet import EMAHead
from .gcu import GCUHead
from .glore import GloReHead
from .isanet import ISAHead
from .non_local import NLHead
from .ocnet import OCHead
from .psanet import PSAHead
from .sgr import SGRHead

__all__ = [
    'A2Head',
    'APCHead',
    'CCHead',
    'DAHead',
    'DGMNHead',
    'EMAHead',
    'GCUHead',
    'GloReHead',
    'ISAHead',
    'NLHead',
    'OCHead',
    'PSAHead',
    'SGRHead',
]
