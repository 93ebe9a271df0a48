"""Message passing of DGMN: every pixel sums bilinear samples of a map at positions of its own, each with its weight.

    out[b, c, p] = sum_k weights[b, g(c), k, p] bilinear(x[b, c], positions[b, k, :, p])

The map is read with channels last, so that each of the four corners of a sample is one dense vector of channels; a
program has PIXELS x CHANNELS sums of one group, and no sample is ever stored. Per output value and tap that is four
loads, which neighbouring pixels mostly find in the cache, and four multiplications. Sums are float32.

Shapes: B batch, C channels, G groups of channels, K taps, H and W of the map; g(c) is the group of channel c.
"""

# ruff: noqa: N803  constants of a kernel in capitals, as everywhere in Triton
import torch
import triton
import triton.language as tl
from torch import Tensor

from .launching import LAUNCH_OPTIONS, SIDES, on_device_of

NUM_WARPS = 4
# Of a program, 16 for each of its threads. Compiled for compute capability 9.0 none is spilled. Not timed.
ACCUMULATORS = 2048


def message_passing_forward(x: Tensor, positions: Tensor, weights: Tensor) -> Tensor:
    """The sum above. A sample is zero as far as it lies outside the map, like `grid_sample`'s with zero padding.

    Args:
        x: (B, C, H, W) of float16, bfloat16 or float32. Faster with channels last in memory.
        positions: (B, K, 2, H, W), row and column in pixels.
        weights: (B, G, K, H, W).

    Returns:
        (B, C, H, W) in the dtype of ``x``, contiguous.
    """
    batch, channels, height, width = x.shape
    num_groups, num_taps = weights.shape[1:3]
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    if not out.numel():
        return out
    x, positions, weights = _channels_last(x), positions.contiguous(), weights.contiguous()
    group_width = channels // num_groups
    block = _channel_block(group_width)
    pixels = ACCUMULATORS // block
    grid = triton.cdiv(height * width, pixels), num_groups * triton.cdiv(group_width, block), batch
    with on_device_of(x):
        _forward_kernel[grid](x, positions, weights, out, group_width, height, width, num_groups, num_taps,
                              PIXELS=pixels, CHANNELS=block, num_warps=NUM_WARPS, **LAUNCH_OPTIONS)
    return out


