"""A network at several scales as a file, in both formats."""

import importlib.util

import pytest
import torch

from mmseg_attn.export import FORMATS, export
from mmseg_attn.export.network import Network
from mmseg_attn.ops.scale_fusion import scaled_size
from tests.export.models import SIZE, model

OPTIONS = dict(model__type='mmseg_attn.MultiScaleEncoderDecoder', model__attention_channels=8)
FUSIONS = [dict(model__test_scales=(0.5, 1.0, 2.0)), dict(model__fusion='softmax')]


@pytest.mark.parametrize('options', FUSIONS, ids=str)
def test_the_network_is_the_prediction(options):
    segmentor, image = model(**OPTIONS, **options), torch.randn(2, 3, *SIZE)
    expected = segmentor.encode_decode(image, [dict(img_shape=SIZE)] * 2)
    torch.testing.assert_close(Network(segmentor)(image), expected)


@pytest.mark.slow
@pytest.mark.parametrize('options', FUSIONS, ids=str)
@pytest.mark.parametrize('file_format', FORMATS)
def test_files(options, file_format, tmp_path):
    if file_format == 'onnx' and importlib.util.find_spec('onnxruntime') is None:
        pytest.skip('onnxruntime is not installed')
    path = tmp_path / f'model{FORMATS[file_format].SUFFIX}'
    segmentor = model(**OPTIONS, **options)
    done = export(segmentor, path, file_format, SIZE)
    assert done.free == ['batch', 'height', 'width'], done.why_fixed
    # Odd, so that the sizes of the scales are rounded.
    image = torch.randn(2, 3, 131, 161)
    expected = segmentor.encode_decode(image, [dict(img_shape=(131, 161))])
    found = torch.from_numpy(FORMATS[file_format].load(path)(image.numpy()))
    assert (found - expected).norm() < 1e-4 * expected.norm()
    assert scaled_size((131, 161), 0.5) == (65, 80)
