import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch.export import Dim

from mmseg_attn.environment import has_operators
from mmseg_attn.models.upsample import CARAFE
from tests.helpers import GOLDEN, randomize
from tests.naive import carafe as naive

SMALL = dict(up_kernel=3, up_group=2, encoder_dilation=2, compressed_channels=4)


@pytest.mark.parametrize('name', ['default', 's4', 's1_k7_g4', 'enc4'])
def test_equals_mmcv(golden, name):
    golden = golden(f'carafe_pack_{name}')
    module = CARAFE(**golden['config'])
    for key, (shape, std, largest) in golden['init_stats'].items():
        value = module.state_dict()[key]
        assert value.shape == shape
        if key.endswith('bias'):
            assert not value.any()
        else:
            # Standard deviation and largest value of their random draw.
            torch.testing.assert_close(value.std().item(), std, rtol=0.25, atol=0)
            torch.testing.assert_close(value.abs().max().item(), largest, rtol=0.25, atol=0)
    module.load_state_dict(golden['state_dict'])
    torch.testing.assert_close(module.masks(golden['input']), golden['mask'], **GOLDEN)
    torch.testing.assert_close(module(golden['input']), golden['output'], **GOLDEN)


def test_equals_the_loops():
    module = randomize(CARAFE(4, 2, **SMALL)).double()
    x = torch.randn(2, 4, 3, 4, dtype=torch.float64)
    logits = module.content_encoder(module.channel_compressor(x)).detach()
    masks = torch.stack([naive.masks(image, 3, 2, 2) for image in logits])
    torch.testing.assert_close(module.masks(x), masks)
    expected = torch.stack([naive.carafe(image, mask, 3, 2, 2) for image, mask in zip(x, masks, strict=True)])
    torch.testing.assert_close(module(x), expected)


def test_gradients():
    module = randomize(CARAFE(2, 2, **dict(SMALL, compressed_channels=2))).double()
    assert torch.autograd.gradcheck(module, torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True))
    module(torch.randn(2, 2, 3, 4, dtype=torch.float64)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in module.parameters())


def test_starts_as_a_box_filter_that_is_dark_at_the_border():
    module = CARAFE(3, 2)
    x = torch.rand(1, 3, 6, 7)
    box = F.avg_pool2d(x, 5, 1, 2, count_include_pad=True)
    torch.testing.assert_close(module(x), F.interpolate(box, scale_factor=2, mode='nearest'), rtol=0, atol=0.01)
    assert module(torch.ones(1, 3, 6, 7))[0, 0, 0, 0].item() == pytest.approx(9 / 25, abs=0.01)


def test_weights_of_a_model_are_initialised_with_it():
    class Model(BaseModule):
        def __init__(self):
            super().__init__(init_cfg=dict(type='Constant', layer='Conv2d', val=7.0))
            self.upsample = CARAFE(8, 2)

    model = Model()
    model.init_weights()
    assert model.upsample.content_encoder.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert model.upsample.channel_compressor.weight.abs().max() < 1


@pytest.mark.parametrize('size', [(1, 1), (1, 7), (9, 13)], ids=str)
def test_any_size_and_independent_of_the_batch(size):
    module = randomize(CARAFE(4, 3, **SMALL))
    x = torch.randn(3, 4, *size)
    out = module(x)
    assert out.shape == (3, 4, 3 * size[0], 3 * size[1])
    for i in range(3):
        torch.testing.assert_close(out[i:i + 1], module(x[i:i + 1]))
    torch.testing.assert_close(module(x.to(memory_format=torch.channels_last)), out)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('half_input', [False, True])
def test_autocast(dtype, half_input):
    module = randomize(CARAFE(4, 2, **SMALL), std=0.2)
    x = torch.randn(2, 4, 9, 13)
    if half_input:
        x = x.to(dtype)
    with torch.autocast('cpu', dtype):
        out = module(x)
        assert module.masks(x).dtype == torch.float32
    assert out.dtype == x.dtype
    torch.testing.assert_close(out.float(), module(x.float()), rtol=0.02, atol=0.02)
    out.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.slow
def test_compiles_as_one_graph():
    module = randomize(CARAFE(4, 2, **SMALL))
    x = torch.randn(2, 4, 5, 7)
    torch.testing.assert_close(torch.compile(module, fullgraph=True, backend='aot_eager')(x), module(x))


@pytest.mark.slow
def test_exports_with_free_sizes():
    module = randomize(CARAFE(4, 2, **SMALL))
    program = torch.export.export(module, (torch.randn(2, 4, 9, 13),),
                                  dynamic_shapes=({0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO},))
    for shape in [(3, 4, 7, 20), (1, 4, 32, 5)]:
        x = torch.randn(shape)
        torch.testing.assert_close(program.module()(x), module(x))


@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(up_kernel=4), 'kernel_size must be odd, got 4'),
    (dict(up_group=3), 'got 3 groups of 4 channels'),
    (dict(scale_factor=1.5), r'scale_factor must be a positive integer, got 1\.5'),
    (dict(encoder_kernel=2), 'encoder_kernel must be odd to keep the size, got 2'),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CARAFE(**dict(channels=4, scale_factor=2) | arguments)


@pytest.mark.slow
@pytest.mark.parametrize('scope', ["init_default_scope('mmseg')", 'pass'])
def test_mmcv_builds_it_in_a_fresh_process(scope):
    if 'mmseg' in scope and not has_operators():
        pytest.skip('mmcv imports mmseg first, which fails without operators')
    code = f'''
from mmcv.cnn import build_upsample_layer
from mmengine.registry import init_default_scope
{scope}
print(type(build_upsample_layer(dict(type='mmseg_attn.CARAFE', channels=8, scale_factor=2))).__module__)
'''
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.stdout.split('\n')[-2:-1] == ['mmseg_attn.models.upsample.carafe'], result.stderr
