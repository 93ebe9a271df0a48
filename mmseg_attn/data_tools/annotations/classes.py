"""From labels to the numbers in a label map."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from mmseg_attn.common.errors import UserError

from .content import Annotations
from .drawing import IGNORED
from .fields import read_text, shown

BACKGROUND = 'background'


@dataclass(frozen=True)
class Numbering:
    """What stands for what in the label maps.

    Attributes:
        classes: their names; the number of one is its place.
        numbers: label of a shape -> number of its class, or 255.
        fill: the number of pixels in no shape.
        notes: which labels are ignored.
    """
    classes: tuple[str, ...]
    numbers: dict[str, int]
    fill: int
    notes: tuple[str, ...]


def read_classes(given: list[str] | None) -> list[str] | None:
    """Names as they were given, or the lines of the one file that was.

    Raises:
        UserError: none, or one of them twice.
    """
    if given is None:
        return None
    names = given
    if len(given) == 1 and Path(given[0]).is_file():
        names = read_text(Path(given[0])).splitlines()
    names = [name.strip() for name in names if name.strip()]
    twice = {name for name in names if names.count(name) > 1}
    if twice or not names:
        raise UserError(f'--classes names {shown(min(twice))} twice' if twice else '--classes names no class')
    return names


def number_classes(annotations: Annotations, given: list[str] | None, ignored: list[str], ignore_unknown: bool,
                   background: bool) -> Numbering:
    """
    Args:
        annotations: all shapes, and the labels that are the classes if none are given.
        given: the classes in their order.
        ignored: labels whose pixels become 255.
        ignore_unknown: do the same with all labels that are no classes.
        background: whether pixels in no shape are of a class, which is number 0, and not 255.

    Raises:
        UserError: a label that is no class, less than two classes, or more than 255.
    """
    classes = list(annotations.labels if given is None else given)
    both = sorted(set(given or ()) & set(ignored))
    if both:
        raise UserError(f'--ignored {shown(both[0])} is among --classes too')
    classes = [name for name in classes if name not in ignored]
    if background:
        if given and BACKGROUND in given[1:]:
            raise UserError(f'--classes names {BACKGROUND} at number {given.index(BACKGROUND)}, and pixels in no shape '
                            'are number 0: name it first, or choose --no-background')
        classes = [BACKGROUND, *(name for name in classes if name != BACKGROUND)]
    if not 2 <= len(classes) <= IGNORED:
        raise UserError(f'there are {len(classes)} classes ({", ".join(classes[:5])}), and training takes from 2 to '
                        f'{IGNORED}')
    numbers = {name: number for number, name in enumerate(classes)} | dict.fromkeys(ignored, IGNORED)
    unknown: dict[str, int] = {}
    for image in annotations.images:
        for shape in image.shapes:
            if shape.label not in numbers:
                if not ignore_unknown:
                    raise UserError(_unknown(shape.label, shape.where, classes))
                unknown[shape.label] = unknown.get(shape.label, 0) + 1
    notes = tuple(f'shapes with the unknown label {shown(label)}, ignored (255): {count:,}'
                  for label, count in unknown.items())
    fill = 0 if background else IGNORED
    return Numbering(tuple(classes), numbers | dict.fromkeys(unknown, IGNORED), fill, notes)


def _unknown(label: str, where: str, classes: list[str]) -> str:
    close = difflib.get_close_matches(label, classes, n=1)
    hint = f' Did you mean {close[0]}?' if close else ''
    more = f' and {len(classes) - 20} more' if len(classes) > 20 else ''
    return (f'{where}: {shown(label)} is none of the classes {", ".join(classes[:20])}{more}.{hint}\n  Correct it, add '
            'it to --classes, or ignore its pixels: --ignored LABEL for this one, --ignore-unknown for all')
