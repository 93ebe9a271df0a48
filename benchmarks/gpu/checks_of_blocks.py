"""Every block of the tests, and wide ones, which take the kernels' other tiles."""

import copy
from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.gpu.comparing import distance, results, worst_error
from benchmarks.gpu.recording import Record
from mmseg_attn import attention
from tests.attention.blocks import BLOCKS, WITHOUT_MAP
from tests.attention.variants import CHANNELS
from tests.helpers import randomize

# name -> channels, and how the block is made of them.
WIDE = {
    'non_local': (512, attention.NonLocal),
    'non_local-gaussian': (256, lambda c: attention.NonLocal(c, mode='gaussian')),
    'danet': (512, attention.PositionAttention),
    'ccnet': (512, attention.CrissCrossAttention),
    'dgmn': (128, attention.DynamicGraphMessagePassing),
    'isanet': (128, lambda c: attention.InterlacedSparseSelfAttention(c, down_factors=2)),
    'isanet-masked': (128, lambda c: attention.InterlacedSparseSelfAttention(c, down_factors=2, mask_padding=True)),
    'ocnet-pyramid': (128, attention.PyramidObjectContext),
    'ocnet-asp': (128, attention.ASPObjectContext),
    'psanet': (64, lambda c: attention.PointwiseSpatialAttention(c, mask_size=(65, 65), shrink_factor=1)),
}
FLOAT32_LIMIT = {False: 5e-4, True: 5e-3}
FLOAT64_LIMIT = 1e-7
AUTOCAST_LIMIT = {torch.bfloat16: 0.04, torch.float16: 0.01}
POINTS = [[0, 0], [4, 7], [8, 12]]

Sized = tuple[str, nn.Module, torch.Tensor, bool]


def _all(record: Record, sizes: list[tuple[int, int]]) -> Iterator[Sized]:
    """A label, a block, two images for it, and whether it is a wide one: these first, in case that time runs out."""
    size = (49, 65) if record.on_gpu else (9, 13)
    for name, (channels, make) in WIDE.items():
        torch.manual_seed(0)
        yield (f'{name} {channels} {size[0]}x{size[1]}', randomize(make(channels), 0.1),
               torch.randn(2, channels, *size), True)
    for size in sizes:
        for name, make in BLOCKS.items():
            torch.manual_seed(0)
            yield (f'{name} {CHANNELS} {size[0]}x{size[1]}', randomize(make()), torch.randn(2, CHANNELS, *size), False)


def blocks(record: Record) -> None:
    """Output and all gradients in float32, float64 and with channels last."""
    for label, block, x, wide in _all(record, [(9, 13), (33, 40)] if record.on_gpu else [(9, 13)]):
        for training in False, True:
            if record.out_of_time():
                return
            expected = results(block, x, torch.float64, 'cpu', training)
            limit, mode = FLOAT32_LIMIT[training], 'training' if training else 'evaluation'

            def error(dtype=torch.float32, training=training, expected=expected, block=block, x=x, **layout):
                return worst_error(results(block, x, dtype, record.device, training, **layout), expected)

            record.check(f'float32 {label} {mode}', error, limit)
            if not wide:
                record.check(f'float64 {label} {mode}', lambda error=error: error(torch.float64), FLOAT64_LIMIT)
            if not training:
                record.check(f'channels last {label}', lambda error=error: error(layout=torch.channels_last), limit)


def amp(record: Record) -> None:
    """Under autocast: how far the output is off, and whether all gradients are finite."""
    for label, block, x, _ in _all(record, [(33, 40) if record.on_gpu else (9, 13)]):
        if record.out_of_time():
            return
        block.eval()
        expected = copy.deepcopy(block).double()(x.double()).float()
        for dtype, limit in AUTOCAST_LIMIT.items():
            record.check(f'autocast {str(dtype)[6:]} {label}',
                         lambda dtype=dtype, block=block, x=x, expected=expected:
                         _autocast_error(record, block, x, expected, dtype), limit)


def _autocast_error(record: Record, block: nn.Module, x: torch.Tensor, expected: torch.Tensor,
                    dtype: torch.dtype) -> float:
    block, x = copy.deepcopy(block).to(record.device), x.to(record.device).requires_grad_()
    with torch.autocast(record.device.type, dtype):
        out = block(x)
    out.float().square().mean().backward()
    for name, tensor in [('input', x), *block.named_parameters()]:
        if tensor.grad is not None and not tensor.grad.isfinite().all():
            raise FloatingPointError(f'the gradient of {name} is not finite')
    return ((out.float().cpu() - expected).abs().mean() / expected.std()).item()


def maps(record: Record) -> None:
    """Attention maps, of points on the CPU and on the device, and under autocast."""
    points = torch.tensor(POINTS)
    for name in sorted(BLOCKS.keys() - WITHOUT_MAP):
        if record.out_of_time():
            return
        torch.manual_seed(0)
        block, x = randomize(BLOCKS[name]()).eval(), torch.randn(2, CHANNELS, 9, 13)
        expected = copy.deepcopy(block).double().attention_map(x.double(), points)

        def error(place='cpu', dtype=None, block=block, x=x, expected=expected):
            with torch.autocast(record.device.type, dtype, enabled=dtype is not None):
                found = copy.deepcopy(block).to(record.device).attention_map(x.to(record.device), points.to(place))
            return distance(found, expected)

        record.check(f'map of {name}', error, 1e-3)
        record.check(f'map of {name}, points on the device', lambda error=error: error(record.device), 1e-3)
        record.check(f'map of {name}, autocast', lambda error=error: error(dtype=torch.float16), 0.1)
