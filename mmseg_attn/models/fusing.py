"""Convolutions that do the work of the norms after them."""

import torch
from mmcv.cnn import fuse_conv_bn as mmcv_fuse_conv_bn
from mmengine.config import Config
from mmseg.models import BaseSegmentor
from torch import nn

from mmseg_attn.common.config import crop_size, input_channels
from mmseg_attn.common.errors import UserError

# Of the largest logit, in float64: rounding stays far below, another function does not.
TOLERANCE = 1e-6


@torch.no_grad()
def fuse_conv_bn(model: BaseSegmentor, cfg: Config) -> int:
    """Folds every BN that follows a convolution into its weights, by mmcv, and returns how many.

    mmcv goes by the order in which modules were made; whether the network is still the same is tried on an image.

    Args:
        model: in evaluation mode. It is changed, and cannot be trained any more.
        cfg: of the model, for the size and the channels of the image.

    Raises:
        UserError: it is not, for example because its norms come before their convolutions.
    """
    size = crop_size(cfg)
    device = next(model.parameters()).device
    image = torch.randn(1, input_channels(cfg.model), *size, device=device)
    metas = [dict(img_shape=size, ori_shape=size, pad_shape=size)]
    dtype, before = next(model.parameters()).dtype, _num_norms(model)
    # In float32 a deep network differs by more, on a GPU that multiplies in TF32 by much more.
    model.double()
    expected = model.encode_decode(image.double(), metas)
    try:
        mmcv_fuse_conv_bn(model)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(f'--fuse-conv-bn does not work for this model: mmcv takes a norm for that of another '
                        f'convolution, or it has no weights or statistics ({error}). Leave the option out') from error
    difference = (model.encode_decode(image.double(), metas) - expected).abs().max() / expected.abs().max()
    if not difference < TOLERANCE:
        raise UserError(f'--fuse-conv-bn would change what this model predicts, by {difference:.1e} of the largest '
                        'logit: its norms do not all follow their convolutions. Leave the option out')
    model.to(dtype)
    return before - _num_norms(model)


def _num_norms(model: nn.Module) -> int:
    return sum(isinstance(m, (nn.modules.batchnorm._BatchNorm, nn.SyncBatchNorm)) for m in model.modules())
