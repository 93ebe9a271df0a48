"""Explains label maps that do not say which pixel is which class."""

from collections.abc import Callable
from dataclasses import dataclass

from .config_data import ConfigData
from .findings import Finding, Level, count
from .pairs import CHANNELS, PairContent

# More values than any slip of numbering makes; a resized or lossy label map has them.
MANY = 20
CITYSCAPES_CLASSES, CITYSCAPES_IDS = ('road', 'sidewalk'), 34  # the first two, by which it is known
SHOWN = 8
EIGHT_BITS = ('L', 'P', '1')  # Pillow's modes


@dataclass(frozen=True)
class LabelFault:
    """One way in which label maps go wrong.

    Attributes:
        applies: whether to this file, whose values ``bad`` are neither classes nor ignored.
        title: what is in them. It and ``advice`` may name {classes}, {last}, {ignored}, {own}, {where}.
        advice: what to do.
    """
    applies: Callable[[set[int], PairContent, ConfigData], bool]
    title: str
    advice: str


# In this order: the first that applies is named.
LABEL_FAULTS = (
    LabelFault(lambda bad, content, data: not data.class_map.is_own and any(not 0 <= value < 256 for value in bad),
               'values beyond 8 bits (0 to 255), which training refuses: mmseg keeps the lowest 8, so 256 would be 0',
               'Save 8-bit PNGs of class numbers, with {ignored} for what is ignored. Ids of instances, such as 26001 '
               'in Cityscapes, are no classes'),
    LabelFault(lambda bad, content, data: content.values.keys() <= {0, 255},
               'masks of 0 and 255, and 255 is no class',
               'Write 1, or the number of the class, instead of 255'),
    LabelFault(lambda bad, content, data: content.lossy,
               'JPEG, whose compression changes values',
               'Make them anew, as PNG: what compression has done to them cannot be undone'),
    LabelFault(lambda bad, content, data: (data.class_map.classes[:2] == CITYSCAPES_CLASSES
                                           and max(content.values) < CITYSCAPES_IDS),
               'ids of Cityscapes (0 to 33) instead of train ids (0 to 18)',
               'mmseg-attn prepare_data cityscapes makes *_gtFine_labelTrainIds.png; {where}.seg_map_suffix names '
               'them'),
    LabelFault(lambda bad, content, data: bad == {data.own_ignore_index},
               'the value {own}, which the data set ignores and the model does not',
               'Set ignore_index={own} in model.decode_head, model.auxiliary_head and the evaluators, and '
               'model.data_preprocessor.seg_pad_val={own}'),
    LabelFault(lambda bad, content, data: bad == {255},
               'the value 255, which is neither a class nor ignored (the model ignores {ignored})',
               'If 255 means unlabelled: set ignore_index=255 in the heads and evaluators, or write {ignored} instead'),
    LabelFault(lambda bad, content, data: bad == {1} and len(data.class_map.classes) == 1,
               'the value 1, and the only class is 0',
               "An object and its background are two classes: metainfo=dict(classes=('background', 'object')), and "
               'num_classes=2 in the heads, or for one output num_classes=2, out_channels=1, threshold=0.5 and '
               'use_sigmoid=True in loss_decode (docs/troubleshooting.md)'),
    LabelFault(lambda bad, content, data: bad == {len(data.class_map.classes)} and not data.class_map.reduce_zero_label,
               'the value {classes}, and the last class is {last}',
               'Classes counted from 1: set {where}.reduce_zero_label=True, if 0 is unlabelled. Otherwise a class is '
               'missing in the config'),
    LabelFault(lambda bad, content, data: len(bad) > MANY,
               'many values that are no classes: greys, or in-between ones of interpolation',
               'A label map holds class numbers, not greys; resize it with nearest neighbour only'),
    LabelFault(lambda bad, content, data: True,
               'values that are neither classes (0 to {last}) nor ignored ({ignored})',
               'Ids of another data set, or more classes than the config has: convert the label maps, or name the '
               'classes'),
)


