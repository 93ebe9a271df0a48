"""CARAFE, the operation of mmseg_attn.ops.carafe: every output pixel is the sum, weighted by its mask, of k x k input
pixels.

A thread owns an input pixel and the s x s output pixels around it, which read the same k x k inputs: an input that was
loaded once serves s x s sums, a mask as many sums as there are channels in the tile. That is what counts, since at k=5
an output costs 50 operations, and without sharing 25 loads. Sums are float32. No atomics: the results are deterministic.

Shapes: B batch, C channels, G groups of channels, k width of the kernels, s scale factor, H and W of the input.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launching import OPTIONS, on_device_of

# Input pixels of a program, one for each of its threads.
PIXELS = 128
# Sums that a thread keeps in registers.
SUMS = 64


def carafe_forward(x: Tensor, masks: Tensor, kernel_size: int, groups: int, scale_factor: int) -> Tensor:
    """Args and result are those of :func:`mmseg_attn.ops.carafe`, unchecked; float16, bfloat16 or float32.

    The result is contiguous.
    """
    x, masks = x.contiguous(), masks.contiguous()
    (batch, channels, height, width), scale = x.shape, scale_factor
    out = x.new_empty(batch, channels, scale * height, scale * width)
    if not out.numel():
        return out
    columns = triton.next_power_of_2(scale)
    rows = max(min(columns, 16 // columns), 1)
    block = max(min(SUMS // (rows * columns), triton.next_power_of_2(channels // groups)), 1)
    row_blocks = triton.cdiv(scale, rows)
    grid = (triton.cdiv(height * width, PIXELS), triton.cdiv(channels // groups, block) * row_blocks, batch * groups)
    with on_device_of(x):
        _forward_kernel[grid](
            x, masks, out, channels // groups, height, width, row_blocks, K=kernel_size, S=scale,
            ROWS=rows, COLUMNS=columns, CHANNELS=block, PIXELS=PIXELS, num_warps=PIXELS // 32, **OPTIONS)
    return out


def carafe_backward(grad: Tensor, x: Tensor, masks: Tensor, kernel_size: int, groups: int,
                    scale_factor: int) -> tuple[Tensor, Tensor]:
    """Gradients of x and masks, contiguous and in their dtypes, from that of the result."""
    grad, x, masks = grad.contiguous(), x.contiguous(), masks.contiguous()
    (batch, channels, height, width), scale = x.shape, scale_factor
    grad_x, grad_masks = torch.empty_like(x), torch.empty_like(masks)
    if not grad.numel():
        return grad_x.zero_(), grad_masks.zero_()
    sizes = channels // groups, height, width
    pixel_blocks = triton.cdiv(height * width, PIXELS)
    columns = triton.next_power_of_2(scale)
    with on_device_of(x):
        block = max(min(SUMS // 2 // columns, triton.next_power_of_2(channels // groups)), 1)
        _input_backward_kernel[pixel_blocks, triton.cdiv(channels // groups, block), batch * groups](
            grad, masks, grad_x, *sizes, K=kernel_size, S=scale,
            COLUMNS=columns, CHANNELS=block, PIXELS=PIXELS, num_warps=PIXELS // 32, **OPTIONS)
        rows = max(min(columns, 4 // columns), 1)
        taps = max(min(SUMS // 2 // (rows * columns), triton.next_power_of_2(kernel_size**2)), 1)
        row_blocks = triton.cdiv(scale, rows)
        _masks_backward_kernel[pixel_blocks, triton.cdiv(kernel_size**2, taps) * row_blocks, batch * groups](
            grad, x, grad_masks, *sizes, row_blocks, K=kernel_size, S=scale,
            ROWS=rows, COLUMNS=columns, TAPS=taps, PIXELS=PIXELS, num_warps=PIXELS // 32, **OPTIONS)
    return grad_x, grad_masks


@triton.jit
def _forward_kernel(x, masks, out, channels, height, width, row_blocks, K: tl.constexpr, S: tl.constexpr,
                    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, PIXELS: tl.constexpr):
    """Axes: rows of the s x s outputs, channels, input pixels, columns of the s x s outputs."""
    group = tl.program_id(2).to(tl.int64)
    row_out = (tl.program_id(1) % row_blocks * ROWS + tl.arange(0, ROWS))[:, None, None, None]
    channel = (tl.program_id(1) // row_blocks * CHANNELS + tl.arange(0, CHANNELS))[None, :, None, None]
    pixel = (tl.program_id(0) * PIXELS + tl.arange(0, PIXELS))[None, None, :, None]
    column_out = tl.arange(0, COLUMNS)[None, None, None, :]
    row, column = pixel // width, pixel % width
    exists = (pixel < height * width) & (row_out < S) & (column_out < S)
    size = tl.cast(height, tl.int64) * width
    place_out = (S * row + row_out).to(tl.int64) * (S * width) + S * column + column_out
    x += (group * channels + channel) * size + pixel
    masks += group * (K * K * S * S) * size + place_out
    out += (group * channels + channel) * (S * S) * size + place_out

    acc = tl.zeros((ROWS, CHANNELS, PIXELS, COLUMNS), tl.float32)
    for tap in range(K * K):
        down, right = tap // K - K // 2, tap % K - K // 2
        inside = (row + down >= 0) & (row + down < height) & (column + right >= 0) & (column + right < width)
        inputs = tl.load(x + (down * width + right), mask=inside & (channel < channels), other=0.0)
        weights = tl.load(masks + tap * (S * S) * size, mask=exists, other=0.0)
        acc += weights.to(tl.float32) * inputs.to(tl.float32)
    tl.store(out, acc.to(out.dtype.element_ty), mask=exists & (channel < channels))


@triton.jit
def _input_backward_kernel(grad, masks, out, channels, height, width, K: tl.constexpr, S: tl.constexpr,
                           COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, PIXELS: tl.constexpr):
    """Every input pixel gathers from the outputs that read it. Axes: channels, input pixels, columns of the s x s
    outputs, which are loaded together."""
    group = tl.program_id(2).to(tl.int64)
    channel = (tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS))[:, None, None]
    pixel = (tl.program_id(0) * PIXELS + tl.arange(0, PIXELS))[None, :, None]
    column_out = tl.arange(0, COLUMNS)[None, None, :]
    row, column = pixel // width, pixel % width
    size = tl.cast(height, tl.int64) * width
    place_out = (S * row).to(tl.int64) * (S * width) + S * column + column_out
    grad += (group * channels + channel) * (S * S) * size + place_out
    masks += group * (K * K * S * S) * size + place_out

    acc = tl.zeros((CHANNELS, PIXELS, COLUMNS), tl.float32)
    for tap in range(K * K):
        # The pixel that sees this one through the tap lies on the other side.
        down, right = K // 2 - tap // K, K // 2 - tap % K
        inside = (row + down >= 0) & (row + down < height) & (column + right >= 0) & (column + right < width)
        inside = inside & (column_out < S)
        for row_out in tl.static_range(S):
            shift = (down * S + row_out) * S * width + right * S
            weights = tl.load(masks + shift + tap * (S * S) * size, mask=inside, other=0.0)
            grads = tl.load(grad + shift, mask=inside & (channel < channels), other=0.0)
            acc += weights.to(tl.float32) * grads.to(tl.float32)
    channel = (tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS))[:, None]
    pixel = (tl.program_id(0) * PIXELS + tl.arange(0, PIXELS))[None, :]
    tl.store(out + (group * channels + channel) * size + pixel, tl.sum(acc, 2).to(out.dtype.element_ty),
             mask=(channel < channels) & (pixel < height * width))


@triton.jit
def _masks_backward_kernel(grad, x, out, channels, height, width, row_blocks, K: tl.constexpr, S: tl.constexpr,
                           ROWS: tl.constexpr, COLUMNS: tl.constexpr, TAPS: tl.constexpr, PIXELS: tl.constexpr):
    """Axes: taps, rows of the s x s outputs, input pixels, columns of the s x s outputs."""
    group = tl.program_id(2).to(tl.int64)
    row_out = (tl.program_id(1) % row_blocks * ROWS + tl.arange(0, ROWS))[None, :, None, None]
    tap = (tl.program_id(1) // row_blocks * TAPS + tl.arange(0, TAPS))[:, None, None, None]
    pixel = (tl.program_id(0) * PIXELS + tl.arange(0, PIXELS))[None, None, :, None]
    column_out = tl.arange(0, COLUMNS)[None, None, None, :]
    row, column = pixel // width, pixel % width
    exists = (pixel < height * width) & (row_out < S) & (column_out < S)
    size = tl.cast(height, tl.int64) * width
    place_out = (S * row + row_out).to(tl.int64) * (S * width) + S * column + column_out
    down, right = tap // K - K // 2, tap % K - K // 2
    inside = (row + down >= 0) & (row + down < height) & (column + right >= 0) & (column + right < width)
    inside = inside & (tap < K * K)
    grad += group * channels * (S * S) * size + place_out
    x += group * channels * size + pixel + down * width + right
    out += (group * (K * K) + tap) * (S * S) * size + place_out

    acc = tl.zeros((TAPS, ROWS, PIXELS, COLUMNS), tl.float32)
    for channel in range(channels):
        grads = tl.load(grad + channel * (S * S) * size, mask=exists, other=0.0)
        inputs = tl.load(x + channel * size, mask=inside, other=0.0)
        acc += grads.to(tl.float32) * inputs.to(tl.float32)
    tl.store(out, acc.to(out.dtype.element_ty), mask=exists & (tap < K * K))
