"""Where validation or testing shows the network something else than training does."""

from collections.abc import Iterator
from statistics import median
from typing import Any

import mmcv
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config

from mmseg_attn.common.loading_steps import class_of_step, is_own, name_of_step, own_loading, reads_labels
from mmseg_attn.datasets.wrappers import inside_of

from .config_data import ConfigData
from .findings import Finding, Level
from .pairs import PairContent

LOADING = dict(color_type='color', imdecode_backend='cv2', to_float32=False)
# They change pixels, always in the same way.
FIXED_STEPS = frozenset({'Normalize', 'RGB2Gray', 'CLAHE', 'AdjustGamma', 'Rerange'})
# What may make an image larger or smaller, or hides what does.
SIZING = 'Resize', 'Scale', 'Mosaic', 'Albu', 'Apply', 'Choice', 'TestTimeAug', 'FlipAug'
# In the names of transforms of the user's own that leave pixels as they are, or change them at random.
HARMLESS = 'Load', 'Pack', 'Pad', 'Random', 'Resize'
MOST_RESIZING = 1.25


def check_splits(cfg: Config, data: list[ConfigData], contents: list[list[PairContent]]) -> list[Finding]:
    """Warnings only: each may be meant. What is random, and how training resizes and crops, is no difference."""
    sides = [_Side(one, of_it, _steps_of_wrappers(cfg[f'{one.split}_dataloader']['dataset']))
             for one, of_it in zip(data, contents, strict=True) if one.pipeline]
    trained = [side for side in sides if side.data.split == 'train']
    findings = []
    for side in sides:
        if side.data.split == 'train' or not trained:
            continue
        for compare in _loading, _zero, _pixels, _size:
            # With several data sets to train on, one that is alike is enough.
            differences = [compare(side, each) for each in trained]
            if all(differences):
                findings.append(Finding(Level.WARNING, *differences[0]))
    return findings


class _Side:
    """One data set, with the steps of its pipeline and of the wrappers around it."""

    def __init__(self, data: ConfigData, contents: list[PairContent], outer: list[dict]):
        self.data = data
        self.where = data.where
        self.sizes = [content.size for content in contents if content.size]
        self.steps = [*data.pipeline, *outer]
        self.nested = list(_nested(self.steps))
        self.names = {name_of_step(step) for step in self.nested}
        self.own = [name_of_step(step) for step in self.steps if is_own(class_of_step(step)) and not reads_labels(step)
                    and not any(word in name_of_step(step) for word in HARMLESS)]

    @property
    def may_resize(self) -> bool:
        return any(_resizes(step) for step in self.nested)


def may_enlarge(pipeline: list[dict]) -> bool:
    """Whether a step of a pipeline resizes or pads images, or is of the user's own and may do so."""
    return any(_resizes(step) or 'Pad' in name_of_step(step) for step in _nested(pipeline))


def _loading(side: _Side, trained: _Side) -> tuple[str, list, str] | None:
    ours, theirs = (_loading_of(each.data.pipeline) for each in (side, trained))
    if ours == theirs or not ours or not theirs:
        return None
    return (f'{side.where} loads images by {_shown(ours, theirs)}, and {trained.where} by {_shown(theirs, ours)}', [],
            'The network is trained on other pixels than it is evaluated on: the same loading steps in both pipelines')


def _loading_of(pipeline: list[dict]) -> list[dict]:
    """Classes of the steps, and the settings of mmcv's; those of the user's own may differ for good reasons."""
    steps = own_loading(pipeline) or [step for step in pipeline if not reads_labels(step)][:1]
    return [dict(type=name_of_step(step), **({key: step.get(key, usual) for key, usual in LOADING.items()}
                                             if class_of_step(step) is LoadImageFromFile else {})) for step in steps]


def _shown(loading: list[dict], other: list[dict]) -> str:
    known = [item for step in other for item in step.items()]
    return ', '.join(f'{step["type"]}({", ".join(f"{k}={v!r}" for k, v in step.items() if (k, v) not in known)})'
                     .replace(f'type={step["type"]!r}', '').replace('(, ', '(').replace('()', '') for step in loading)


def _zero(side: _Side, trained: _Side) -> tuple[str, list, str] | None:
    ours, theirs = (each.data.class_map for each in (side, trained))
    if ours.is_own or theirs.is_own or ours.reduce_zero_label == theirs.reduce_zero_label:
        return None
    return (f'reduce_zero_label is {ours.reduce_zero_label} in {side.where}, and {theirs.reduce_zero_label} in '
            f'{trained.where}', [], 'The numbers of the classes differ by one, unless those in files do: set it alike')


def _pixels(side: _Side, trained: _Side) -> tuple[str, list, str] | None:
    for here, there in (side, trained), (trained, side):
        alone = [name_of_step(step) for step in here.steps if name_of_step(step) in FIXED_STEPS - there.names]
        # In training, one of the user's own may well be an augmentation.
        alone += [name for name in here.own if name not in there.names] if here is side else []
        if alone:
            return (f'{alone[0]} is in the pipeline of {here.where}, and not in that of {there.where}', [],
                    'The network is trained on other pixels than it is evaluated on: the same in both pipelines, if '
                    'it changes the image')
    return None


def _size(side: _Side, trained: _Side) -> tuple[str, list, str] | None:
    for here, there in (side, trained), (trained, side):
        resizing = [step for step in here.nested if name_of_step(step) == 'Resize']
        others = [step for step in here.nested if step not in resizing
                  and _resizes(step)]
        if there.may_resize or others or len(resizing) != 1 or not here.sizes:
            continue
        factors = [_factors(resizing[0], size) for size in here.sizes]
        for factor in (median(axis) for axis in zip(*factors, strict=True)):
            if max(factor, 1 / factor) > MOST_RESIZING:
                return (f'Resize is in the pipeline of {here.where}, where it makes images {factor:.2g} times as '
                        f'large, and no resizing in that of {there.where}', [],
                        'The network is trained on objects of another size than it is evaluated on: resize in both, '
                        'or in none')
    return None


def _factors(step: dict, size: tuple[int, int]) -> tuple[float, float]:
    scale, by = step.get('scale'), step.get('scale_factor')
    if scale is None:
        across, down = by if isinstance(by, list | tuple) else (by or 1, by or 1)
        return across, down
    scale = (scale, scale) if isinstance(scale, int) else tuple(scale)
    width, height = mmcv.rescale_size(size, scale) if step.get('keep_ratio') else scale
    return width / size[0], height / size[1]


def _nested(steps: Any) -> Iterator[dict]:
    """Steps, and those inside of steps such as RandomApply."""
    for step in steps if isinstance(steps, list | tuple) else []:
        if isinstance(step, dict):
            yield step
            yield from _nested(step.get('transforms'))
        else:
            yield from _nested(step)


def _steps_of_wrappers(dataset: dict) -> list[dict]:
    """Of the wrappers around the data sets, such as MultiImageMixDataset."""
    inner = inside_of(dataset, '')
    return [*(dataset.get('pipeline') or [] if inner else []), *(step for _, each in inner
                                                                 for step in _steps_of_wrappers(each))]


def _resizes(step: dict) -> bool:
    return is_own(class_of_step(step)) or any(word in name_of_step(step) for word in SIZING)
