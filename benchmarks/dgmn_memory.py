"""Memory of DGMN's block for one image of 512 x 97 x 97: ours, and the official form with the same sampling.

    MALLOC_MMAP_THRESHOLD_=1000000 OMP_NUM_THREADS=1 python benchmarks/dgmn_memory.py ours
    MALLOC_MMAP_THRESHOLD_=1000000 OMP_NUM_THREADS=1 python benchmarks/dgmn_memory.py official

Growth of the peak of the resident memory over forward and backward, in MiB. The threshold makes glibc give freed memory
back.
"""

import resource
import sys

import torch
from torch import Tensor

from mmseg_attn.attention import DynamicGraphMessagePassing
from mmseg_attn.attention.dgmn import TAPS, _dilated_conv, bilinear_sample, sampling_positions


def official_form(block: DynamicGraphMessagePassing, x: Tensor) -> Tensor:
    """All samples of a rate at once, and filters and affinities from them."""
    out = x
    for index, rate in enumerate(block.rates):
        positions = sampling_positions(_dilated_conv(x, block.offset_convs[index].weight, rate), rate)
        samples = torch.stack([bilinear_sample(x, positions[:, k]) for k in range(TAPS)], dim=2)
        weight = block.filter_convs[index].weight.flatten(2)
        filters, affinity = torch.einsum('bckhw,ock->bohw', samples, weight).split((block.groups * TAPS, TAPS), dim=1)
        filters, affinity = filters.unflatten(1, (block.groups, 1, TAPS)), affinity.softmax(1)[:, None, None]
        messages = samples.unflatten(1, (block.groups, -1)) * filters * affinity
        out = out + block.gamma[index] * messages.sum(3).flatten(1, 2)
    return out


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    form = {'ours': lambda block, x: block(x), 'official': official_form}[sys.argv[1]]
    block = DynamicGraphMessagePassing(512)
    small = torch.randn(1, 512, 9, 9)
    torch.testing.assert_close(form(block, small), block(small))
    x = torch.randn(1, 512, 97, 97, requires_grad=True)
    before = peak()
    form(block, x).sum().backward()
    print(f'{sys.argv[1]}: {peak() - before:.0f} MiB')


if __name__ == '__main__':
    main()
