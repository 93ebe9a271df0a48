"""CARAFE on the GPU: what mmseg_attn.ops.carafe defines, every output pixel the weighted sum of k x k input pixels.

A thread owns an input pixel and the s x s output pixels that share its k x k inputs, for several channels, which share
the masks. A number that was loaded then enters s^2 sums (an input) or one for each channel (a mask). Without that, an
output would take 2 k^2 loads for k^2 additions, and loads, not memory, would be the limit. Sums are float32. There are
no atomic operations: the results are deterministic.

Shapes: B batch, C channels, G groups of channels, k width of the kernels, s scale factor, H and W of the input.
"""

# ruff: noqa: N803  constants of a kernel in capitals, as everywhere in Triton
import torch
import triton
import triton.language as tl
from torch import Tensor

from .launching import LAUNCH_OPTIONS, SIDES, on_device_of

# Input pixels of a program: one for each thread, since then no number changes threads.
PIXELS = 128
# Sums of a thread, in registers. For s=2, k=5 none is spilled (compiled for compute capability 9.0). Not timed.
ACCUMULATORS = 64


def carafe_forward(x: Tensor, masks: Tensor, kernel_size: int, groups: int, scale_factor: int) -> Tensor:
    """Arguments and result are those of :func:`mmseg_attn.ops.carafe`, without its checks.

    float16, bfloat16 or float32. The result is contiguous.
    """
    x, masks = x.contiguous(), masks.contiguous()
    batch, channels, height, width = x.shape
    out = x.new_empty(batch, channels, scale_factor * height, scale_factor * width)
    if not out.numel():
        return out
    columns = triton.next_power_of_2(scale_factor)
    rows = max(min(columns, 16 // columns), 1)
    block = max(min(ACCUMULATORS // (rows * columns), triton.next_power_of_2(channels // groups)), 1)
    parts = triton.cdiv(channels // groups, block) * triton.cdiv(scale_factor, rows)
    with on_device_of(x):
        _forward_kernel[parts * triton.cdiv(height * width, PIXELS) * batch * groups,](
            x, masks, out, parts, channels // groups, height, width, K=kernel_size, S=scale_factor,
            ROWS=rows, COLUMNS=columns, CHANNELS=block, PIXELS=PIXELS, num_warps=PIXELS // 32, **LAUNCH_OPTIONS)
    return out


def carafe_backward(grad: Tensor, x: Tensor, masks: Tensor, kernel_size: int, groups: int,
                    scale_factor: int) -> tuple[Tensor, Tensor]:
    """Gradients of x and masks, contiguous and in their dtypes, from that of the result."""
    grad, x, masks = grad.contiguous(), x.contiguous(), masks.contiguous()
    batch, channels, height, width = x.shape
    grad_x, grad_masks = torch.empty_like(x), torch.empty_like(masks)
    if not grad.numel():
        return grad_x.zero_(), grad_masks.zero_()
    sizes = channels // groups, height, width
    programs = triton.cdiv(height * width, PIXELS) * batch * groups
    columns = triton.next_power_of_2(scale_factor)
    with on_device_of(x):
        block = max(min(ACCUMULATORS // 2 // columns, triton.next_power_of_2(channels // groups)), 1)
        parts = triton.cdiv(channels // groups, block)
        _input_backward_kernel[parts * programs,](
            grad, masks, grad_x, parts, *sizes, K=kernel_size, S=scale_factor,
            COLUMNS=columns, CHANNELS=block, PIXELS=PIXELS, num_warps=PIXELS // 32, **LAUNCH_OPTIONS)
        rows = max(min(columns, 4 // columns), 1)
        block = max(min(ACCUMULATORS // 2 // (rows * columns), triton.next_power_of_2(kernel_size**2)), 1)
        parts = triton.cdiv(kernel_size**2, block) * triton.cdiv(scale_factor, rows)
        _masks_backward_kernel[parts * programs,](
            grad, x, grad_masks, parts, *sizes, K=kernel_size, S=scale_factor,
            ROWS=rows, COLUMNS=columns, TAPS=block, PIXELS=PIXELS, num_warps=PIXELS // 32, **LAUNCH_OPTIONS)
    return grad_x, grad_masks


@triton.jit
def _share_of_work(parts, height, width, PIXELS: tl.constexpr):
    """Part, pixels and group of this program. The parts of the same pixels read the same numbers, so they are
    neighbours, which run at the same time."""
    program = tl.program_id(0)
    blocks = tl.cdiv(height * width, PIXELS)
    pixels = program // parts % blocks * PIXELS + tl.arange(0, PIXELS)
    return program % parts, pixels, (program // parts // blocks).to(tl.int64)


@triton.jit(do_not_specialize=SIDES)
def _forward_kernel(x, masks, out, parts, channels, height, width, K: tl.constexpr, S: tl.constexpr,
                    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, PIXELS: tl.constexpr):
    """Axes: rows of the s x s outputs, channels, input pixels, columns of the s x s outputs."""
    part, pixel, group = _share_of_work(parts, height, width, PIXELS)
    row_blocks = tl.cdiv(S, ROWS)
    row_out = (part % row_blocks * ROWS + tl.arange(0, ROWS))[:, None, None, None]
    channel = (part // row_blocks * CHANNELS + tl.arange(0, CHANNELS))[None, :, None, None]
    pixel = pixel[None, None, :, None]
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


# Stores several pixels of a thread at once where the width is known to be a multiple of 16.
@triton.jit(do_not_specialize=['height'])
def _input_backward_kernel(grad, masks, out, parts, channels, height, width, K: tl.constexpr, S: tl.constexpr,
                           COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, PIXELS: tl.constexpr):
    """Every input pixel gathers from the outputs that read it. Axes: channels, input pixels, columns of the s x s
    outputs, which are loaded together."""
    part, pixel, group = _share_of_work(parts, height, width, PIXELS)
    channel = (part * CHANNELS + tl.arange(0, CHANNELS))[:, None, None]
    pixel = pixel[None, :, None]
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
    acc = tl.sum(acc, 2, keep_dims=True)
    tl.store(out + (group * channels + channel) * size + pixel, acc.to(out.dtype.element_ty),
             mask=(channel < channels) & (pixel < height * width))


@triton.jit(do_not_specialize=SIDES)
def _masks_backward_kernel(grad, x, out, parts, channels, height, width, K: tl.constexpr, S: tl.constexpr,
                           ROWS: tl.constexpr, COLUMNS: tl.constexpr, TAPS: tl.constexpr, PIXELS: tl.constexpr):
    """Axes: taps, rows of the s x s outputs, input pixels, columns of the s x s outputs."""
    part, pixel, group = _share_of_work(parts, height, width, PIXELS)
    row_blocks = tl.cdiv(S, ROWS)
    row_out = (part % row_blocks * ROWS + tl.arange(0, ROWS))[None, :, None, None]
    tap = (part // row_blocks * TAPS + tl.arange(0, TAPS))[:, None, None, None]
    pixel = pixel[None, None, :, None]
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