def message_passing_backward(grad: Tensor, x: Tensor, positions: Tensor,
                             weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, positions and weights, contiguous and in their dtypes, from that of the result.

    That of x is summed by atomic additions in float32, in no fixed order: it is not deterministic. The other two are.
    Where a position is an integer, the gradient of positions is that towards greater ones.
    """
    batch, channels, height, width = x.shape
    num_groups, num_taps = weights.shape[1:3]
    # Channels last.
    grad_x = x.new_zeros(batch, height, width, channels, dtype=torch.float32)
    grad_positions, grad_weights = (torch.zeros_like(t, memory_format=torch.contiguous_format)
                                    for t in (positions, weights))
    if grad.numel() and num_taps:
        dense = _channels_last(grad), _channels_last(x), positions.contiguous(), weights.contiguous()
        group_width = channels // num_groups
        sizes = group_width, height, width, num_groups, num_taps
        block = _channel_block(group_width)
        with on_device_of(x):
            pixels = ACCUMULATORS // block
            grid = triton.cdiv(height * width, pixels), num_groups * triton.cdiv(group_width, block), batch
            _input_backward_kernel[grid](dense[0], *dense[2:], grad_x, *sizes,
                                         PIXELS=pixels, CHANNELS=block, num_warps=NUM_WARPS, **LAUNCH_OPTIONS)
            # Four sums instead of one, and registers for half as many.
            pixels = ACCUMULATORS // 2 // block
            _taps_backward_kernel[triton.cdiv(height * width, pixels), num_taps, batch](
                *dense, grad_positions, grad_weights, *sizes,
                PIXELS=pixels, CHANNELS=block, num_warps=NUM_WARPS, **LAUNCH_OPTIONS)
    grad_x = grad_x.permute(0, 3, 1, 2).to(x.dtype, memory_format=torch.contiguous_format)
    return grad_x, grad_positions, grad_weights


def _channels_last(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W, C), dense; no copy if x is channels last already."""
    return x.permute(0, 2, 3, 1).contiguous()


def _channel_block(channels: int) -> int:
    # 64 floats are two cache lines, and the position of a pixel is worked out once for all of them.
    return min(triton.next_power_of_2(channels), 64)


@triton.jit
def _sample(positions, place, inside, size, height, width):
    """Row and column of the upper left corner of a sample, and how far it lies below and right of it."""
    row = tl.load(positions + place, mask=inside, other=0.0).to(tl.float32)
    column = tl.load(positions + place + size, mask=inside, other=0.0).to(tl.float32)
    # Further out is as good as -2, and float to int is undefined for what no int can hold.
    row = tl.minimum(tl.maximum(row, -2.0), height + 1.0)
    column = tl.minimum(tl.maximum(column, -2.0), width + 1.0)
    top, left = tl.floor(row), tl.floor(column)
    return top.to(tl.int32), left.to(tl.int32), row - top, column - left


@triton.jit
def _corner(top, left, inside, height, width, DOWN: tl.constexpr, RIGHT: tl.constexpr):
    """Index of the pixel at a corner of the sample, and whether there is one."""
    row, column = top + DOWN, left + RIGHT
    inside = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return row * width + column, inside


@triton.jit
def _share(down, right, DOWN: tl.constexpr, RIGHT: tl.constexpr):
    """Of a corner in the sample."""
    return (down if DOWN else 1 - down) * (right if RIGHT else 1 - right)


# Stores several pixels of a thread at once where the width is known to be a multiple of 16.
@triton.jit(do_not_specialize=['height'])
def _forward_kernel(x, positions, weights, out, group_width, height, width, num_groups, num_taps,
                    PIXELS: tl.constexpr, CHANNELS: tl.constexpr):
    size = tl.cast(height, tl.int64) * width
    image = tl.program_id(2).to(tl.int64)
    channels = group_width * num_groups
    blocks = tl.cdiv(group_width, CHANNELS)
    group = tl.program_id(1) // blocks
    channel = tl.program_id(1) % blocks * CHANNELS + tl.arange(0, CHANNELS)
    exists = (channel < group_width)[None, :]
    channel += group * group_width
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    inside = pixel < height * width
    x += image * channels * size + channel[None, :]
    positions += image * num_taps * 2 * size
    weights += (image * num_groups + group) * num_taps * size

    acc = tl.zeros((PIXELS, CHANNELS), tl.float32)
    for tap in range(num_taps):
        top, left, down, right = _sample(positions, tap * 2 * size + pixel, inside, size, height, width)
        weight = tl.load(weights + tap * size + pixel, mask=inside, other=0.0).to(tl.float32)
        for corner in tl.static_range(4):
            place, there = _corner(top, left, inside, height, width, corner // 2, corner % 2)
            values = tl.load(x + place.to(tl.int64)[:, None] * channels, mask=there[:, None] & exists, other=0.0)
            share = weight * _share(down, right, corner // 2, corner % 2)
            acc += share[:, None] * values.to(tl.float32)
    tl.store(out + (image * channels + channel[None, :]) * size + pixel[:, None], acc.to(out.dtype.element_ty),
             mask=inside[:, None] & exists)


@triton.jit(do_not_specialize=SIDES)
def _input_backward_kernel(grad, positions, weights, out, group_width, height, width, num_groups, num_taps,
                           PIXELS: tl.constexpr, CHANNELS: tl.constexpr):
    """Every pixel adds its gradient to the corners of its samples."""
    size = tl.cast(height, tl.int64) * width
    image = tl.program_id(2).to(tl.int64)
    channels = group_width * num_groups
    blocks = tl.cdiv(group_width, CHANNELS)
    group = tl.program_id(1) // blocks
    channel = tl.program_id(1) % blocks * CHANNELS + tl.arange(0, CHANNELS)
    exists = (channel < group_width)[None, :]
    channel += group * group_width
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    inside = pixel < height * width
    out += image * channels * size + channel[None, :]
    positions += image * num_taps * 2 * size
    weights += (image * num_groups + group) * num_taps * size

    grads = tl.load(grad + (image * size + pixel)[:, None] * channels + channel[None, :],
                    mask=inside[:, None] & exists, other=0.0).to(tl.float32)
    for tap in range(num_taps):
        top, left, down, right = _sample(positions, tap * 2 * size + pixel, inside, size, height, width)
        weight = tl.load(weights + tap * size + pixel, mask=inside, other=0.0).to(tl.float32)
        for corner in tl.static_range(4):
            place, there = _corner(top, left, inside, height, width, corner // 2, corner % 2)
            share = weight * _share(down, right, corner // 2, corner % 2)
            tl.atomic_add(out + place.to(tl.int64)[:, None] * channels, share[:, None] * grads,
                          mask=there[:, None] & exists, sem='relaxed')


@triton.jit
def _corner_products(grads, x, top, left, inside, exists, channels, height, width,
                     DOWN: tl.constexpr, RIGHT: tl.constexpr):
    place, there = _corner(top, left, inside, height, width, DOWN, RIGHT)
    values = tl.load(x + place.to(tl.int64)[:, None] * channels, mask=there[:, None] & exists, other=0.0)
    return grads * values.to(tl.float32)


@triton.jit(do_not_specialize=SIDES)
def _taps_backward_kernel(grad, x, positions, weights, grad_positions, grad_weights,
                          group_width, height, width, num_groups, num_taps,
                          PIXELS: tl.constexpr, CHANNELS: tl.constexpr):
    """Positions and weights of one tap, from the products over the channels of the gradient with each corner."""
    size = tl.cast(height, tl.int64) * width
    image = tl.program_id(2).to(tl.int64)
    tap = tl.program_id(1)
    channels = group_width * num_groups
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    inside = pixel < height * width
    grad += (image * size + pixel)[:, None] * channels
    x += image * channels * size
    place = (image * num_taps + tap) * 2 * size + pixel
    top, left, down, right = _sample(positions, place, inside, size, height, width)

    grad_row = tl.zeros((PIXELS,), tl.float32)
    grad_column = tl.zeros((PIXELS,), tl.float32)
    for group in range(num_groups):
        upper_left = tl.zeros((PIXELS, CHANNELS), tl.float32)
        upper_right = tl.zeros((PIXELS, CHANNELS), tl.float32)
        lower_left = tl.zeros((PIXELS, CHANNELS), tl.float32)
        lower_right = tl.zeros((PIXELS, CHANNELS), tl.float32)
        for begin in range(0, group_width, CHANNELS):
            channel = (begin + tl.arange(0, CHANNELS))[None, :]
            exists = channel < group_width
            channel += group * group_width
            grads = tl.load(grad + channel, mask=inside[:, None] & exists, other=0.0).to(tl.float32)
            corners = x + channel
            upper_left += _corner_products(grads, corners, top, left, inside, exists, channels, height, width, 0, 0)
            upper_right += _corner_products(grads, corners, top, left, inside, exists, channels, height, width, 0, 1)
            lower_left += _corner_products(grads, corners, top, left, inside, exists, channels, height, width, 1, 0)
            lower_right += _corner_products(grads, corners, top, left, inside, exists, channels, height, width, 1, 1)
        upper_left, upper_right = tl.sum(upper_left, 1), tl.sum(upper_right, 1)
        lower_left, lower_right = tl.sum(lower_left, 1), tl.sum(lower_right, 1)
        place_weight = ((image * num_groups + group) * num_taps + tap) * size + pixel
        weight = tl.load(weights + place_weight, mask=inside, other=0.0).to(tl.float32)
        upper = upper_left + right * (upper_right - upper_left)
        lower = lower_left + right * (lower_right - lower_left)
        grad_weight = upper + down * (lower - upper)
        tl.store(grad_weights + place_weight, grad_weight.to(grad_weights.dtype.element_ty), mask=inside)
        grad_row += weight * (lower - upper)
        grad_column += weight * ((1 - down) * (upper_right - upper_left) + down * (lower_right - lower_left))
    tl.store(grad_positions + place, grad_row.to(grad_positions.dtype.element_ty), mask=inside)
    tl.store(grad_positions + place + size, grad_column.to(grad_positions.dtype.element_ty), mask=inside)
