"""``--fuse-conv-bn`` of testing."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmseg_attn.models.fusing import fuse_conv_bn


class FuseConvBNHook(Hook):
    """Folds BN into convolutions when the weights are loaded.

    Raises:
        UserError: the model would predict something else.
    """

    def before_test(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model, cfg = getattr(model, 'module', model), runner.cfg.copy()  # test-time augmentation wraps once more
        cfg.model = cfg.model.get('module') or cfg.model
        count = fuse_conv_bn(model.eval(), cfg)
        runner.logger.info(f'{count} BN are folded into the convolutions before them')
