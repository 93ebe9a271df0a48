"""From a config and a checkpoint to a model that can be looked into."""

from pathlib import Path

from mmseg.apis import init_model
from mmseg.models import BaseSegmentor
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import nn

from mmseg_attn.common.classes import classes_of
from mmseg_attn.common.config import load_config, without_timm_weights
from mmseg_attn.common.config_checks import check_config
from mmseg_attn.common.errors import UserError

from .fit import OTHER_WEIGHTS, check_weights, without_counters
from .reading import read_checkpoint


def load_model(config: str | Path, checkpoint: str | Path, device: str = 'cpu', options: dict | None = None
               ) -> BaseSegmentor:
    """Builds the model of a config with the weights of a checkpoint, in evaluation mode.

    The file is read without running code from it, and every weight must fit. The auxiliary head is left out.

    Args:
        config: a config of mmseg or of this package.
        checkpoint: what mmengine saved, or a bare dictionary of weights.
        device: where the model works.
        options: settings of the config to change, as 'key.sub_key' -> value.

    Raises:
        UserError: a file is missing or damaged, or the weights are not those of the config's model.
    """
    cfg = load_config(str(config), options)
    check_config(cfg)
    read = read_checkpoint(checkpoint)
    cfg.load_from = str(checkpoint)
    cfg.model.auxiliary_head = None
    without_timm_weights(cfg.model)
    try:
        model = init_model(cfg, device='cpu')
    except (TypeError, ValueError, AssertionError, KeyError) as error:
        raise UserError(f'{config}: the model cannot be built: {error}') from error
    if not hasattr(model, 'encode_decode'):
        raise UserError(f'{config}: model.type={cfg.model.type!r} has no decode head on features of a backbone')
    weights = {name: value for name, value in read.state_dict.items() if not name.startswith('auxiliary_head.')}
    check_weights(weights, model.state_dict(), f'{checkpoint} with {config}', OTHER_WEIGHTS)
    model.load_state_dict(without_counters(weights), strict=False)
    meta = read.meta.get('dataset_meta') or dict(classes=read.meta.get('CLASSES'), palette=read.meta.get('PALETTE'))
    model.dataset_meta = classes_of(cfg, max(head_of(model).num_classes, 2), meta)
    return model.to(device).requires_grad_(False)


def head_of(model: BaseSegmentor) -> BaseDecodeHead:
    """The head that makes the prediction: the last one of a cascade."""
    head = model.decode_head
    return head[-1] if isinstance(head, nn.ModuleList) else head
