"""Whether what is measured computes what it should: checked before anything is timed."""

import copy
from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .cases import Case

# Two images, as a norm in training needs them, of more pixels than the 256 up to which attention is one tile.
BATCH, SIZE = 2, (13, 20)
# Rounding came to 2e-5 and 6e-4 at most, in CCNet, whose logits have no scale.
TOLERANCE = {'evaluation': 2e-4, 'training': 5e-3}
# In float64 it came to 1e-13. An error of 1e-3 in a weight of the attention comes to 3e-5 and more.
DOUBLE_TOLERANCE = 1e-9
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


class WrongResultError(RuntimeError):
    """What is to be measured computes something else than it should."""


def check_against_baseline(ours: Case, theirs: Case, device: torch.device, training: bool,
                           tolerance: float = DOUBLE_TOLERANCE) -> float:
    """Compares two cases with the same weights.

    In float64 on the CPU, where nothing hides behind rounding: outputs, and in training also the gradients of inputs
    and parameters and what the step has changed beside parameters. And in float32 on ``device``: outputs, and in
    training the gradients of inputs. Where an operator of theirs knows no float64, or no CPU, the latter alone.

    Args:
        ours, theirs: the cases.
        device: where they will be measured.
        training: in training mode; otherwise in evaluation.
        tolerance: by which they may differ in float64.

    Returns:
        The largest error ``|a - b| / |b|`` that was met in float32.

    Raises:
        WrongResultError: that is more than :data:`TOLERANCE`; one in float64 is more than ``tolerance``; or a gradient
            is not finite.
    """
    _check_in_double(ours, theirs, training, tolerance)
    inputs = ours.inputs(BATCH, SIZE, device)
    return _compare(_results(ours, inputs, training), _results(theirs, inputs, training), "mmseg's",
                    _tolerance(training))


def check_against_double(case: Case, device: torch.device, training: bool) -> float:
    """Compares float32 on ``device`` with float64 on the CPU, as :func:`check_against_baseline` does two cases."""
    inputs = case.inputs(BATCH, SIZE, device)
    expected = _results(case, [x.double().cpu() for x in inputs], training)
    return _compare(_results(case, inputs, training), expected, 'float64 on the CPU', _tolerance(training))


def _tolerance(training: bool) -> float:
    return TOLERANCE['training' if training else 'evaluation']


def _check_in_double(ours: Case, theirs: Case, training: bool, tolerance: float) -> None:
    inputs = [x.double() for x in ours.inputs(BATCH, SIZE)]
    try:
        expected = _exact_results(theirs, inputs, training)
    except WrongResultError:
        raise
    except RuntimeError:
        return
    _compare(_exact_results(ours, inputs, training), expected, "mmseg's in float64", tolerance)


def _results(case: Case, inputs: list[Tensor], training: bool) -> dict[str, Tensor]:
    """Outputs and gradients of the inputs in any precision, which must differ by rounding only."""
    # In one thread, since what checkpointing computes again in the backward must be smooth too.
    with SmoothActivations() if training else nullcontext(), torch.autograd.set_multithreading_enabled(False):
        return _run(_copy(case, inputs), inputs, training)


def _exact_results(case: Case, inputs: list[Tensor], training: bool) -> dict[str, Tensor]:
    """Those, and what else a step of training computes, whatever the parameters are called."""
    case = _copy(case, inputs)
    found = _run(case, inputs, training)
    if training:
        found['gradients of the parameters'] = _projected_gradients(case)
        # Statistics of norms and bases of EM.
        found |= {f'{name} in evaluation afterwards': out for name, out in _run(case, inputs, False).items()}
    return found


def _copy(case: Case, inputs: list[Tensor]) -> Case:
    # A copy, since training changes running statistics.
    return copy.deepcopy(case).to(inputs[0])


def _run(case: Case, inputs: list[Tensor], training: bool) -> dict[str, Tensor]:
    case.train(training)
    for module in case.modules():
        if isinstance(module, DROPOUTS):
            module.eval()
    with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False):
        if not training:
            with torch.no_grad():
                return {f'output {i}': out for i, out in enumerate(case(*inputs))}
        inputs = [x.detach().requires_grad_() for x in inputs]
        generator = torch.Generator().manual_seed(0)
        outputs = case(*inputs)
        torch.autograd.backward(outputs, [torch.randn(o.shape, generator=generator).to(o) for o in outputs])
    for name, parameter in case.named_parameters():
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            raise WrongResultError(f'the gradient of {name} is not finite')
    return ({f'output {i}': out.detach() for i, out in enumerate(outputs)}
            | {f'gradient of input {i}': x.grad for i, x in enumerate(inputs)})


@torch.no_grad()
def _projected_gradients(case: Case) -> Tensor:
    """Derivatives along functions of the parameters, which have the same values in both cases under other names.

    Not along the parameters themselves: weights before a norm would contribute nothing.
    """
    gradients = [(p, p.grad) for p in case.parameters() if p.grad is not None]
    return torch.stack([sum((function(p) * grad).sum() for p, grad in gradients)
                        for function in (torch.abs, torch.square, torch.cos)])


class SmoothActivations(TorchFunctionMode):
    """SiLU in place of (leaky) ReLU.

    Rounding carries some of 500,000 activations to the other side of a ReLU, and each changes the gradient by 2e-3 of
    its norm, in which errors could hide.
    """

    KINKED = (F.relu, F.leaky_relu, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_)

    def __torch_function__(self, function: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None):
        return F.silu(args[0]) if function in self.KINKED else function(*args, **(kwargs or {}))


def _compare(results: dict[str, Tensor], expected: dict[str, Tensor], whose: str, tolerance: float) -> float:
    worst = 0.0
    for name, value in expected.items():
        value = value.double().cpu()
        error = ((results[name].double().cpu() - value).norm() / value.norm().clamp_min(1e-30)).item()
        if not error <= tolerance:
            raise WrongResultError(f'{name} differs from {whose} by {error:.1e} of its norm, more than {tolerance:.0e}')
        worst = max(worst, error)
    return worst
