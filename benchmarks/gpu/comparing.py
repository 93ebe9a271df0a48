"""A module on the device beside itself in float64 on the CPU."""

import copy

import torch
from torch import Tensor, nn

from mmseg_attn.benchmark.checks import DROPOUTS, SmoothActivations

# Of the largest gradient: some are zero but for rounding, such as those of a bias that a softmax does not feel.
NOTHING = 1e-2


def results(module: nn.Module, x: Tensor, dtype: torch.dtype, device: torch.device | str, training: bool,
            layout: torch.memory_format = torch.contiguous_format) -> dict[str, Tensor]:
    """The output, and the gradients of the input and of the parameters from one random gradient of the output."""
    module = without_dropout(copy.deepcopy(module).to(device, dtype).train(training))
    x = x.detach().to(device, dtype).contiguous(memory_format=layout).requires_grad_()
    with SmoothActivations(), torch.autograd.set_multithreading_enabled(False):
        out = module(x)
        generator = torch.Generator().manual_seed(1)
        out.backward(torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out))
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return {'output': out, 'input': x.grad} | gradients


def without_dropout(module: nn.Module) -> nn.Module:
    """The mode is each module's own: a later ``train()`` turns dropout on again."""
    for part in module.modules():
        if isinstance(part, DROPOUTS):
            part.eval()
    return module


def worst_error(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest of ``|a - b| / |b|`` over all results. Raises FloatingPointError for one that is not finite."""
    parameters = [value for name, value in expected.items() if name not in ('output', 'input')]
    least = NOTHING * max((value.norm().item() for value in parameters), default=0.0)
    worst = 0.0
    for name, value in expected.items():
        value = value.detach().double().cpu()
        scale = max(value.norm().item(), 1e-30 if name in ('output', 'input') else least)
        error = (found[name].detach().double().cpu() - value).norm().item() / scale
        if not error < float('inf'):
            raise FloatingPointError(f'{name}: {error}')
        worst = max(worst, error)
    return worst


def distance(found: Tensor, expected: Tensor) -> float:
    """``|a - b| / |b|``."""
    found, expected = (t.detach().double().cpu() for t in (found, expected))
    return ((found - expected).norm() / expected.norm().clamp_min(1e-30)).item()
