"""What travels between processes in an iteration, against what is computed, and the efficiency that this predicts.

    python -m benchmarks.scaling

Counted from the configs; the machine is assumed, by the constants below, and nothing is measured. docs/scaling.md has
the table and says what it leaves out.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

from mmengine.registry import init_default_scope
from torch import nn

from mmseg_attn.attention.emanet import ExpectationMaximizationAttention
from mmseg_attn.benchmark.parts import build_model, flops_by_part
from mmseg_attn.common.config import crop_size, load_config

# Floating point operations that a GPU does in a second, of convolutions and attention under autocast.
RATE = 200e12
GPUS_PER_MACHINE = 8
# Bytes in a second for each GPU, and seconds that a collective operation takes at least.
WITHIN_A_MACHINE = 400e9, 20e-6
BETWEEN_MACHINES = 25e9, 40e-6
FLOAT = 4
# What DistributedDataParallel sends at a time; the last goes when the backward is done.
BUCKET = 25 * 2**20
NUM_GPUS = 8, 64, 512


@dataclass
class Iteration:
    """Of one process: floating point operations, bytes of gradients, channels of each SyncBN, numbers for EMANet's
    bases: the new ones, the old ones, and counts of images of that size."""

    operations: float
    gradients: int
    channels: list[int]
    bases: int


def count(config: Path) -> Iteration:
    cfg = load_config(str(config))
    images = cfg.train_dataloader.batch_size
    model = build_model(cfg)
    forward = 2 * flops_by_part(model, crop_size(cfg), 3)['']
    norms = [m.num_features for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    bases = 3 * sum(m.bases.numel() for m in model.modules() if isinstance(m, ExpectationMaximizationAttention))
    gradients = FLOAT * sum(p.numel() for p in model.parameters() if p.requires_grad)
    # A backward is two forwards: the gradients of the maps and of the weights.
    return Iteration(3 * forward * images, gradients, norms, bases)


def efficiency(it: Iteration, num_gpus: int) -> float:
    """Time of the computation over that of the iteration."""
    bandwidth, latency = WITHIN_A_MACHINE if num_gpus <= GPUS_PER_MACHINE else BETWEEN_MACHINES

    def all_reduce(size: float) -> float:
        return latency + 2 * (num_gpus - 1) / num_gpus * size / bandwidth

    computation = it.operations / RATE
    # Gradients go while the rest of the backward is computed, but for the last of them.
    gradients = max(all_reduce(it.gradients) - 2 / 3 * computation, all_reduce(BUCKET))
    # The forward gathers means, variances and counts of all processes, the backward adds two sums; both are waited for.
    norms = sum(latency + num_gpus * (2 * c + 1) * FLOAT / bandwidth + all_reduce(2 * c * FLOAT) for c in it.channels)
    bases = all_reduce(it.bases * FLOAT) if it.bases else 0
    return computation / (computation + gradients + norms + bases)


def main() -> None:
    warnings.filterwarnings('ignore')
    init_default_scope('mmseg')
    columns = ' | '.join(f'{n} GPUs' for n in NUM_GPUS)
    print(f'| config | TFLOP | gradients, MB | SyncBN layers | their channels | {columns} |')
    print('| --- ' * (5 + len(NUM_GPUS)) + '|')
    for config in sorted(Path('configs').glob('*_r101_cityscapes.py')):
        it = count(config)
        efficiencies = ' | '.join(f'{100 * efficiency(it, n):.0f} %' for n in NUM_GPUS)
        print(f'| {config.stem} | {it.operations / 1e12:.1f} | {it.gradients / 1e6:.0f} | {len(it.channels)} | '
              f'{sum(it.channels)} | {efficiencies} |', flush=True)


if __name__ == '__main__':
    main()
