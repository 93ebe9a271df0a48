"""Our registries, children of mmseg's: `type='mmseg_attn.EMAHead'` works from any mmseg config.

Only imports that cannot fail silently belong here: mmengine imports this file by the scope's name and hides an
ImportError of it, whereas it shows one of the ``locations``.
"""

from mmseg_attn.environment import require_openmmlab

require_openmmlab()

from mmengine.registry import Registry  # noqa: E402
from mmseg.registry import DATASETS as MMSEG_DATASETS  # noqa: E402
from mmseg.registry import HOOKS as MMSEG_HOOKS  # noqa: E402
from mmseg.registry import METRICS as MMSEG_METRICS  # noqa: E402
from mmseg.registry import MODELS as MMSEG_MODELS  # noqa: E402
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMSEG_OPTIM_WRAPPER_CONSTRUCTORS  # noqa: E402
from mmseg.registry import OPTIM_WRAPPERS as MMSEG_OPTIM_WRAPPERS  # noqa: E402
from mmseg.registry import TRANSFORMS as MMSEG_TRANSFORMS  # noqa: E402

MODELS = Registry('model', parent=MMSEG_MODELS, scope='mmseg_attn',
                  locations=['mmseg_attn.models'])
DATASETS = Registry('dataset', parent=MMSEG_DATASETS, scope='mmseg_attn', locations=['mmseg_attn.datasets'])
TRANSFORMS = Registry('transform', parent=MMSEG_TRANSFORMS, scope='mmseg_attn', locations=['mmseg_attn.datasets'])
HOOKS = Registry('hook', parent=MMSEG_HOOKS, scope='mmseg_attn', locations=[
    'mmseg_attn.engine.hooks', 'mmseg_attn.engine.label_hook', 'mmseg_attn.engine.visualization_hook'])
OPTIM_WRAPPERS = Registry('optim_wrapper', parent=MMSEG_OPTIM_WRAPPERS, scope='mmseg_attn',
                          locations=['mmseg_attn.engine.amp'])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optim_wrapper constructor', parent=MMSEG_OPTIM_WRAPPER_CONSTRUCTORS, scope='mmseg_attn',
    locations=['mmseg_attn.engine.flat_decay'])
METRICS = Registry('metric', parent=MMSEG_METRICS, scope='mmseg_attn', locations=['mmseg_attn.datasets'])
