"""From a config and a checkpoint to a model that can be looked into."""

import colorsys
from pathlib import Path

import torch
from mmengine.config import Config
from mmseg.apis import init_model
from mmseg.models import BaseSegmentor
from torch import Tensor, nn

from mmseg_attn.checkpoints import read_checkpoint
from mmseg_attn.engine.config import check_config, load_config
from mmseg_attn.engine.errors import UserError


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
    try:
        model = init_model(cfg, device='cpu')
    except (TypeError, ValueError, AssertionError, KeyError) as error:
        raise UserError(f'{config}: the model cannot be built: {error}') from error
    if not hasattr(model, 'encode_decode'):
        raise UserError(f'{config}: model.type={cfg.model.type!r} has no decode head on features of a backbone')
    weights = {name: value for name, value in read.state_dict.items() if not name.startswith('auxiliary_head.')}
    _load(model, weights, f'{checkpoint} with {config}')
    model.dataset_meta = _dataset_meta(cfg, read.meta, head_of(model))
    return model.to(device).requires_grad_(False)


def head_of(model: BaseSegmentor) -> nn.Module:
    """The head that makes the prediction: the last one of a cascade."""
    head = model.decode_head
    return head[-1] if isinstance(head, nn.ModuleList) else head


def _load(model: nn.Module, weights: dict[str, Tensor], what: str) -> None:
    expected = {name: value for name, value in model.state_dict().items() if not name.endswith('num_batches_tracked')}
    weights = {name: value for name, value in weights.items() if not name.endswith('num_batches_tracked')}
    problems = {
        'missing': sorted(expected.keys() - weights.keys()), 'unexpected': sorted(weights.keys() - expected.keys()),
        'of another shape': [f'{name} {tuple(weights[name].shape)} instead of {tuple(expected[name].shape)}'
                             for name in sorted(expected.keys() & weights.keys())
                             if weights[name].shape != expected[name].shape]}
    told = [f'{len(names)} {kind}: {", ".join(names[:3])}{" ..." if len(names) > 3 else ""}'
            for kind, names in problems.items() if names]
    if told:
        raise UserError(f'{what}: the weights are not those of the model.\n  ' + '\n  '.join(told))
    with torch.no_grad():
        model.load_state_dict(weights, strict=False)


def _dataset_meta(cfg: Config, meta: dict, head: nn.Module) -> dict:
    """Names and colours of the classes: the checkpoint's, or those of the config's test data, or made up."""
    known = meta.get('dataset_meta') or {'classes': meta.get('CLASSES'), 'palette': meta.get('PALETTE')}
    if not known.get('classes'):
        known = _of_test_data(cfg)
    count = max(head.num_classes, 2)
    classes = [str(name) for name in known.get('classes') or ()]
    palette = [tuple(int(value) for value in colour) for colour in known.get('palette') or ()]
    classes = classes if len(classes) == count else [f'class {i}' for i in range(count)]
    return dict(classes=classes, palette=palette if len(palette) == count else [_colour(i) for i in range(count)])


def _of_test_data(cfg: Config) -> dict:
    from mmseg_attn.registry import DATASETS
    settings = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    name = settings.get('type')
    dataset = DATASETS.get(name) if isinstance(name, str) else None
    return getattr(dataset, 'METAINFO', {}) | (settings.get('metainfo') or {})


def _colour(index: int) -> tuple[int, int, int]:
    """Colours far from each other for neighbouring numbers: hues a golden section apart."""
    hue = index * 0.618034 % 1
    return tuple(round(255 * value) for value in colorsys.hsv_to_rgb(hue, 0.65, 0.9))
