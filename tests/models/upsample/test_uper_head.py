"""CARAFEUPerHead against mmseg's UPerHead, whose resizing is replaced by what CARAFE is with fixed kernels."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.models.decode_heads import uper_head
from mmseg.structures import SegDataSample

from mmseg_attn.models.upsample import CARAFE, CARAFEUPerHead
from mmseg_attn.registry import MODELS
from tests.helpers import randomize

COMMON = dict(channels=8, num_classes=5, pool_scales=(1, 2), norm_cfg=dict(type='BN'))
CARAFE_SMALL = dict(up_kernel=3, compressed_channels=4)


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmseg')


def _head(in_channels=(4, 6, 6, 10), **kwargs):
    arguments = dict(in_channels=list(in_channels), in_index=list(range(len(in_channels))), carafe=CARAFE_SMALL)
    return randomize(MODELS.build(dict(type='mmseg_attn.CARAFEUPerHead', **COMMON) | arguments | kwargs))


def _features(height, width, strides=(4, 8, 16, 32), channels=(4, 6, 6, 10), batch=2):
    """What a backbone gives for an image of this size: every stride of two rounds up."""
    return [torch.randn(batch, c, -(-height // stride), -(-width // stride))
            for c, stride in zip(channels, strides, strict=True)]


def _fix_kernels(head, kernel):
    for module in head.modules():
        if isinstance(module, CARAFE):
            encoder = module.content_encoder
            torch.nn.init.zeros_(encoder.weight)
            torch.nn.init.zeros_(encoder.bias)
            if kernel == 'nearest':
                encoder.bias.data.unflatten(0, (9, 4))[4] = 1e4


def _doubled(x, kernel):
    if kernel == 'box':
        x = F.avg_pool2d(x, 3, 1, 1, count_include_pad=True)
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def _resize_as_carafe(kernel, sizes):
    """``mmseg.models.utils.resize`` from a level to another by doubling once per level in between and cropping."""
    def resize(x, size, mode, align_corners):
        level = sizes.index(tuple(x.shape[-2:]))
        while tuple(x.shape[-2:]) != tuple(size):
            level -= 1
            x = _doubled(x, kernel)[..., :sizes[level][0], :sizes[level][1]]
        return x
    return resize


@pytest.mark.parametrize('size', [(128, 192), (129, 193), (97, 70), (33, 65)], ids=str)
@pytest.mark.parametrize('kernel', ['nearest', 'box'])
@pytest.mark.parametrize('training', [False, True])
def test_equals_mmseg_with_its_resizing_replaced(monkeypatch, kernel, size, training):
    ours = _head().train(training)
    _fix_kernels(ours, kernel)
    theirs = uper_head.UPerHead(in_channels=[4, 6, 6, 10], in_index=[0, 1, 2, 3], **COMMON).train(training)
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not missing
    assert all(key.startswith(('top_down.', 'fusion.')) for key in unexpected)
    ours.dropout = theirs.dropout = None
    features = _features(*size)
    out = ours(features)
    assert out.shape[-2:] == features[0].shape[-2:]
    sizes = [tuple(x.shape[-2:]) for x in features]
    monkeypatch.setattr(uper_head, 'resize', _resize_as_carafe(kernel, sizes))
    torch.testing.assert_close(out, theirs(features), rtol=1e-4, atol=1e-4)


def test_levels_of_equal_stride_are_not_upsampled():
    head = _head(strides=(4, 8, 8, 8)).eval()
    assert [len(chain) for chain in head.top_down] == [1, 0, 0]
    assert [len(chain) for chain in head.fusion] == [1, 1, 1]
    assert head(_features(97, 65, (4, 8, 8, 8))).shape == (2, 5, 25, 17)


def test_without_upsampling_it_is_mmsegs_head():
    ours = _head(strides=(8, 8, 8, 8)).eval()
    assert not [m for m in ours.modules() if isinstance(m, CARAFE)]
    theirs = uper_head.UPerHead(in_channels=[4, 6, 6, 10], in_index=[0, 1, 2, 3], **COMMON).eval()
    theirs.load_state_dict(ours.state_dict())
    for strides in ((8, 8, 8, 8), (4, 8, 16, 32)):
        features = _features(97, 65, strides)
        assert torch.equal(ours(features), theirs(features))


def test_a_ratio_of_four_is_two_steps():
    head = _head((4, 10), strides=(4, 16)).eval()
    assert [len(chain) for chain in (*head.top_down, *head.fusion)] == [2, 2]
    assert head(_features(65, 97, (4, 16), (4, 10))).shape == (2, 5, 17, 25)


def test_other_sizes_are_resized_at_the_end():
    """A backbone that rounds sizes down, and one whose strides are not what was said."""
    head = _head((4, 10), strides=(4, 8)).eval()
    _fix_kernels(head, 'nearest')
    upsample = head.top_down[0]
    for small, size in (((4, 6), (9, 13)), ((4, 6), (6, 11)), ((3, 4), (12, 16))):
        x = torch.randn(1, 8, *small)
        expected = F.interpolate(_doubled(x, 'nearest'), size, mode='bilinear', align_corners=False)
        torch.testing.assert_close(upsample(x, size), expected)
        assert head([torch.randn(2, 4, *size), torch.randn(2, 10, *small)]).shape == (2, 5, *size)


def test_loss_reaches_every_parameter_and_predictions_have_the_size_of_the_image():
    head = _head().train()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 5, (1, 65, 97)))) for _ in range(2)]
    sum(v for k, v in head.loss(_features(65, 97), samples, train_cfg=None).items() if 'loss' in k).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any() or name.endswith('.bias'), name
    metas = [dict(img_shape=(65, 97), pad_shape=(65, 97))] * 2
    assert head.eval().predict(_features(65, 97), metas, test_cfg=None).shape == (2, 5, 65, 97)


def test_arguments_reach_every_carafe():
    carafe = dict(up_kernel=3, up_group=2, encoder_kernel=5, encoder_dilation=2, compressed_channels=6)
    modules = [m for m in _head(carafe=carafe).modules() if isinstance(m, CARAFE)]
    assert len(modules) == 3 + (1 + 2 + 3)
    for m in modules:
        assert (m.up_kernel, m.up_group, m.scale_factor) == (3, 2, 2)
        assert m.content_encoder.weight.shape == (2 * 9 * 4, 6, 5, 5)
        assert m.content_encoder.dilation == (2, 2)
    default = next(m for m in _head(carafe=None).modules() if isinstance(m, CARAFE))
    assert (default.up_kernel, default.up_group, default.content_encoder.in_channels) == (5, 1, 64)


def test_its_initialisation_is_that_of_carafe():
    head = _head(init_cfg=dict(type='Constant', layer='Conv2d', val=7.0))
    head.init_weights()
    assert (head.conv_seg.weight == 7).all()
    for m in head.modules():
        if isinstance(m, CARAFE):
            assert m.content_encoder.weight.std().item() == pytest.approx(0.001, rel=0.2)


def test_without_a_norm():
    head = _head(norm_cfg=None)
    assert not [m for m in head.modules() if 'Norm' in type(m).__name__]
    assert head(_features(65, 97, batch=1)).shape == (1, 5, 17, 25)


def test_out_channels_of_binary_segmentation():
    assert _head(num_classes=2, out_channels=1, threshold=0.5)(_features(33, 33)).shape == (2, 1, 9, 9)


@pytest.mark.parametrize(('strides', 'message'), [
    ((4, 8, 16), 'strides must be one for each of the 4 inputs'),
    ((4, 8, 16, 48), 'strides must grow by powers of two, got 48 after 16'),
    ((8, 4, 8, 16), 'got 4 after 8'),
])
def test_wrong_strides(strides, message):
    with pytest.raises(ValueError, match=message):
        CARAFEUPerHead(in_channels=[4] * 4, in_index=[0, 1, 2, 3], strides=strides, **COMMON)


def test_a_misspelt_argument_is_an_error():
    with pytest.raises(TypeError, match='up_kernels'):
        _head(carafe=dict(up_kernels=3))
