"""Run-length encodings of masks."""

import numpy as np

from mmseg_attn.common.errors import UserError

from .content import Box, Runs

# Of COCO's compressed counts: five bits of a number in each character, the lowest first.
FIRST, BITS, MORE, SIGN = 48, 5, 0x20, 0x10
MOST_CHARACTERS = 7  # of one number, which then is below 2^34


def runs_of(counts: list[int], box: Box, down: bool, where: str) -> Runs:
    """Run lengths that fit their box.

    Raises:
        UserError: they are no whole numbers from 0, or together not the pixels of the box.
    """
    width, height = box[2:]
    pixels = width * height
    whole = all(isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= pixels for count in counts)
    if not whole or sum(counts) != pixels:
        total = f'their sum is {sum(counts):,}' if whole else f'some are no whole numbers from 0 to {pixels:,}'
        raise UserError(f'{where}: the run lengths do not fit a mask of {width} x {height} pixels: {total}')
    return Runs(np.array(counts, np.int64), box, down)


def decompress(text: str, where: str) -> list[int]:
    """The run lengths in a text of COCO's tools.

    A number is written as its difference to the last but one before it, from the fourth number on.

    Raises:
        UserError: it is no such text.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - FIRST
        if not 0 <= bits < 2 * MORE or shift >= BITS * MOST_CHARACTERS:
            raise UserError(f'{where}: the compressed run lengths are damaged at {character!r}')
        value |= (bits & MORE - 1) << shift
        shift += BITS
        if not bits & MORE:
            if bits & SIGN:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    if shift:
        raise UserError(f'{where}: the compressed run lengths end within a number')
    return counts
