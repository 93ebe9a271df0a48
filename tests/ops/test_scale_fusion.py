import weakref

import pytest
import torch
from torch.export import Dim

from mmseg_attn.ops.scale_fusion import (
    hierarchical_fusion,
    hierarchical_weights,
    resize,
    scaled_size,
    softmax_fusion,
    softmax_weights,
)
from tests.helpers import GOLDEN
from tests.naive import scale_fusion as naive

SIZE = (5, 7)
SCALES = [(1.0, 0.5), (2.0, 1.0), (2.0, 1.5, 1.0), (1.0, 0.7, 0.4), (2.0, 1.0, 0.5)]


def last(x):
    return x[0].movedim(0, -1)


def maps(scales, size=SIZE, images=1, classes=3):
    """Logits and attention of each scale, float64."""
    sizes = [scaled_size(size, scale) for scale in scales]
    logits = [torch.randn(images, classes, *s, dtype=torch.float64, requires_grad=True) for s in sizes]
    attention = [torch.rand(images, 1, *s, dtype=torch.float64, requires_grad=True) for s in sizes]
    return logits, attention


def assert_equal_with_gradients(found, expected, leaves):
    """``expected`` is of one image and (H, W, C)."""
    torch.testing.assert_close(last(found), expected)
    cotangent = torch.randn_like(expected)
    ours, theirs = (torch.autograd.grad(result, leaves, cotangent, materialize_grads=True)
                    for result in (last(found), expected))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('scales', SCALES, ids=str)
def test_hierarchical_fusion_equals_the_loops(scales, align_corners):
    logits, attention = maps(scales)
    found = hierarchical_fusion(zip(scales, logits, attention, strict=True), align_corners)
    expected = naive.hierarchical(scales, list(map(last, logits)), list(map(last, attention)), align_corners)
    assert_equal_with_gradients(found, expected, [*logits, *attention])
    assert found.shape == (1, 3, *SIZE)


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('scales', SCALES, ids=str)
def test_hierarchical_weights_equal_the_loops(scales, align_corners):
    attention = maps(scales)[1]
    found = hierarchical_weights(zip(scales, attention, strict=True), align_corners)
    expected = naive.hierarchical_weights(scales, list(map(last, attention)), align_corners)
    assert_equal_with_gradients(found, expected, attention)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(1, *SIZE, dtype=torch.float64))


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('scales', SCALES, ids=str)
def test_softmax_fusion_equals_the_loops(scales, align_corners):
    logits = maps(scales)[0]
    scores = torch.randn(1, len(scales), 3, 4, dtype=torch.float64, requires_grad=True)
    found = softmax_fusion(logits, scores, SIZE, align_corners)
    expected = naive.softmax(list(map(last, logits)), last(scores), *SIZE, align_corners)
    assert_equal_with_gradients(found, expected, [*logits, scores])
    weights = softmax_weights(scores, SIZE, align_corners)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(1, *SIZE, dtype=torch.float64))


def test_the_official_fusion(golden):
    numbers = golden('scale_attention_nvidia_3scales')
    found = numbers['intermediates']
    logits = [found[f'pred_{scale}x'] for scale in ('20', '10', '05')]
    attention = [logits[0][:, :1], found['attn_10x'], found['attn_05x']]
    fused = hierarchical_fusion(zip((2.0, 1.0, 0.5), logits, attention, strict=True))
    torch.testing.assert_close(fused, numbers['output'], **GOLDEN)


def test_the_weights_give_the_fused_logits_where_no_product_is_resized():
    (high, low), attention = maps((2.0, 1.0))
    weights = hierarchical_weights(zip((2.0, 1.0), attention, strict=True))
    expected = weights[:, :1] * resize(high, SIZE) + weights[:, 1:] * low
    torch.testing.assert_close(hierarchical_fusion(zip((2.0, 1.0), (high, low), attention, strict=True)), expected)


@pytest.mark.parametrize(('scales', 'constant'), [
    *((scales, 'logits') for scales in SCALES),
    # Of several scales above 1, the mixture of the highest is resized twice, and not as by one resizing.
    *((scales, 'attention') for scales in SCALES if scales != (2.0, 1.5, 1.0))], ids=str)
def test_the_weights_give_the_fused_logits_of_constant_maps(scales, constant):
    logits, attention = maps(scales)
    chosen = logits if constant == 'logits' else attention
    chosen[:] = [map_[:, :, :1, :1].expand_as(map_) for map_ in chosen]
    weights = hierarchical_weights(zip(scales, attention, strict=True)).split(1, dim=1)
    expected = sum(weight * resize(own, SIZE) for weight, own in zip(weights, logits, strict=True))
    torch.testing.assert_close(hierarchical_fusion(zip(scales, logits, attention, strict=True)), expected)


