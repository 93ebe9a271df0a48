"""Every head as a file, in both formats."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
import torch

from mmseg_attn.common.errors import UserError
from mmseg_attn.export import FORMATS, export
from mmseg_attn.export import files as files_module
from tests.export.models import FIXED, HEADS, SIZE, in_channels, model

OTHER_SIZE = (2, 129, 161)
ONNX = pytest.mark.skipif(importlib.util.find_spec('onnxruntime') is None, reason='onnxruntime is not installed')


def _path(folder: Path, file_format: str) -> Path:
    return folder / f'model{FORMATS[file_format].SUFFIX}'


@ONNX
@pytest.mark.slow
@pytest.mark.parametrize('name', HEADS)
def test_every_head(name, tmp_path, monkeypatch):
    segmentor, traced, trace = model(name), {}, files_module.trace

    def trace_once(network, size, free_size, channels):
        if free_size not in traced:
            try:
                traced[free_size] = trace(network, size, free_size, channels)
            except Exception as error:
                traced[free_size] = error
        if isinstance(traced[free_size], Exception):
            raise traced[free_size]
        return traced[free_size]
    # For both formats: it takes longer than all else.
    monkeypatch.setattr(files_module, 'trace', trace_once)
    # The command loads the file to compare it, and the test does again.
    for module in FORMATS.values():
        monkeypatch.setattr(module, 'load', _once(module.load))
    for file_format in 'torch-export', 'onnx':
        (tmp_path / file_format).mkdir()
        _export(name, segmentor, file_format, tmp_path / file_format)


def _once(load):
    loaded = {}

    def wrapper(path):
        content = path.read_bytes()
        if content not in loaded:
            loaded[content] = load(path)
        return loaded[content]
    return wrapper


def _export(name, segmentor, file_format, tmp_path):
    path = _path(tmp_path, file_format)
    done = export(segmentor, path, file_format, SIZE)
    assert list(tmp_path.iterdir()) == [path]
    assert done.free == (['batch'] if name in FIXED else ['batch', 'height', 'width']), done.why_fixed
    assert [agreement.size[0] for agreement in done.agreements] == [1, 3]
    size = (OTHER_SIZE[0], *SIZE) if name in FIXED else OTHER_SIZE
    image = torch.randn(size[0], 3, *size[1:])
    expected = segmentor.encode_decode(image, [dict(img_shape=size[1:])])
    found = torch.from_numpy(FORMATS[file_format].load(path)(image.numpy()))
    assert (found - expected).norm() < 1e-4 * expected.norm()
    content = path.read_bytes()
    assert str(Path(__file__).parents[2]).encode() not in content
    assert sys.prefix.encode() not in content


@ONNX
@pytest.mark.slow
def test_what_an_onnx_file_says_of_itself(tmp_path):
    import onnxruntime
    path = tmp_path / 'model.onnx'
    export(model(), path, 'onnx', (64, 64), name='glore_small')
    session = onnxruntime.InferenceSession(str(path))
    image, = session.get_inputs()
    assert (image.name, image.type, image.shape) == ('image', 'tensor(float)', ['batch', 3, 'height', 'width'])
    assert [output.name for output in session.get_outputs()] == ['logits']
    said = session.get_modelmeta().custom_metadata_map
    assert said['config'] == 'glore_small'
    assert json.loads(said['classes'])[1] == 'class 1'
    assert json.loads(said['palette'])[1] == [40, 249, 9]
    assert said['colours'] == 'RGB'
    assert json.loads(said['mean']) == [123.675, 116.28, 103.53]
    assert json.loads(said['sizes']) == dict(batch='any', height='any', width='any')


def test_what_a_pt2_file_says_of_itself(tmp_path):
    path, extra = tmp_path / 'model.pt2', {'metadata.json': ''}
    segmentor = model(model__test_cfg=dict(mode='slide', crop_size=(64, 72), stride=(40, 40)),
                      model__data_preprocessor__type='mmseg_attn.AlignedSegDataPreProcessor')
    export(segmentor, path, 'torch-export', (64, 72), normalize=True, argmax=True, fixed_size=True)
    torch.export.load(path, extra_files=extra)
    said = json.loads(extra['metadata.json'])
    assert said['output'] == 'labels'
    assert said['mean'] == [0, 0, 0]
    assert said['sizes'] == dict(batch='any', height=64, width=72)
    assert said['testing'] == dict(mode='slide', crop_size=[64, 72], stride=[40, 40])
    assert said['padding'] == 'to 8 n + 1 pixels, with zeros'


def test_images_of_five_channels(tmp_path):
    done = export(model(**in_channels(5)), tmp_path / 'model.pt2', 'torch-export', (64, 72), fixed_size=True)
    assert (done.metadata['colours'], len(done.metadata['mean'])) == ('as loaded', 5)
    assert done.metadata['input'] == '(pixel - mean) / std, pixels as the config loads them'


@pytest.mark.slow
def test_a_size_that_has_to_be_fixed_says_why(tmp_path):
    done = export(model('psanet-compact'), tmp_path / 'model.pt2', 'torch-export', SIZE)
    assert 'a compact mask of (9, 10)' in done.why_fixed
    assert done.metadata['sizes'] == dict(batch='any', height=SIZE[0], width=SIZE[1])


def test_a_wrong_file_gets_no_name(tmp_path, monkeypatch):
    path = tmp_path / 'model.pt2'
    path.write_text('of an earlier export')
    load = files_module.pt2_file.load
    monkeypatch.setattr(files_module.pt2_file, 'load', lambda path: lambda image: 1.01 * load(path)(image))
    with pytest.raises(UserError, match='does not compute what the model does: images of 1 x 64 x 64: relative error'):
        export(model(), path, 'torch-export', (64, 64), fixed_size=True)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == 'of an earlier export'


@pytest.mark.skipif(os.name != 'posix', reason='limits the size of files')
def test_a_full_disk(tmp_path):
    import resource
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, limit[1]))
    try:
        with pytest.raises(UserError, match=r'cannot write .*model\.pt2: File too large'):
            export(model(), tmp_path / 'model.pt2', 'torch-export', (64, 64), fixed_size=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_does_not_run(tmp_path):
    segmentor = model()
    segmentor.decode_head.in_conv.conv.weight.data = torch.zeros(16, 31, 3, 3)
    with pytest.raises(UserError, match='small cannot be exported for images of 64 x 64'):
        export(segmentor, tmp_path / 'model.pt2', 'torch-export', (64, 64), name='small')
    assert not list(tmp_path.iterdir())


def test_missing_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, 'find_spec', lambda name: None if name == 'onnxscript' else name)
    with pytest.raises(ImportError, match='--format onnx needs onnxscript: pip install onnxscript'):
        export(model(), tmp_path / 'model.onnx', 'onnx', (64, 64))
