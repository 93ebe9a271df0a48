"""Each operation and block of ours beside its best known baseline: time and memory, side by side in one run.

    OMP_NUM_THREADS=2 python -m benchmarks.operations --out docs/benchmarks/operations.json

`tools/benchmark.py` compares whole heads; this compares what is inside them. The results are checked first. The
baseline of PSANet's mask needs an mmcv with compiled operators, and takes minutes; without them its rows are left out.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from mmcv.cnn import NonLocal2d
from mmseg.models.decode_heads.da_head import CAM, PAM
from torch import Tensor, nn

from mmseg_attn.attention import ChannelAttention, CrissCrossAttention, NonLocal, PositionAttention
from mmseg_attn.attention.dgmn import sampling_positions
from mmseg_attn.benchmark.baselines import build_pair
from mmseg_attn.benchmark.cases import head_config, randomize
from mmseg_attn.benchmark.machine import commit, hardware, versions
from mmseg_attn.benchmark.memory import peak_memory
from mmseg_attn.benchmark.timing import interleaved_times, quartiles, ratio
from mmseg_attn.ops.carafe import carafe
from mmseg_attn.ops.message_passing import bilinear_sample, pass_messages
from mmseg_attn.ops.psa import point_attention
from mmseg_attn.ops.psa_mask import relative_to_absolute

CPU = torch.device('cpu')
# name -> ours, the baseline, the inputs, what the baseline is; each in a function of the size, for one after the other.
Row = tuple[Callable, Callable, list[Tensor], str]


class Step:
    """One run of a function; forward alone, or forward and backward from random gradients."""

    def __init__(self, function: Callable, inputs: list[Tensor], training: bool):
        self.function, self.training = function, training
        self.inputs = [x.detach().clone().requires_grad_(training) for x in inputs]
        self.gradient = None

    def prepare(self) -> None:
        for x in self.inputs:
            x.grad = None
        if isinstance(self.function, nn.Module):
            self.function.zero_grad(set_to_none=True)

    def __call__(self) -> Tensor:
        with torch.set_grad_enabled(self.training):
            out = self.function(*self.inputs)
        if self.training:
            if self.gradient is None:
                self.gradient = torch.randn_like(out)
            out.backward(self.gradient)
        return out


def non_local(height: int, width: int) -> Row:
    theirs = randomize(NonLocal2d(512, reduction=2, norm_cfg=None, mode='embedded_gaussian'))
    ours = NonLocal(512, norm_layer=None)
    _copy(theirs, ours, theta='query', phi='key', g='value', conv_out='out_conv')
    return ours, theirs, [torch.randn(1, 512, height, width)], 'mmcv NonLocal2d'


def position_attention(height: int, width: int) -> Row:
    theirs, ours = randomize(PAM(512, 64)), PositionAttention(512)
    _copy(theirs, ours, query_project='query', key_project='key', value_project='value')
    ours.gamma.data.copy_(theirs.gamma.scale)
    return ours, theirs, [torch.randn(1, 512, height, width)], 'mmseg PAM'


def channel_attention(height: int, width: int) -> Row:
    theirs, ours = randomize(CAM()), ChannelAttention(512)
    ours.gamma.data.copy_(theirs.gamma.scale)
    return ours, theirs, [torch.randn(1, 512, height, width)], 'mmseg CAM'


def criss_cross(height: int, width: int) -> Row:
    ours = randomize(CrissCrossAttention(512, recurrence=1))
    return (ours, _EquationOfCrissCross(ours), [torch.randn(1, 512, height, width)],
            "mmcv's CrissCrossAttention, rewritten")


class _EquationOfCrissCross(nn.Module):
    """What mmcv's CrissCrossAttention computes, by the same four einsums. mmcv's own needs its compiled operators."""

    def __init__(self, block: CrissCrossAttention):
        super().__init__()
        self.query, self.key, self.value, self.gamma = block.query, block.key, block.value, block.gamma

    def forward(self, x: Tensor) -> Tensor:
        out = criss_cross_by_einsums(self.query(x), self.key(x), self.value(x))
        return (self.gamma * out + x).contiguous()


def criss_cross_by_einsums(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    height = query.shape[2]
    itself = torch.eye(height, dtype=torch.bool, device=query.device)
    column = torch.einsum('bchw,bciw->bwhi', query, key).masked_fill(itself, -torch.inf).transpose(1, 2)
    row = torch.einsum('bchw,bchj->bhwj', query, key)
    weights = torch.cat([column, row], dim=-1).softmax(dim=-1)
    out = torch.einsum('bciw,bhwi->bchw', value, weights[..., :height])
    return out + torch.einsum('bchj,bhwj->bchw', value, weights[..., height:])


def interlaced_attention(height: int, width: int) -> Row:
    ours, theirs = _block_of_head('isanet', 512, in_conv='in_conv')
    return ours, theirs, [torch.randn(1, 512, height, width)], 'mmseg ISAHead without its first convolution'


def em_attention(height: int, width: int) -> Row:
    ours, theirs = _block_of_head('emanet', 512, in_conv='ema_in_conv', out_conv='bottleneck', concat_input=False)
    return ours, theirs, [torch.randn(1, 512, height, width)], 'mmseg EMAHead without its outer convolutions'


def adaptive_context(height: int, width: int) -> Row:
    ours, theirs = build_pair('apcnet', head_config('apcnet', channels=512), 'block')
    inputs = [torch.randn(2, 2048, height, width)]
    return ours.blocks[-1], theirs.blocks[-1], inputs, 'mmseg ACM, pool_scale=6, 2 images'


def upsampling(height: int, width: int) -> Row:
    height, width = height // 2, width // 2
    inputs = [torch.randn(1, 256, height, width), torch.randn(1, 25, 2 * height, 2 * width).softmax(1)]
    return lambda x, masks: carafe(x, masks, 5, 1, 2), carafe_by_unfold, inputs, 'unfold at low resolution and einsum'


def carafe_by_unfold(x: Tensor, masks: Tensor) -> Tensor:
    height, width = x.shape[2:]
    patches = F.unfold(x, 5, padding=2).unflatten(2, (height, width)).unflatten(1, (-1, 25))
    weights = F.pixel_unshuffle(masks, 2).unflatten(1, (25, 4))
    return F.pixel_shuffle(torch.einsum('bckhw,bkshw->bcshw', patches, weights).flatten(1, 2), 2)


def message_passing(height: int, width: int) -> Row:
    positions = sampling_positions(2 * torch.randn(1, 18, height, width), rate=4)
    inputs = [torch.randn(1, 512, height, width), positions, torch.randn(1, 4, 9, height, width)]
    return pass_messages, messages_by_grid_sample, inputs, 'grid_sample tap by tap'


def messages_by_grid_sample(x: Tensor, positions: Tensor, weights: Tensor) -> Tensor:
    out = 0
    for tap in range(weights.shape[2]):
        samples = bilinear_sample(x, positions[:, tap]).unflatten(1, (weights.shape[1], -1))
        out = out + (samples * weights[:, :, tap, None]).flatten(1, 2)
    return out


def point_attention_collect(height: int, width: int) -> Row:
    return _point_attention(height // 2, width // 2, collect=True)


def point_attention_distribute(height: int, width: int) -> Row:
    return _point_attention(height // 2, width // 2, collect=False)


def _point_attention(height: int, width: int, collect: bool) -> Row:
    mask_size = 2 * height - 1, 2 * width - 1
    inputs = [torch.randn(1, 512, height, width), 0.02 * torch.randn(mask_size[0] * mask_size[1], 512),
              torch.randn(1, 512, height, width)]

    def whole_map(feature: Tensor, mask: Tensor, value: Tensor) -> Tensor:
        logits = relative_to_absolute(F.linear(feature.permute(0, 2, 3, 1), mask), mask_size)
        weights = logits.softmax(2).transpose(1, 2) if collect else logits.softmax(1)
        return (value.flatten(2) @ weights).view_as(value)

    return (lambda *tensors: point_attention(*tensors, mask_size, collect), whole_map, inputs,
            'all logits, then the whole map (as officially; the mask by our copy)')


def psa_collect(height: int, width: int) -> Row:
    return _psa_mask('collect')


def psa_distribute(height: int, width: int) -> Row:
    return _psa_mask('distribute')


def _psa_mask(direction: str) -> Row:
    from mmcv.ops import PSAMask
    mask = PSAMask(direction, (97, 97))
    pixels = 49 * 49

    def ours(logits: Tensor) -> Tensor:
        out = relative_to_absolute(logits.permute(0, 2, 3, 1), (97, 97))
        return out.transpose(1, 2) if direction == 'collect' else out

    return (ours, lambda logits: mask(logits).reshape(1, pixels, pixels), [torch.randn(1, 97 * 97, 49, 49)],
            "mmcv's compiled PSAMask, map 49x49, mask 97x97")


ROWS = {row.__name__: row for row in (
    non_local, position_attention, channel_attention, criss_cross, interlaced_attention, em_attention,
    adaptive_context, upsampling, message_passing, point_attention_collect, point_attention_distribute, psa_collect,
    psa_distribute)}


def _copy(theirs: nn.Module, ours: nn.Module, **names: str) -> None:
    for their_name, name in names.items():
        conv = theirs.get_submodule(their_name)
        ours.get_submodule(name).load_state_dict(getattr(conv, 'conv', conv).state_dict())


def _block_of_head(method: str, channels: int, **replaced: str | bool) -> tuple[nn.Module, nn.Module]:
    """Our block, and mmseg's head with everything around the attention taken out."""
    pair = build_pair(method, head_config(method, in_channels=channels, channels=channels))
    ours, theirs = (case.head for case in pair)
    for name in replaced.values():
        if isinstance(name, str):
            setattr(theirs, name, nn.Identity())
    theirs.concat_input = replaced.get('concat_input', True)
    theirs.cls_seg = lambda feature: feature
    return ours.attention, _OneInput(theirs)


