"""Decode heads, registered as `mmseg_attn.<Name>`."""

from .a2net import A2Head
from .apcnet import APCHead
from .ccnet import CCHead
from .cgnl import CGNLHead
from .danet import DAHead
from .dgmn import DGMNHead
from .emanet import EMAHead
from .gcu import GCUHead
from .glore import GloReHead
from .isanet import ISAHead
from .latentgnn import LatentGNNHead
from .lrnet import LRHead
from .non_local import NLHead
from .ocnet import OCHead
from .psanet import PSAHead
from .sasa import SASAHead
from .sgr import SGRHead

__all__ = [
    'A2Head',
    'APCHead',
    'CCHead',
    'CGNLHead',
    'DAHead',
    'DGMNHead',
    'EMAHead',
    'GCUHead',
    'GloReHead',
    'ISAHead',
    'LRHead',
    'LatentGNNHead',
    'NLHead',
    'OCHead',
    'PSAHead',
    'SASAHead',
    'SGRHead',
]
