"""Imports all that this package registers, so that one line is all that a config needs:

    custom_imports = dict(imports=['mmseg_attn.registered'], allow_failed_imports=False)
"""

from mmseg_attn import datasets, models  # noqa: F401
from mmseg_attn.engine import amp, checkpoint_hook, flat_decay, hooks, label_hook, visualization_hook  # noqa: F401
