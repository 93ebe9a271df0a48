"""What several tests use."""

import torch
from torch import Tensor, nn

GOLDEN = dict(rtol=1e-4, atol=2e-5)


def randomize(module: nn.Module, std: float = 0.3) -> nn.Module:
    """Random values for all parameters and running statistics, so that no zero-initialised path hides an error."""
    for parameter in module.parameters():
        parameter.data.normal_(std=std)
    for name, buffer in module.named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_(std=std)
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 1.5)
    return module


def rename(state_dict: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """Replaces the longest matching prefix of every key; a key without one is an error."""
    renamed = {}
    for key, value in state_dict.items():
        prefix = max((p for p in names if key == p or key.startswith(p + '.')), key=len)
        renamed[names[prefix] + key[len(prefix):]] = value
    return renamed


def assert_matches_golden(module: nn.Module, golden: dict, names: dict[str, str], call=lambda m, x: m(x)) -> None:
    """Loads official weights and compares the output, and all gradients where they are given, with the official ones.

    The gradients in float64: some are zero but for rounding (a softmax does not feel the bias of its keys), and then
    the rounding of float32 depends on the number of threads.
    """
    module.load_state_dict(rename(golden['state_dict'], names))
    module.eval()
    torch.testing.assert_close(call(module, golden['input']), golden['output'], **GOLDEN)
    if 'grad' not in golden:
        return
    x = golden['input'].double().requires_grad_()
    call(module.double(), x).backward(golden['grad']['cotangent'].double())
    gradients = {name: p.grad.float() for name, p in module.named_parameters() if p.grad is not None}
    expected = rename(golden['grad']['params'], names)
    assert gradients.keys() == expected.keys()
    expected['input'], gradients['input'] = golden['grad']['input'], x.grad.float()
    # The official float32 gradients err by this much of the largest of them.
    atol = max(GOLDEN['atol'], 2e-6 * max(value.abs().max().item() for value in expected.values()))
    for name, value in expected.items():
        torch.testing.assert_close(gradients[name], value, rtol=GOLDEN['rtol'], atol=atol,
                                   msg=lambda m, n=name: f'{n}: {m}')
