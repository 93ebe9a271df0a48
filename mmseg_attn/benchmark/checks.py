"""Whether what is measured computes what it should: checked before anything is timed."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .cases import Case

# Two images, as a norm in training needs them, of more pixels than the 256 up to which attention is one tile.
BATCH, SIZE = 2, (13, 20)
# Rounding came to 2e-5 and 6e-4 at most, in CCNet, whose logits have no scale.
TOLERANCE = {'evaluation': 2e-4, 'training': 5e-3}


class WrongResultError(RuntimeError):
    """What is to be measured computes something else than it should."""


def check_against_peer(ours: Case, theirs: Case, device: torch.device, training: bool) -> float:
    """Compares two cases with the same weights, in float32.

    Args:
        ours, theirs: the cases.
        device: where.
        training: in training mode, outputs and gradients of the inputs; otherwise in evaluation, outputs only.

    Returns:
        The largest error ``|a - b| / |b|`` of an output or gradient.

    Raises:
        WrongResultError: it is more than :data:`TOLERANCE`, or a gradient is not finite.
    """
    inputs = ours.inputs(BATCH, SIZE, device)
    return _compare(_results(ours, inputs, training), _results(theirs, inputs, training), "mmseg's",
                    training)


def check_against_double(case: Case, device: torch.device, training: bool) -> float:
    """Compares float32 on ``device`` with float64 on the CPU, as :func:`check_against_peer` does two cases."""
    inputs = case.inputs(BATCH, SIZE, device)
    expected = _results(case, [x.double().cpu() for x in inputs], training)
    return _compare(_results(case, inputs, training), expected, 'float64 on the CPU', training)


def _results(case: Case, inputs: list[Tensor], training: bool) -> dict[str, Tensor]:
    # A copy, since training changes running statistics.
    case = copy.deepcopy(case).to(inputs[0]).train(training)
    for module in case.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False):
        if not training:
            with torch.no_grad():
                return {f'output {i}': out for i, out in enumerate(case(*inputs))}
        inputs = [x.detach().requires_grad_() for x in inputs]
        generator = torch.Generator().manual_seed(0)
        # In one thread, since what checkpointing computes again in the backward must be smooth too.
        with _SmoothActivations(), torch.autograd.set_multithreading_enabled(False):
            outputs = case(*inputs)
            torch.autograd.backward(outputs, [torch.randn(o.shape, generator=generator).to(o) for o in outputs])
    for name, parameter in case.named_parameters():
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            raise WrongResultError(f'the gradient of {name} is not finite')
    return ({f'output {i}': out.detach() for i, out in enumerate(outputs)}
            | {f'gradient of input {i}': x.grad for i, x in enumerate(inputs)})


class _SmoothActivations(TorchFunctionMode):
    """SiLU in place of (leaky) ReLU.

    Rounding carries some of 500,000 activations to the other side of a ReLU, and each changes the gradient by 2e-3 of
    its norm, in which errors could hide.
    """

    KINKED = (F.relu, F.leaky_relu, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_)

    def __torch_function__(self, function: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None):
        return F.silu(args[0]) if function in self.KINKED else function(*args, **(kwargs or {}))


def _compare(results: dict[str, Tensor], expected: dict[str, Tensor], whose: str, training: bool) -> float:
    worst, tolerance = 0.0, TOLERANCE['training' if training else 'evaluation']
    for name, value in expected.items():
        value = value.double().cpu()
        error = ((results[name].double().cpu() - value).norm() / value.norm().clamp_min(1e-30)).item()
        if not error <= tolerance:
            raise WrongResultError(f'{name} differs from {whose} by {error:.1e} of its norm, more than {tolerance:.0e}')
        worst = max(worst, error)
    return worst
