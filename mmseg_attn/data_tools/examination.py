"""Puts together what the files of a data set hold."""

from dataclasses import dataclass, field

from mmengine.config import Config

from .cityscapes import TRAIN_IDS
from .config_data import ConfigData
from .findings import Finding, Level, count
from .label_check import check_channels, check_values
from .pairs import (
    BANDS_FIRST,
    BROKEN_IMAGE,
    BROKEN_LABEL,
    DEEP,
    FRACTIONS,
    MISSING_IMAGE,
    MISSING_LABEL,
    OTHER_IMAGE,
    OTHER_LABEL,
    OTHER_SIZE,
    PAGES,
    REFUSED,
    THIN,
    UNLOADED_IMAGE,
    PairContent,
)

MOSTLY = 0.95

PROBLEMS = {
    MISSING_IMAGE: ('image', 'missing', 'The list of the data set names it: copy the image, or take it off the list'),
    BROKEN_IMAGE: ('image', 'unreadable', 'Copy or unpack again'),
    UNLOADED_IMAGE: ('image', 'unreadable', 'Copy or unpack them again if they are damaged; otherwise the steps of '
                     '{where}.pipeline that load them do not fit them'),
    OTHER_IMAGE: ('image', 'of another kind than the pipeline loads',
                  'docs/your_own_data.md#images-of-other-kinds has the loading step for each kind'),
    BANDS_FIRST: ('image', 'the bands lie first, and must be the last axis',
                  'Save the files anew, or move the axis by a transform of your own behind the loading'),
    MISSING_LABEL: ('label map', 'missing', 'A label map has the name of its image and the suffix {suffix}: rename it, '
                    'make it, or set {where}.seg_map_suffix'),
    BROKEN_LABEL: ('label map', 'unreadable', 'Copy or unpack again'),
    OTHER_LABEL: ('label map', 'of another kind than the pipeline loads',
                  'Save 8-bit PNGs of class numbers, or load them by a transform of your own'),
    OTHER_SIZE: ('label map', 'not of the size of the image',
                 'A label map has one value for each pixel; resize it with nearest neighbour only'),
    THIN: ('label map', 'a side of 1 pixel, which mmseg cannot read', 'Leave the images out'),
    REFUSED: ('label map', 'training refuses what the steps of {where}.pipeline make of it',
              'See what each of them says; the steps are those of the config, and so are their settings'),
    FRACTIONS: ('label map', 'fractions', 'A label map holds class numbers: save them as 8-bit PNG'),
}

# What is lost of images that can be read.
LOSSES = {
    DEEP: ('image', '16 bits, of which this loading keeps the upper 8',
           'Values become 0 to 255, and those of 12 bits 0 to 15: color_type=\'unchanged\' of LoadImageFromFile keeps '
           'them, with mean and std in their units (docs/your_own_data.md#images-of-other-kinds)'),
    PAGES: ('image', 'several pages, of which the first alone is read',
            'Save a file for each; where the pages are bands, one page with the bands in the last axis'),
}


@dataclass
class Histogram:
    """How often each class occurs in the label maps of a split.

    Attributes:
        classes: names.
        pixels: of each class.
        images: that hold the class.
        ignored: pixels that are not trained on.
        other: pixels of no class.
    """
    classes: tuple[str, ...]
    pixels: list[int] = field(init=False)
    images: list[int] = field(init=False)
    ignored: int = 0
    other: int = 0

    def __post_init__(self):
        self.pixels = [0] * len(self.classes)
        self.images = [0] * len(self.classes)

    def add(self, data: ConfigData, content: PairContent) -> None:
        seen = set()
        for value, number in content.values.items():
            if data.class_map.is_class(value):
                index = data.class_map.trained_as(value)
                self.pixels[index] += number
                seen.add(index)
            elif data.class_map.is_ignored(value):
                self.ignored += number
            else:
                self.other += number
        for index in seen:
            self.images[index] += 1

    @property
    def total(self) -> int:
        return sum(self.pixels) + self.ignored + self.other


def check_files(data: ConfigData, contents: list[PairContent]) -> list[Finding]:
    """What is wrong with the files of one data set."""
    findings = []
    for kind, (what, title, advice) in PROBLEMS.items():
        files = [f'{problem.path}: {problem.detail}' for content in contents for problem in content.problems
                 if problem.kind == kind]
        if kind == MISSING_LABEL and data.seg_map_suffix == TRAIN_IDS:
            advice = 'mmseg-attn prepare_data cityscapes makes the train ids'
        if files:
            findings.append(Finding(Level.ERROR, f'{count(files, what)}: {title.format(where=data.where)}', files,
                                    advice.format(where=data.where, suffix=data.seg_map_suffix)))
    for kind, (what, title, advice) in LOSSES.items():
        files = [f'{loss.path}: {loss.detail}' for content in contents for loss in content.losses if loss.kind == kind]
        if files:
            findings.append(Finding(Level.WARNING, f'{count(files, what)}: {title}', files, advice))
    return [*findings, *check_channels(data, contents), *check_values(data, contents)]


def check_classes(split: str, histogram: Histogram) -> list[Finding]:
    """Whether there is something to learn in a split."""
    present = [name for name, pixels in zip(histogram.classes, histogram.pixels, strict=True) if pixels]
    missing = [name for name, pixels in zip(histogram.classes, histogram.pixels, strict=True) if not pixels]
    if not histogram.total:
        return []
    findings = []
    if len(present) < 2:
        only = f'only {present[0]}' if present else 'no class at all'
        findings.append(Finding(
            Level.ERROR if split == 'train' else Level.WARNING, f'{only} occurs in {split}',
            advice='There must be pixels of two classes; look at the values of the label maps'))
    elif missing:
        findings.append(Finding(
            Level.WARNING, f'{len(missing)} of {len(histogram.classes)} classes never occur in {split}: '
            f'{", ".join(missing)}',
            advice='They cannot be learnt' if split == 'train' else 'Their IoU will be nan or 0'))
    if histogram.ignored > MOSTLY * histogram.total:
        share = histogram.ignored / histogram.total
        findings.append(Finding(Level.WARNING, f'{share:.1%} of the pixels in {split} are ignored',
                                advice='See whether the label maps mean by it what the config does'))
    return findings


def check_batches(cfg: Config, data: ConfigData, contents: list[PairContent]) -> list[Finding]:
    """Images of several sizes where testing takes several at once."""
    batch = (cfg.get(f'{data.split}_dataloader') or {}).get('batch_size') or 1
    sizes = {content.size for content in contents if content.size}
    if data.split == 'train' or batch == 1 or len(sizes) < 2 or data.is_resized:
        return []
    return [Finding(Level.ERROR, f'{data.split}_dataloader.batch_size={batch}, and the images have {len(sizes)} sizes',
                    advice=f'Images of a batch must have one size in testing: {data.split}_dataloader.batch_size=1')]


def check_overlap(data: list[ConfigData]) -> list[Finding]:
    """Images that are trained on and evaluated."""
    trained = {pair.image for one in data if one.split == 'train' for pair in one.pairs}
    findings = []
    for split in ('val', 'test'):
        both = sorted(trained & {pair.image for one in data if one.split == split for pair in one.pairs})
        if both:
            findings.append(Finding(Level.WARNING, f'{count(both, "image")} of {split} are in train as well', both,
                                    'The evaluation says little about other images'))
    return findings
