import numpy as np
import pytest
import torch

from mmseg_attn.common.errors import UserError
from mmseg_attn.export.check import check_sizes, compare_with_model, random_pictures
from mmseg_attn.export.network import Network, labels_of
from tests.export.models import model

SIZE = (2, 65, 90)


@pytest.fixture(scope='module')
def segmentor():
    return model()


def test_sizes_differ_from_the_traced_one():
    sizes = check_sizes((160, 160), ['batch', 'height', 'width'])
    assert sizes == [(1, 121, 201), (3, 200, 120)]
    assert check_sizes((160, 160), ['batch']) == [(1, 160, 160), (3, 160, 160)]


def test_pictures_have_all_colours():
    images = random_pictures(SIZE)
    assert images.shape == (2, 3, *SIZE[1:])
    assert images.min() >= 0
    assert images.max() <= 255
    assert images.std() > 30


def _run(network, change=lambda out: out):
    return lambda image: change(network(torch.from_numpy(image))).numpy()


def test_what_is_equal(segmentor):
    found = compare_with_model(_run(Network(segmentor)), segmentor, SIZE, prepared=True, argmax=False)
    assert found.size == SIZE
    assert found.error < 1e-6
    assert found.equal_labels == 1


def test_what_is_wrong_is_measured(segmentor):
    network = Network(segmentor)
    found = compare_with_model(_run(network, lambda out: 1.01 * out), segmentor, SIZE, prepared=True, argmax=False)
    assert found.error == pytest.approx(0.01, rel=1e-3)
    assert found.equal_labels == 1
    found = compare_with_model(_run(network, lambda out: out * np.nan), segmentor, SIZE, prepared=True, argmax=False)
    assert not found.error <= 1


def test_wrong_labels_are_counted(segmentor):
    def spoil(out):
        labels = labels_of(out, segmentor.decode_head)
        labels[:, :13] = 9
        return labels
    found = compare_with_model(_run(Network(segmentor), spoil), segmentor, SIZE, prepared=True, argmax=True)
    assert found.error is None
    assert found.equal_labels == pytest.approx(1 - 13 / 65)


def test_another_shape_is_an_error(segmentor):
    with pytest.raises(UserError, match=r'2 x 65 x 90 it gives \(2, 5, 64, 90\) instead of \(2, 5, 65, 90\)'):
        compare_with_model(_run(Network(segmentor), lambda out: out[:, :, 1:]), segmentor, SIZE, prepared=True,
                           argmax=False)


def test_padding_is_not_part_of_the_network():
    segmentor = model(model__data_preprocessor__test_cfg=dict(size_divisor=32))
    found = compare_with_model(_run(Network(segmentor)), segmentor, SIZE, prepared=True, argmax=False)
    assert found.error < 1e-6
    assert segmentor.data_preprocessor.test_cfg == dict(size_divisor=32)
