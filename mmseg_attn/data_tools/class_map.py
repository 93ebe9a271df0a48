"""What training makes of the raw values of a label map."""

from dataclasses import dataclass

import numpy as np

VOID = 255  # what mmseg itself writes where a class is left out


@dataclass(frozen=True)
class ClassMap:
    """Raw value -> class, as mmseg's LoadAnnotations computes it, and what the head makes of the rest.

    Attributes:
        classes: names.
        palette: colours, (red, green, blue) each.
        ignore_index: of the decode head: pixels of this value are not trained on.
        reduce_zero_label: whether 0 is left out and all others are one less.
        label_map: old class -> new class, where the config takes only some of the classes.
        is_own: whether the values are those that steps of the user's own give, of any number of bits.
    """
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    ignore_index: int | None
    reduce_zero_label: bool = False
    label_map: dict[int, int] | None = None
    is_own: bool = False

    @property
    def table(self) -> np.ndarray:
        """The value in training for each of the 256 values of a label map, uint8."""
        table = np.arange(256)
        if self.reduce_zero_label:
            table = np.where(np.isin(table, (0, VOID)), VOID, table - 1)
        if self.label_map:
            table = np.array([self.label_map.get(value, value) for value in table.tolist()])
        return table.astype(np.uint8)

    def trained_as(self, raw: int) -> int:
        """The value in training; of a raw value beyond 8 bits, mmseg takes the lowest 8."""
        return raw if self.is_own else int(self.table[raw % 256])

    def is_class(self, raw: int) -> bool:
        return raw >= 0 and (raw < 256 or self.is_own) and self.trained_as(raw) < len(self.classes)

    def is_ignored(self, raw: int) -> bool:
        # Of a raw value beyond 8 bits, the lowest 8 may be ignored, but training refuses all of it.
        return (self.is_own or 0 <= raw < 256) and self.trained_as(raw) == self.ignore_index
