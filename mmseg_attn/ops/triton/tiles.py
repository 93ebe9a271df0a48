"""Sizes of the tiles of the attention kernels, and which of them a GPU takes.

Numbers in, numbers out: no Triton, and tested without a GPU.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch


class Tiles(NamedTuple):
    """Rows of the accumulator, rows of the other side in a step of the loop, and the widths D and E up to which a
    matrix is loaded as a whole (in the forward and for values, E up to which it is not split over programs)."""

    rows: int
    step: int
    d: int
    e: int
    num_warps: int
    num_stages: int


# By bytes of a number, best first. Chosen for many rows, since every block of them reads all of the other side from the
# L2 cache, and for few spilled registers when Triton 3.9 compiles them for compute capabilities 8.0, 8.6 and 9.0. Not
# timed on a GPU.
FORWARD = {
    2: (Tiles(128, 64, 256, 256, 8, 3), Tiles(128, 64, 256, 256, 8, 2), Tiles(128, 32, 256, 256, 8, 2),
        Tiles(64, 32, 256, 256, 4, 2), Tiles(32, 32, 128, 128, 4, 2), Tiles(16, 32, 128, 128, 4, 2)),
    4: (Tiles(64, 32, 64, 128, 4, 2), Tiles(64, 16, 64, 128, 4, 2), Tiles(32, 16, 64, 64, 4, 2),
        Tiles(16, 16, 64, 64, 4, 2)),
}
LOGITS_BACKWARD = {
    2: (Tiles(128, 32, 256, 512, 8, 2), Tiles(64, 64, 256, 512, 8, 2), Tiles(64, 32, 256, 512, 8, 2),
        Tiles(64, 32, 256, 256, 4, 2), Tiles(32, 32, 256, 256, 4, 2), Tiles(16, 32, 128, 128, 4, 2)),
    4: (Tiles(128, 32, 64, 32, 8, 2), Tiles(64, 32, 64, 32, 4, 2), Tiles(32, 16, 32, 32, 4, 2),
        Tiles(16, 16, 32, 32, 4, 2)),
}
# What a wider matrix is cut into, and the width of the accumulator up to which it is not split over programs.
PIECE = {2: 128, 4: 32}
WIDEST = {2: 256, 4: 128}

# With fewer rows, four warps cannot all have rows of their own in an instruction of the tensor cores.
FEWEST_FULL_ROWS = 64


class Limits(NamedTuple):
    """Of a device: shared memory of a program in bytes, multiprocessors, and the first number of the compute
    capability. ``None`` where they do not matter or are not known."""

    shared_memory: int | None = None
    multiprocessors: int | None = None
    major: int | None = None


@functools.cache
def limits_of(device: torch.device) -> Limits:
    if device.type != 'cuda' or torch.version.hip:
        return Limits()
    properties = torch.cuda.get_device_properties(device)
    # A release of PyTorch that does not tell says nothing about what fits.
    return Limits(getattr(properties, 'shared_memory_per_block_optin', None), properties.multi_processor_count,
                  properties.major)


class Product(NamedTuple):
    """Rows times columns, summed over ``width``, of which ``block`` are loaded at a time."""

    width: int
    block: int


class Shape(NamedTuple):
    """What a kernel multiplies: the products that make the logits, and the columns of its accumulator, ``block_out`` of
    ``out`` in one program."""

    products: tuple[Product, ...]
    out: int
    block_out: int


def forward_shape(tiles: Tiles, d: int, e: int, itemsize: int) -> Shape:
    """Of the forward, and of the backward of the values."""
    return Shape((_product(d, tiles.d, itemsize),), e, min(power_of_two(e), tiles.e))


def logits_shape(tiles: Tiles, d: int, e: int, itemsize: int) -> Shape:
    """Of the backward of queries and keys."""
    products = _product(d, tiles.d, itemsize), _product(e, tiles.e, itemsize)
    return Shape(products, d, min(power_of_two(d), WIDEST[itemsize]))


@functools.lru_cache(4096)
def candidates(table: tuple[Tiles, ...], shape_of: Callable[[Tiles, int, int, int], Shape], num_rows: int,
               num_matrices: int, d: int, e: int, itemsize: int, limits: Limits) -> tuple[Tiles, ...]:
    """The tiles of ``table`` to try, best first.

    Args:
        shape_of: :func:`forward_shape` or :func:`logits_shape`.
        num_rows: of each of ``num_matrices`` matrices.
    """
    shapes = {tiles: shape_of(tiles, d, e, itemsize) for tiles in table}
    # The rows of a small map, 129 say, would leave most of the last 128 empty.
    most = 1.5 * 16 * _cdiv(num_rows, 16)
    few_empty = [tiles for tiles in table if tiles.rows * _cdiv(num_rows, tiles.rows) <= most]
    # Others would be compiled, which takes seconds, to be thrown away.
    fitting = [tiles for tiles in few_empty if _fits(tiles, shapes[tiles], itemsize, limits)] or few_empty[-1:]
    if limits.multiprocessors is None:
        return tuple(fitting)
    best = _of_small_grid(fitting, shapes, num_rows, num_matrices, limits.multiprocessors)
    return tuple(fitting[fitting.index(best):])


def _of_small_grid(fitting: list[Tiles], shapes: dict[Tiles, Shape], num_rows: int, num_matrices: int,
                   multiprocessors: int) -> Tiles:
    """The first, or one of fewer rows where its programs would leave many multiprocessors idle."""
    def programs(tiles: Tiles) -> int:
        shape = shapes[tiles]
        return num_matrices * _cdiv(num_rows, tiles.rows) * _cdiv(shape.out, shape.block_out)

    first = fitting[0]
    if programs(first) >= 2 * multiprocessors:
        return first
    smaller = [tiles for tiles in fitting[1:] if tiles.rows >= FEWEST_FULL_ROWS]
    # What takes the time are the rows of the multiprocessor that has most. Not timed on a GPU.
    return min([first, *smaller], key=lambda tiles: _cdiv(programs(tiles), multiprocessors) * tiles.rows)


def _fits(tiles: Tiles, shape: Shape, itemsize: int, limits: Limits) -> bool:
    need = shared_memory(tiles, shape, itemsize, limits.major)
    return need is None or limits.shared_memory is None or need <= limits.shared_memory


def shared_memory(tiles: Tiles, shape: Shape, itemsize: int, major: int | None) -> int | None:
    """Bytes of shared memory that a kernel needs, seldom more; None where nothing is known.

    From what Triton 3.9 allocates for compute capabilities 8, 9 and 12; test_shared_memory.py compares.
    """
    if major not in (8, 9, 12):
        return None
    # Instructions of compute capability 9 that read both factors from shared memory while the next are on their way.
    asynchronous = major == 9 and tiles.rows >= 64
    buffers = tiles.num_stages if asynchronous else tiles.num_stages - 1
    # Float32 is multiplied as the sum of two smaller numbers, which are kept of the rows and of the logits.
    parts = 2 if itemsize == 4 else 1
    logits = parts * tiles.rows * tiles.step
    # A loop over two pieces is unrolled, and both are held.
    held = [power_of_two(width) if width <= 2 * block else block for width, block in shape.products]
    looped = [block for width, block in shape.products if width > 2 * block]
    numbers = parts * tiles.rows * sum(held)
    if looped:
        pieces = max(buffers * (tiles.rows + tiles.step) * block + asynchronous * tiles.step * block
                     for block in looped)
        columns = tiles.step * max(*held, shape.block_out)
        both = asynchronous or itemsize == 2
        numbers += max(pieces, columns + logits if both else max(columns, logits))
    else:
        numbers += buffers * tiles.step * (sum(held) + shape.block_out)
        if itemsize == 2:
            numbers += 0 if asynchronous else logits
        elif len(shape.products) == 1 or all(width > block for width, block in shape.products):
            numbers += logits
    # lse and delta of a step are float32.
    loop = itemsize * numbers + 2 * 4 * tiles.step * (tiles.num_stages - 1)
    # On its way out the accumulator is put in the order of memory.
    return max(loop, itemsize * tiles.rows * shape.block_out)


def power_of_two(width: int) -> int:
    # 16 is the least that tensor cores multiply.
    return max(1 << (width - 1).bit_length(), 16)


def _product(width: int, largest: int, itemsize: int) -> Product:
    block = power_of_two(width)
    return Product(width, block if block <= largest else min(largest, PIECE[itemsize]))


def _cdiv(a: int, b: int) -> int:
    return -(-a // b)
