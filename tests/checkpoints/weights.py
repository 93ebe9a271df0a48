"""Weights of whole official networks, made from the names and shapes of their parameters alone."""

import math
import zlib

import torch
from torch import Tensor


def weights_by_formula(keys: dict[str, tuple[int, ...]], aliases: dict[str, str]) -> dict[str, Tensor]:
    """Random numbers seeded by the name; ``aliases`` are parameters that a network stores under a second name."""
    return {name: _tensor(aliases.get(name, name), tuple(shape)) for name, shape in keys.items()}


def _tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) & 0x7fffffff)
    leaf = name.rsplit('.', 1)[-1]
    if leaf == 'num_batches_tracked':
        return torch.tensor(7)
    if leaf == 'running_var':
        return torch.rand(shape, generator=generator) + 0.5
    if leaf == 'running_mean':
        return torch.randn(shape, generator=generator) * 0.1
    if leaf == 'mu':
        bases = torch.randn(shape, generator=generator)
        return bases / bases.norm(dim=1, keepdim=True)
    if shape in ((), (1,)):
        return torch.full(shape, 0.8)
    if len(shape) == 1 and leaf == 'weight':
        return torch.rand(shape, generator=generator) * 0.5 + 0.75
    if len(shape) == 1:
        return torch.randn(shape, generator=generator) * 0.05
    return torch.randn(shape, generator=generator) * math.prod(shape[1:])**-0.5


def small_weights(keys: dict[str, tuple[int, ...]], aliases: dict[str, str]) -> dict[str, Tensor]:
    """The weights of a network with an eighth of the channels, but as many classes and positions of a mask."""
    def shrink(name, shape):
        positions = name.endswith(('attention.3.weight', 'attention_p.3.weight'))
        return tuple(size // 8 if size >= 32 and not (positions and axis == 0) else size
                     for axis, size in enumerate(shape))
    return weights_by_formula({name: shrink(name, shape) for name, shape in keys.items()}, aliases)
