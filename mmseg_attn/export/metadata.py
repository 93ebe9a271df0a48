"""What a file says of itself, for whoever runs it."""

from mmengine.config import Config
from mmseg.models import BaseSegmentor

from mmseg_attn import __version__
from mmseg_attn.common.loading_steps import name_of_step, own_loading, testing_steps

from .preparation import Preparation

JSON = str | int | float | None

def metadata_of(model: BaseSegmentor, name: str, preparation: Preparation, inside: bool, argmax: bool, free: list[str],
                size: tuple[int, int]) -> dict:
    """
    Args:
        model: what was exported.
        name: the config's.
        preparation: what pictures need.
        inside: whether the graph does that itself.
        argmax: whether it gives labels.
        free: the axes of any size, of 'batch', 'height', 'width'.
        size: the height and the width of the others.

    Returns:
        Names to strings and to lists and dictionaries of numbers and strings.
    """
    cfg = model.cfg
    loading = [_described(step) for step in own_loading(testing_steps(cfg))]
    usual = preparation.channels == 3 and not loading
    pixels = 'pixels from 0 to 255' if usual else 'pixels as the config loads them'
    return dict(
        mmseg_attn=__version__, config=name, classes=model.dataset_meta['classes'],
        palette=model.dataset_meta['palette'],
        colours='RGB' if inside and preparation.channels == 3 else preparation.colours,
        input=pixels if inside else f'(pixel - mean) / std, {pixels}', loading=loading,
        mean=[0.0] * preparation.channels if inside else list(preparation.mean),
        std=[1.0] * preparation.channels if inside else list(preparation.std),
        output='labels' if argmax else 'logits',
        sizes={axis: 'any' if axis in free else fixed for axis, fixed in zip(('batch', 'height', 'width'),
                                                                           (None, *size), strict=True)},
        testing={key: cfg.model.test_cfg[key] for key in ('mode', 'crop_size', 'stride') if key in cfg.model.test_cfg},
        padding=_padding(cfg))


def _described(step: dict) -> dict:
    """A step as JSON can hold it."""
    return {key: name_of_step(step) if key == 'type' else value if isinstance(value, JSON) else repr(value)
            for key, value in step.items()}


def _padding(cfg: Config) -> str:
    """To which sides testing pads pictures, right and below and after their preparation."""
    settings = cfg.model.data_preprocessor
    if settings.type.endswith('AlignedSegDataPreProcessor'):
        return f'to {settings.get("test_stride", 8)} n + 1 pixels, with zeros'
    divisor = (settings.get('test_cfg') or {}).get('size_divisor')
    return f'to {divisor} n pixels, with {settings.get("pad_val", 0)}' if divisor else 'none'
