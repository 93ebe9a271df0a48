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
        notes: which labels are ignored, or are the background.
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
    drawn: list[str] = []
    if background:
        place = next((i for i, name in enumerate(given or ()) if _is_background(name)), 0)
        if place > 0:
            raise UserError(f'--classes names {given[place]} at number {place}, and pixels in no shape are number 0: '
                            'name it first, or choose --no-background')
        drawn = [name for name in annotations.labels if _is_background(name) and name not in ignored]
        called = next(filter(_is_background, (*classes, *drawn)), BACKGROUND)
        classes = [called, *(name for name in classes if not _is_background(name))]
    if not 2 <= len(classes) <= IGNORED:
        raise UserError(f'there are {len(classes)} classes ({", ".join(classes[:5])}), and training takes from 2 to '
                        f'{IGNORED}')
    numbers = {name: number for number, name in enumerate(classes)} | dict.fromkeys(drawn, 0)
    numbers |= dict.fromkeys(ignored, IGNORED)
    unknown: dict[str, int] = {}
    for image in annotations.images:
        for shape in image.shapes:
            if shape.label not in numbers:
                if not ignore_unknown:
                    raise UserError(_unknown(shape.label, shape.where, classes))
                unknown[shape.label] = unknown.get(shape.label, 0) + 1
    notes = [f'{" and ".join(map(shown, drawn))}: the same class as the pixels in no shape, number 0; with '
             '--no-background it is one of its own'] if drawn else []
    notes += [f'shapes with the unknown label {shown(label)}, ignored (255): {count:,}'
              for label, count in unknown.items()]
    fill = 0 if background else IGNORED
    return Numbering(tuple(classes), numbers | dict.fromkeys(unknown, IGNORED), fill, tuple(notes))


def _is_background(name: str) -> bool:
    """However it is spelt: two classes of this name in one data set are a slip of the hand."""
    return name.casefold() == BACKGROUND


def _unknown(label: str, where: str, classes: list[str]) -> str:
    close = difflib.get_close_matches(label, classes, n=1)
    hint = f' Did you mean {close[0]}?' if close else ''
    more = f' and {len(classes) - 20} more' if len(classes) > 20 else ''
    return (f'{where}: {shown(label)} is none of the classes {", ".join(classes[:20])}{more}.{hint}\n  Correct it, add '
            'it to --classes, or ignore its pixels: --ignored LABEL for this one, --ignore-unknown for all')