@pytest.mark.parametrize('scale', [0.29, 0.5, 0.7, 0.75, 1.0, 1.1, 1.25, 2.0])
def test_sizes_are_rounded_down_as_the_scale_is_written(scale):
    for side in (*range(1, 40), 100, 769, 1024, 2048):
        assert scaled_size((side, 1), scale) == (naive.scaled(side, scale), naive.scaled(1, scale))


def test_sizes_are_those_of_the_official_code():
    for scale in (0.25, 0.5, 0.75, 1.25, 1.5, 1.75, 2.0):
        for side in (8, 65, 97, 769):
            x = torch.empty(1, 1, side, side)
            expected = torch.nn.functional.interpolate(x, scale_factor=scale, mode='bilinear').shape[2:]
            assert scaled_size((side, side), scale) == tuple(expected)


def test_images_are_independent_and_any_layout_is_taken():
    scales = (2.0, 1.0, 0.5)
    logits, attention = maps(scales, images=3)
    fused = hierarchical_fusion(zip(scales, logits, attention, strict=True))
    alone = hierarchical_fusion((scale, p[1:2].contiguous(memory_format=torch.channels_last), a[1:2])
                                for scale, p, a in zip(scales, logits, attention, strict=True))
    torch.testing.assert_close(fused[1:2], alone)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_fused_in_float32(dtype):
    scales = (2.0, 1.0, 0.5)
    logits, attention = ([map_.to(dtype) for map_ in some] for some in maps(scales))
    found = hierarchical_fusion(zip(scales, logits, attention, strict=True))
    in_float32 = [map_.float() for map_ in logits]
    expected = hierarchical_fusion(zip(scales, in_float32, [map_.float() for map_ in attention], strict=True))
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    scores = torch.randn(1, 3, 4, 6, dtype=dtype)
    expected = softmax_fusion(in_float32, scores.float(), SIZE)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(softmax_fusion(logits, scores, SIZE), expected)


def test_no_prediction_is_held_longer_than_needed():
    made, alive = [], []

    def predictions():
        for scale in (2.0, 1.0, 0.5):
            alive.append([logits() is not None for logits in made])
            logits = torch.rand(1, 3, *scaled_size(SIZE, scale))
            made.append(weakref.ref(logits))
            yield scale, logits, torch.rand(1, 1, *logits.shape[2:])
            del logits
    hierarchical_fusion(predictions())
    assert alive == [[], [True], [False, True]]


@pytest.mark.parametrize(('scales', 'message'), [
    ((0.5, 1.0), r'scales must have 1 among them, got \[0.5\]'),
    ((1.0, 1.0), 'scales must come from the highest down, got 1 after 1'),
    ((2.0, 0.5), r'scales must have 1 among them, got \[2.0, 0.5\]'),
    ((2.0, 1.5), r'scales must have 1 among them, got \[2.0, 1.5\]')])
def test_scales_in_a_wrong_order(scales, message):
    logits, attention = maps(scales)
    with pytest.raises(ValueError, match=message):
        hierarchical_fusion(zip(scales, logits, attention, strict=True))
    with pytest.raises(ValueError, match=message):
        hierarchical_weights(zip(scales, attention, strict=True))


def test_a_score_for_each_scale():
    with pytest.raises(ValueError, match='a score for each of the 2 scales, got 3'):
        softmax_fusion(maps((1.0, 0.5))[0], torch.zeros(1, 3, 5, 7), SIZE)


@pytest.mark.slow
def test_exporting_with_free_sizes_and_compiling():
    class Fuse(torch.nn.Module):

        def forward(self, x):
            return hierarchical_fusion((scale, resize(x, scaled_size(x.shape[2:], scale)),
                                        resize(x[:, :1].sigmoid(), scaled_size(x.shape[2:], scale)))
                                       for scale in (2.0, 1.0, 0.5))
    free = {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}
    program = torch.export.export(Fuse(), (torch.randn(2, 3, 12, 20), ), dynamic_shapes=(free, ))
    for size in ((1, 3, 9, 31), (4, 3, 25, 6)):
        x = torch.randn(size)
        torch.testing.assert_close(program.module()(x), Fuse()(x))
    x = torch.randn(2, 3, 12, 20)
    torch.testing.assert_close(torch.compile(Fuse(), fullgraph=True, backend='aot_eager')(x), Fuse()(x))
