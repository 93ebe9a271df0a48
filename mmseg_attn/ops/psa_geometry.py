"""Which part of the mask of point-wise spatial attention decides between a few rows of pixels and all pixels.

Shapes: H x W pixels, N = H W, R rows of targets, D channels, a mask of C visible columns.
"""

from collections.abc import Sequence

from torch import Tensor


class Geometry:
    """Logits between rows of pixels, the targets, and all pixels, the sources, and their gradients.

    A target at column t sees a source at column s through column s - t of the mask (collect) or t - s (distribute). So
    a product with all 2 W - 1 columns of some rows of the mask holds what is needed, and a change of strides finds it.
    So it is with the rows: of the H + R - 1 rows of the mask that R rows of targets reach, each target sees H. With
    `distribute` the rows of the sources are flipped: then for both, the next row of sources is seen through the next
    row of the mask.

    Args:
        size: (H, W).
        mask_size: of the mask; empty for absolute positions.
        collect: True for `collect`, False for `distribute`.
    """

    def __init__(self, size: Sequence[int], mask_size: Sequence[int], collect: bool):
        self.height, self.width = size
        self.collect = collect
        self.relative = bool(mask_size)
        self.mask_size = tuple(mask_size) or (self.height, self.width)
        # Of the mask, what reaches into a map of this size.
        self.visible_rows = self.visible_columns = slice(None)
        if self.relative:
            self.visible_rows, self.centre_row = _reach(mask_size[0], self.height)
            self.visible_columns, centre_column = _reach(mask_size[1], self.width)
            self.num_rows = self.visible_rows.stop - self.visible_rows.start
            self.num_columns = self.visible_columns.stop - self.visible_columns.start
            first_column = self.width - 1 - centre_column
            # Where they lie among the 2 W - 1.
            self.columns = slice(first_column, first_column + self.num_columns)

    def visible(self, mask: Tensor) -> Tensor:
        """A view of the mask (M, D) as (rows, columns, D)."""
        return mask.unflatten(0, self.mask_size)[self.visible_rows, self.visible_columns]

    def sources(self, x: Tensor) -> Tensor:
        """(H, W, ...) in the order of the sources; its own inverse."""
        return x if self.collect or not self.relative else x.flip(0)

    def logits(self, features: Tensor, mask: Tensor, rows: slice) -> Tensor:
        """(R W, N) of the targets in some rows for all sources.

        Args:
            features: (H, W, D) in the order of the sources.
            mask: (rows, columns, D), what is visible of it.
            rows: of the targets.
        """
        if not self.relative:
            targets, others = (features, mask) if self.collect else (mask, features)
            return targets[rows].flatten(0, 1) @ others.flatten(0, 1).T
        spread = self._spread(features, rows)
        reached, seen = self._reached(rows), self._seen(spread, rows)
        if self.collect:
            seen.copy_((features[rows].flatten(0, 1) @ mask[reached].flatten(0, 1).T).view_as(seen))
        else:
            sources = self._seeing(rows)
            seen.copy_((features[sources] @ self._windows(mask, rows).mT).view_as(seen))
        return self._skewed(spread, rows).flatten(2).flatten(0, 1)

    def add_gradients(self, grad_logits: Tensor, features: Tensor, mask: Tensor, rows: slice, grad_features: Tensor,
                      grad_mask: Tensor) -> None:
        """Adds what the gradient (R W, N) of :meth:`logits` gives to those of ``features`` and ``mask``."""
        if not self.relative:
            pairs = (features, grad_features), (mask, grad_mask)
            (targets, grad_targets), (others, grad_others) = pairs if self.collect else pairs[::-1]
            grad_targets[rows] += (grad_logits @ others.flatten(0, 1)).view_as(targets[rows])
            grad_others += (grad_logits.T @ targets[rows].flatten(0, 1)).view_as(others)
            return
        spread = self._spread(features, rows)
        self._skewed(spread, rows).copy_(grad_logits.view(-1, self.width, self.height, self.width))
        reached, seen = self._reached(rows), self._seen(spread, rows)
        if self.collect:
            seen, targets = seen.flatten(2).flatten(0, 1), features[rows]
            grad_features[rows] += (seen @ mask[reached].flatten(0, 1)).view_as(targets)
            grad_mask[reached] += (seen.T @ targets.flatten(0, 1)).view_as(mask[reached])
            return
        sources = self._seeing(rows)
        grad_features[sources] += seen.flatten(2) @ self._windows(mask, rows)
        first = self._first_row(rows)
        for row in range(rows.stop - rows.start):
            # Of this row of targets: the sources that see it, each through the next row of the mask.
            begin = max(sources.start, -(first + row))
            end = min(sources.stop, self.num_rows - (first + row))
            if begin < end:
                part = seen[begin - sources.start:end - sources.start, :, row]
                grad_mask[first + row + begin:first + row + end] += part.mT @ features[begin:end]

    def visible_pairs(self) -> int:
        """Pairs of a pixel and a position of the mask that reaches into the map from some pixel of its row."""
        if not self.relative:
            return (self.height * self.width)**2
        rows = sum(_length(self._reached(slice(row, row + 1))) for row in range(self.height))
        return rows * self.width * self.num_columns

    def _first_row(self, rows: slice) -> int:
        """Of the visible mask, the row of the first source for the first target (collect: the last)."""
        return self.centre_row - (rows.stop - 1) if self.collect else self.centre_row + rows.start - (self.height - 1)

    def _reached(self, rows: slice) -> slice:
        """Rows of the visible mask that the targets reach."""
        first = self._first_row(rows)
        count = self.height + rows.stop - rows.start - 1
        return slice(max(first, 0), max(min(first + count, self.num_rows), 0))

    def _seeing(self, rows: slice) -> slice:
        """Of `distribute`, the sources that see a target."""
        first, count = self._first_row(rows), rows.stop - rows.start
        begin = max(-(first + count - 1), 0)
        return slice(begin, max(min(self.num_rows - first, self.height), begin))

    def _windows(self, mask: Tensor, rows: slice) -> Tensor:
        """Of `distribute`, (sources, R C, D): the rows of the mask through which each source sees the targets."""
        count, sources = rows.stop - rows.start, self._seeing(rows)
        first = self._first_row(rows) + sources.start
        padded = mask.new_zeros(_length(sources) + count - 1, *mask.shape[1:])
        begin, end = max(first, 0), min(first + len(padded), self.num_rows)
        padded[begin - first:end - first] = mask[begin:end]
        row = padded.stride(0)
        return padded.as_strided((_length(sources), count * padded.shape[1], padded.shape[2]), (row, mask.shape[2], 1))

    def _spread(self, like: Tensor, rows: slice) -> Tensor:
        """Zeros, (R, W, H + R - 1, 2 W - 1) of targets and mask, or with `distribute` (H, W, R, 2 W - 1) of sources and
        mask."""
        count = rows.stop - rows.start
        size = (count, self.width, self.height + count - 1) if self.collect else (self.height, self.width, count)
        return like.new_zeros(*size, 2 * self.width - 1)

    def _seen(self, spread: Tensor, rows: slice) -> Tensor:
        """What of :meth:`_spread` is not zero by the mask's size."""
        if not self.collect:
            return spread[self._seeing(rows), :, :, self.columns]
        first, reached = self._first_row(rows), self._reached(rows)
        return spread[:, :, reached.start - first:reached.stop - first, self.columns]

    def _skewed(self, spread: Tensor, rows: slice) -> Tensor:
        """View (R, W, H, W): target row and column, source row and column."""
        count, (outer, pixel, row, column) = rows.stop - rows.start, spread.stride()
        strides = (outer - row, pixel - column, row, column) if self.collect else (row, column, outer, pixel - column)
        offset = (count - 1) * row if self.collect else 0
        return spread.as_strided((count, self.width, self.height, self.width), strides, offset + self.width - 1)


def _reach(mask_side: int, side: int) -> tuple[slice, int]:
    """Along one side, what of the mask reaches into the map, and where the relative position 0 lies in it."""
    centre = (mask_side - 1) // 2
    visible = slice(max(centre - side + 1, 0), min(centre + side, mask_side))
    return visible, centre - visible.start


def _length(part: slice) -> int:
    return part.stop - part.start


def row_blocks(height: int, rows: int) -> list[slice]:
    """All rows, so many at a time."""
    return [slice(row, min(row + rows, height)) for row in range(0, height, rows)]
