"""``--fuse-conv-bn`` of testing."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_attn.models.fusing import fuse_conv_bn

from .wrapping import unwrapped


class FuseConvBNHook(Hook):
    """Folds BN into convolutions when the weights are loaded.

    Raises:
        UserError: the model would predict something else.
    """

    def before_test(self, runner: Runner) -> None:
        cfg = runner.cfg.copy()
        cfg.model = cfg.model.get('module') or cfg.model
        count = fuse_conv_bn(unwrapped(runner.model).eval(), cfg)
        runner.logger.info(f'{count} BN are folded into the convolutions before them')
