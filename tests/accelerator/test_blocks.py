"""Every block on the accelerator: nothing is made on the CPU, and nothing makes the host wait."""

import pytest
import torch

from tests.accelerator.fake_device import DEVICE, PRECISIONS, moved, on_fake_device
from tests.attention.blocks import BLOCKS, WITHOUT_MAP, first_of_each_class
from tests.attention.variants import CHANNELS

pytestmark = pytest.mark.slow

# Numbers decide about the shapes of what they compute, so that a fake device cannot follow.
MAPS_THAT_NEED_NUMBERS = {'psanet': 'which pixels receive at all'}
MAPPED = [name for name in BLOCKS if name not in WITHOUT_MAP and name.split('-')[0] not in MAPS_THAT_NEED_NUMBERS]


def _cases(names) -> list[tuple[str, str]]:
    """All under autocast, which adds the casts; in float32 one of each class."""
    return [(name, 'autocast') for name in names] + [(name, 'float32') for name in first_of_each_class(names)]


@pytest.mark.parametrize(('name', 'precision'), _cases(BLOCKS))
def test_forward_and_backward(name, precision):
    block, x = moved(BLOCKS[name]()), moved(torch.randn(2, CHANNELS, 9, 13)).requires_grad_()
    with on_fake_device():
        for training in False, True:
            with PRECISIONS[precision]():
                out = block.train(training)(x)
            assert (str(out.device), out.shape) == (DEVICE, x.shape)
            out.float().square().sum().backward()
    for key, parameter in block.named_parameters():
        assert parameter.grad is not None or not parameter.requires_grad, key


@pytest.mark.parametrize(('name', 'precision'), _cases(MAPPED))
def test_attention_map(name, precision):
    block, x = moved(BLOCKS[name]()).eval(), moved(torch.randn(2, CHANNELS, 9, 13))
    with on_fake_device(may_wait=True), PRECISIONS[precision]():
        weights = block.attention_map(x, torch.tensor([[0, 0], [4, 7], [8, 12]]))
    assert (str(weights.device), weights.shape, weights.dtype) == (DEVICE, (2, 3, 9, 13), torch.float32)
