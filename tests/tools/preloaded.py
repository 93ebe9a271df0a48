"""What :mod:`.warm` imports before it forks: what the commands need and what does not change."""

import os

os.environ['OMP_NUM_THREADS'] = '1'

from mmseg_attn.environment import replace_missing_operators

replace_missing_operators()

import matplotlib.pyplot  # noqa: E402, F401
import mmengine.runner  # noqa: E402
import mmengine.visualization  # noqa: E402, F401
import mmseg.apis  # noqa: E402
import mmseg.datasets  # noqa: E402
import mmseg.engine  # noqa: E402
import mmseg.evaluation  # noqa: E402
import mmseg.models  # noqa: E402, F401
import rich.progress  # noqa: E402, F401
import torch.export  # noqa: E402, F401