class _OneInput(nn.Module):

    def __init__(self, head: nn.Module):
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head([x])


def _check(ours: Tensor, theirs: Tensor) -> None:
    # Not the largest: where a ReLU's input is zero but for rounding, its gradient is all or nothing.
    error = ((ours - theirs).norm() / theirs.norm()).item()
    if not error < 1e-2:
        raise RuntimeError(f'ours and the baseline differ by {error:.2g} of the norm')


def measure(name: str, size: tuple[int, int], runs: int) -> list[dict]:
    torch.manual_seed(0)
    ours, theirs, inputs, baseline = ROWS[name](*size)
    found = []
    for training in False, True:
        for module in ours, theirs:
            if isinstance(module, nn.Module):
                module.train(training)
        steps = {'ours': Step(ours, inputs, training), 'baseline': Step(theirs, inputs, training)}
        # mmcv reads its tensors pixel by pixel, each time with a tensor, which the profiler would record.
        slow = name.startswith('psa_')
        out = steps['ours']()
        steps['baseline'].gradient = steps['ours'].gradient
        _check(out, steps['baseline']())
        if training:
            for a, b in zip(steps['ours'].inputs, steps['baseline'].inputs, strict=True):
                _check(a.grad, b.grad)
        memory = dict.fromkeys(steps)
        if not slow:
            for key, step in steps.items():
                step.prepare()
                memory[key] = peak_memory(step, CPU) / 2**20
        times = interleaved_times(steps, min(2, runs) if slow else runs, CPU)
        found.append(dict(
            operation=name, baseline=baseline, size=list(size), mode='forward+backward' if training else 'forward',
            ours_ms=quartiles(times['ours']), baseline_ms=quartiles(times['baseline']),
            time_ratio=ratio(times['ours'], times['baseline']),
            ours_mib=memory['ours'], baseline_mib=memory['baseline'],
            memory_ratio=None if slow else memory['ours'] / memory['baseline'], times_ms=times))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--operations', nargs='+', choices=ROWS, default=list(ROWS), metavar='NAME')
    parser.add_argument('--size', default='64x128', help='height x width of the features')
    parser.add_argument('--runs', type=int, default=15)
    parser.add_argument('--out', type=Path, help='JSON file')
    args = parser.parse_args()
    size = tuple(int(side) for side in args.size.split('x'))
    rows = []
    print('| operation | mode | ours ms | baseline ms | time | ours MiB | baseline MiB | memory | baseline |')
    print('| --- ' * 9 + '|')
    for name in args.operations:
        try:
            found = measure(name, size, args.runs)
        except ImportError as error:
            print(f'{name}: left out, {error}', file=sys.stderr)
            continue
        rows += found
        for row in found:
            memory = [f'{row[key]:{form}}' if row[key] is not None else '-'
                      for key, form in (('ours_mib', '.0f'), ('baseline_mib', '.0f'), ('memory_ratio', '.2f'))]
            print(f'| {name} | {row["mode"]} | {row["ours_ms"][1]:.1f} | {row["baseline_ms"][1]:.1f} | '
                  f'{row["time_ratio"]:.3g} | {" | ".join(memory)} | {row["baseline"]} |', flush=True)
    if args.out:
        report = dict(command=sys.argv, hardware=hardware(CPU), versions=versions(), commit=commit(),
                      threads=torch.get_num_threads(), rows=rows)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1))


if __name__ == '__main__':
    main()
