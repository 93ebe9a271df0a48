"""What CGNL's kernel and norm leave of its attention.

    python benchmarks/cgnl_norms.py

- Distance: of the output from that where all sums over the pixels have their mean absolute value and keep only their
  signs, relative to what the block adds ('dot_product').
- Gradients: of the projections from which the sums are made, relative to that of the query.
- Over pixels: the part of the variance of what the block adds that lies between the pixels of an image.

Float64, training mode, the authors' initialisation with norms of weight 1, random features of 64 x 64 pixels and 256
channels. Every channel of every image has a mean of its own, so that images differ.
"""

import torch
from torch import Tensor, nn

from mmseg_attn.attention.cgnl import KERNELS, CompactGeneralizedNonLocal

NORMS = {'GroupNorm': 'group', 'BatchNorm': nn.BatchNorm2d, 'none': None}


def with_signs_only(block: CompactGeneralizedNonLocal, x: Tensor) -> Tensor:
    query, key, value = (conv(x).unflatten(1, (block.num_groups, -1)) for conv in (block.query, block.key, block.value))
    sums = (key * value).sum(dim=(2, 3, 4), keepdim=True)
    equal = sums.abs().mean() * sums.sign()
    return x + block.norm(block.out_conv((equal * query).flatten(1, 2)))


def main() -> None:
    torch.manual_seed(0)
    x = torch.relu(torch.randn(4, 256, 1, 1) + torch.randn(4, 256, 64, 64)).double()
    direction = torch.randn_like(x)
    for kernel in KERNELS:
        for name, norm_layer in NORMS.items():
            torch.manual_seed(0)
            block = CompactGeneralizedNonLocal(256, kernel=kernel, norm_layer=norm_layer, zero_init=False).double()
            out = block(x)
            (out * direction).sum().backward()
            query, key, value = (conv.weight.grad.norm().item() for conv in (block.query, block.key, block.value))
            with torch.no_grad():
                added = out - x
                distance = ((out - with_signs_only(block, x)).norm() / added.norm()).item()
                over_pixels = (added.var(dim=(2, 3)).mean() / added.var()).item()
            said = f'distance {distance:.1e}, ' if kernel == 'dot_product' else ''
            print(f'{kernel}, {name}: {said}gradient of key {key / query:.1e} and value {value / query:.1e}, '
                  f'over pixels {over_pixels:.1e}')


if __name__ == '__main__':
    main()
