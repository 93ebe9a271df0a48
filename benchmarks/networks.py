"""Whole networks beside mmseg's: a training step, and a forward, in float32 and with --amp.

    OMP_NUM_THREADS=2 python -m benchmarks.networks --out docs/benchmarks/networks.json

ResNet-50 at stride 8 with each head that both have, the same options and weights; a step is forward, loss, backward and
update. With --amp on a CPU only where it has instructions for bfloat16: elsewhere it would take hours.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_attn.benchmark.baselines import MMSEG_ARGUMENTS, build_pair, why_no_baseline
from mmseg_attn.benchmark.cases import head_config
from mmseg_attn.benchmark.machine import commit, hardware, versions
from mmseg_attn.benchmark.timing import interleaved_times, quartiles, ratio
from mmseg_attn.common.amp import autocast, has_bfloat16_instructions
from mmseg_attn.registry import MODELS

CPU = torch.device('cpu')
BACKBONE = dict(type='ResNetV1c', depth=50, num_stages=4, out_indices=(3, ), dilations=(1, 1, 2, 4),
                strides=(1, 2, 1, 1), norm_cfg=dict(type='BN'), contract_dilation=True)
CLASSES = 19
MODES = 'forward', 'training step'


class NetworkStep:
    """One forward in evaluation, or one step of SGD; ``dtype`` is that of autocast, None for none."""

    def __init__(self, backbone: nn.Module, head: nn.Module, images: Tensor, training: bool, dtype: torch.dtype | None):
        self.network, self.images, self.training, self.dtype = nn.ModuleList([backbone, head]), images, training, dtype
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=1e-4, momentum=0.9)
        labels = torch.randint(0, CLASSES, (len(images), 1, *images.shape[2:]))
        self.samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]

    def prepare(self) -> None:
        self.network.train(self.training)
        self.optimizer.zero_grad(set_to_none=True)

    def __call__(self) -> Tensor:
        backbone, head = self.network
        with torch.set_grad_enabled(self.training), autocast('cpu', self.dtype):
            features = backbone(self.images)
            if not self.training:
                metas = [dict(img_shape=self.images.shape[2:])] * len(self.images)
                return head.predict(features, metas, None)
            losses = head.loss(features, self.samples, None)
        loss = sum(value for name, value in losses.items() if 'loss' in name)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def measure(method: str, side: int, batch: int, runs: int) -> list[dict]:
    torch.manual_seed(0)
    ours, theirs = (case.head for case in build_pair(method, head_config(method)))
    backbone, images, found = MODELS.build(BACKBONE), torch.randn(batch, 3, side, side), []
    for mode in MODES:
        training = mode == 'training step'
        steps = {'ours': NetworkStep(backbone, ours, images, training, None),
                 'mmseg': NetworkStep(backbone, theirs, images, training, None)}
        if has_bfloat16_instructions():
            steps['ours, --amp'] = NetworkStep(backbone, ours, images, training, torch.bfloat16)
        for step in steps.values():
            step.prepare()
            step()
        times = interleaved_times(steps, runs, CPU)
        found.append(dict(method=method, mode=mode, image=side, batch=batch,
                          ms={name: quartiles(of_step) for name, of_step in times.items()},
                          ratios={name: ratio(of_step, times['mmseg']) for name, of_step in times.items()
                                  if name != 'mmseg'}, times_ms=times))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--methods', nargs='+', choices=MMSEG_ARGUMENTS, default=list(MMSEG_ARGUMENTS),
                        metavar='METHOD')
    parser.add_argument('--side', type=int, default=257, help='of the images')
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--out', type=Path, help='JSON file')
    args = parser.parse_args()
    init_default_scope('mmseg')
    rows = []
    print('| head | mode | ours, s | mmseg, s | time | with --amp |')
    print('| --- ' * 6 + '|')
    for method in args.methods:
        reason = why_no_baseline(method, 'head')
        if reason:
            print(f'{method}: left out, {reason}', file=sys.stderr)
            continue
        for row in measure(method, args.side, args.batch, args.runs):
            rows.append(row)
            amp = f'{row["ratios"]["ours, --amp"]:.2f}' if 'ours, --amp' in row['ratios'] else 'not measured'
            ours, theirs = (row['ms'][name][1] / 1e3 for name in ('ours', 'mmseg'))
            print(f'| {method} | {row["mode"]} | {ours:.2f} | {theirs:.2f} | {row["ratios"]["ours"]:.2f} | {amp} |',
                  flush=True)
    if args.out:
        report = dict(command=sys.argv, hardware=hardware(CPU), versions=versions(), commit=commit(),
                      threads=torch.get_num_threads(), rows=rows)
        args.out.write_text(json.dumps(report, indent=1))


if __name__ == '__main__':
    main()