def bad_values(content: PairContent, data: ConfigData) -> set[int]:
    """The raw values that training would stop at, or take for another class."""
    return {value for value in content.values
            if not data.class_map.is_class(value) and not data.class_map.is_ignored(value)}


def check_values(data: ConfigData, contents: list[PairContent]) -> list[Finding]:
    """What is wrong with the values of the label maps of one data set."""
    names = dict(classes=len(data.class_map.classes), last=len(data.class_map.classes) - 1, own=data.own_ignore_index,
                 ignored=data.class_map.ignore_index, where=data.where)
    files = {fault: [] for fault in LABEL_FAULTS}
    for content in contents:
        bad = bad_values(content, data)
        if bad:
            fault = next(fault for fault in LABEL_FAULTS if fault.applies(bad, content, data))
            files[fault].append(f'{content.pair.label}: {_list(bad)}')
    findings = [Finding(Level.ERROR, f'{count(found, "label map")}: {fault.title.format(**names)}', found,
                        fault.advice.format(**names)) for fault, found in files.items() if found]
    return [*findings, *_check_masks(data, contents), *_check_depth(data, contents), *_check_lossy(data, contents)]


def check_channels(data: ConfigData, contents: list[PairContent]) -> list[Finding]:
    """Label maps that are pictures."""
    palette = set(data.class_map.palette)
    kinds = {
        'several channels, all equal': (
            lambda content: not content.colours, 'Save one channel: Image.fromarray(label[:, :, 0])'),
        "colour masks, in the colours of the data set's palette": (
            lambda content: set(content.colours) <= palette | {(0, 0, 0), (255, 255, 255)},
            'Write the number of the class for each colour; docs/data_preparation.md shows how'),
        'colour masks, or photographs': (
            lambda content: True, 'Write the number of the class for each colour; docs/data_preparation.md shows how'),
    }
    files = {title: [] for title in kinds}
    for content in contents:
        for problem in content.problems:
            if problem.kind == CHANNELS:
                title = next(title for title, (applies, _) in kinds.items() if applies(content))
                files[title].append(f'{problem.path}: {problem.detail}')
    return [Finding(Level.ERROR, f'{count(found, "label map")}: {title}', found, kinds[title][1])
            for title, found in files.items() if found]


def _check_masks(data: ConfigData, contents: list[PairContent]) -> list[Finding]:
    """Masks of 0 and 255 in which 255 is ignored: nothing stops the training, and it learns nothing."""
    if not data.class_map.is_ignored(255) or data.class_map.reduce_zero_label:
        return []
    labelled = [content for content in contents if content.values]
    masks = [content.pair.label for content in labelled if content.values.keys() == {0, 255}]
    if not masks:
        return []
    alone = all(content.values.keys() <= {0, 255} for content in labelled)
    return [Finding(
        Level.ERROR if alone else Level.WARNING,
        f'{count(masks, "label map")}: nothing but 0 and 255, and 255 is ignored', masks,
        'If 255 means the object: write 1, or the number of its class, instead. Otherwise one class is all there is, '
        'and its mIoU 100')]


def _check_depth(data: ConfigData, contents: list[PairContent]) -> list[Finding]:
    """Label maps of more than 8 bits that nevertheless are read right."""
    files = [f'{content.pair.label}: {content.mode}' for content in contents
             if content.values and content.mode not in ('', *EIGHT_BITS) and not bad_values(content, data)]
    return [Finding(Level.WARNING, f'{count(files, "label map")}: more than 8 bits, of which mmseg keeps the lowest 8',
                    files, 'These values survive it; 8-bit PNGs are smaller, and safe')] if files else []


def _check_lossy(data: ConfigData, contents: list[PairContent]) -> list[Finding]:
    files = [content.pair.label for content in contents if content.lossy and not bad_values(content, data)]
    return [Finding(Level.WARNING, f'{count(files, "label map")}: JPEG, whose compression changes values', files,
                    'Make them anew, as PNG')] if files else []


def _list(values: set[int]) -> str:
    shown = ', '.join(map(str, sorted(values)[:SHOWN]))
    return f'{shown}, ... ({len(values)} values)' if len(values) > SHOWN else shown
