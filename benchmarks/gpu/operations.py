"""How fast is each operation here, beside other ways to compute it?

    python -m benchmarks.gpu.operations --out operations.jsonl                    everything, on the GPU
    python -m benchmarks.gpu.operations --out operations.jsonl unequal cross
    python -m benchmarks.gpu.operations --out operations.jsonl --device cpu       tiny: a rehearsal of the program

One line of JSON for every measurement is appended to the file: the median time, memory, TFLOP/s, and of softmax
attention the error of some rows against float64. `python -m benchmarks.operations` compares blocks on a CPU.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.gpu.measuring import measure
from benchmarks.gpu.parts import parse, parser_of, run_parts
from benchmarks.gpu.recording import Record
from benchmarks.gpu.softmax_attention import attention, unequal
from benchmarks.operations import carafe_by_unfold, criss_cross_by_einsums, messages_by_grid_sample
from mmseg_attn.attention import CrissCrossAttention, NonLocal, PositionAttention
from mmseg_attn.attention.dgmn import sampling_positions
from mmseg_attn.attention.non_local import concatenation_attention
from mmseg_attn.ops import psa as psa_module
from mmseg_attn.ops.carafe import carafe as carafe_operation
from mmseg_attn.ops.criss_cross import criss_cross_attention
from mmseg_attn.ops.message_passing import pass_messages
from mmseg_attn.ops.psa import point_attention

BF16, FP32 = torch.bfloat16, torch.float32


def ceilings(record: Record) -> None:
    """What the machine can do at most: products of matrices, and copies."""
    side, size = (8192, 4 * 2**30) if record.on_gpu else (64, 2**16)
    for dtype, tf32 in (BF16, False), (FP32, False), (FP32, True):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        matrices = [torch.randn(side, side, device=record.device, dtype=dtype) for _ in range(2)]
        measure(record, 'ceiling', f'product {str(dtype)[6:]} tf32={tf32}', torch.matmul, matrices, 2 * side**3, False)
    torch.backends.cuda.matmul.allow_tf32 = False
    source = torch.empty(size, dtype=torch.uint8, device=record.device)
    target = torch.empty_like(source)
    measure(record, 'ceiling', f'copy of {size / 2**30:.2g} GiB', lambda: target.copy_(source), [], 0, False)


def cross(record: Record) -> None:
    for dtype in (BF16, FP32):
        for size in (64, 128), (97, 97):
            height, width = _size(record, size)
            tensors = [(0.2 * torch.randn(2, channels, height, width, device=record.device, dtype=dtype)).contiguous(
                memory_format=torch.channels_last) for channels in (64, 64, 512)]
            _beside(record, f'criss-cross B=2 {height}x{width} D=64 C=512 {str(dtype)[6:]}', tensors,
                    2 * 2 * height * width * (height + width) * 576,
                    {'ours': criss_cross_attention, 'einsum': criss_cross_by_einsums})


def carafe(record: Record) -> None:
    def ours(x: Tensor, masks: Tensor) -> Tensor:
        return carafe_operation(x, masks, 5, 1, 2)

    for dtype in (BF16, FP32):
        for size in (64, 128), (128, 256):
            height, width = _size(record, size)
            tensors = [torch.randn(2, 256, height, width, device=record.device, dtype=dtype),
                       torch.randn(2, 25, 2 * height, 2 * width, device=record.device, dtype=dtype).softmax(1)]
            _beside(record, f'carafe B=2 C=256 {height}x{width} {str(dtype)[6:]}', tensors,
                    2 * 2 * 256 * 25 * 4 * height * width, {'ours': ours, 'unfold': carafe_by_unfold})


def messages(record: Record) -> None:
    for channels, rate in (512, 4), (128, 12):
        height, width = _size(record, (64, 128))
        tensors = [
            torch.randn(2, channels, height, width, device=record.device).contiguous(memory_format=torch.channels_last),
            sampling_positions(2 * torch.randn(2, 18, height, width, device=record.device), rate),
            torch.randn(2, 4, 9, height, width, device=record.device)]
        _beside(record, f'messages B=2 C={channels} {height}x{width} float32', tensors,
                2 * 2 * 36 * channels * height * width, {'ours': pass_messages, 'grid_sample': messages_by_grid_sample})


def psa(record: Record) -> None:
    """The two ways that ours chooses from by the size of the map (`MAX_DENSE_PIXELS`)."""
    for size, mask in ((49, 49), (97, 97)), ((64, 128), (127, 255)):
        height, width = _size(record, size)
        mask = mask if record.on_gpu else (11, 13)
        for dtype in (BF16, FP32):
            feature, value = (torch.randn(2, 512, height, width, device=record.device, dtype=dtype) for _ in range(2))
            weight = 0.05 * torch.randn(mask[0] * mask[1], 512, device=record.device, dtype=dtype)
            _beside(record, f'psa collect B=2 {height}x{width} D=C=512 {str(dtype)[6:]}', [feature, weight, value],
                    2 * 2 * (height * width)**2 * 1024,
                    {'whole map': _point_attention(mask, 10**9), 'row by row': _point_attention(mask, 0)})


def _point_attention(mask_size: tuple[int, int], max_dense_pixels: int) -> Callable:
    def compute(feature: Tensor, mask: Tensor, value: Tensor) -> Tensor:
        before = psa_module.MAX_DENSE_PIXELS
        psa_module.MAX_DENSE_PIXELS = dict(cpu=max_dense_pixels, cuda=max_dense_pixels)
        try:
            return point_attention(feature, mask, value, mask_size, True)
        finally:
            psa_module.MAX_DENSE_PIXELS = before
    return compute


def concat(record: Record) -> None:
    """Non-local's concatenation, which ours computes by sorting."""
    def whole_map(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return ((query[:, :, None] + key[:, None]).relu() / key.shape[1]) @ value

    height, width = _size(record, (64, 128))
    pixels = height * width
    tensors = [torch.randn(*shape, device=record.device) for shape in ((2, pixels), (2, pixels), (2, pixels, 256))]
    _beside(record, f'concatenation B=2 {height}x{width} E=256 float32', tensors, 2 * 2 * pixels**2 * 256,
            {'ours': concatenation_attention, 'N x N': whole_map})


def overhead(record: Record) -> None:
    """What the host takes for one call of a block, in microseconds, at a size that costs a GPU nothing."""
    runs = 100 if record.on_gpu else 2
    for block in PositionAttention(64), CrissCrossAttention(64), NonLocal(64):
        block, x = block.to(record.device), torch.randn(1, 64, 18, 18, device=record.device)
        for training in False, True:
            for run in range(-5, runs):
                if run == 0:
                    _wait(record)
                    started = time.perf_counter()
                with torch.set_grad_enabled(training):
                    out = block(x)
                if training:
                    out.sum().backward()
            _wait(record)
            record.add(case='overhead', who=type(block).__name__, mode='forward+backward' if training else 'forward',
                       us=1e6 * (time.perf_counter() - started) / runs)


def _wait(record: Record) -> None:
    if record.on_gpu:
        torch.cuda.synchronize(record.device)


def _size(record: Record, size: tuple[int, int]) -> tuple[int, int]:
    return size if record.on_gpu else (6, 7)


def _beside(record: Record, case: str, tensors: list[Tensor], flops: float, contenders: dict[str, Callable]) -> None:
    for training in False, True:
        for who, function in contenders.items():
            measure(record, case, who, function, tensors, flops, training)


PARTS = dict(ceilings=ceilings, attention=attention, unequal=unequal, cross=cross, carafe=carafe, messages=messages,
             psa=psa, concat=concat, overhead=overhead)


def arguments() -> argparse.ArgumentParser:
    return parser_of(__doc__.splitlines()[0], PARTS, 'none')


def main() -> int:
    args = parse(arguments(), PARTS)
    warnings.filterwarnings('ignore')
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    record = Record(args.out, args.device, args.budget)
    run_parts(record, PARTS, args.parts or PARTS)
    return bool(record.failed)


if __name__ == '__main__':
    sys.exit(main())
