"""The code in docs/export.md, run where nothing of this package or of OpenMMLab can be imported."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_attn.export import FORMATS, export
from tests.export.models import model

PAGE = Path(__file__).parents[2] / 'docs' / 'export.md'
SIZE = (65, 82)
ABSENT = ['mmseg_attn', 'mmseg', 'mmcv', 'mmengine', 'onnxscript']
BLOCKED = "import sys\nsys.modules.update(dict.fromkeys({!r}))\nexec(open('code.py').read())"


def _code(file_name: str) -> str:
    blocks = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL)
    code, = (block for block in blocks if f"'{file_name}'" in block)
    return code


def _run(folder: Path, code: str, absent: list[str]) -> str:
    (folder / 'code.py').write_text(code)
    done = subprocess.run([sys.executable, '-I', '-c', BLOCKED.format(absent)], cwd=folder, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def picture(tmp_path):
    content = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(content).save(tmp_path / 'picture.png')
    return torch.from_numpy(content[..., ::-1].copy()).permute(2, 0, 1)


def _labels(segmentor, picture) -> np.ndarray:
    data = segmentor.data_preprocessor(dict(inputs=[picture]), False)
    return segmentor.predict(data['inputs'])[0].pred_sem_seg.data[0].numpy()


@pytest.mark.parametrize('options', [
    dict(normalize=True), dict(), dict(bgr_to_rgb=False, mean=[104.0, 116.7, 122.7])], ids=str)
@pytest.mark.slow
def test_onnxruntime_alone(tmp_path, picture, options):
    pytest.importorskip('onnxruntime')
    segmentor = model(**{f'model__data_preprocessor__{key}': value for key, value in options.items()
                         if key != 'normalize'})
    export(segmentor, tmp_path / 'model.onnx', 'onnx', (64, 64), normalize='normalize' in options)
    _run(tmp_path, _code('model.onnx'), [*ABSENT, 'torch', 'onnx'])
    colours = np.array(segmentor.dataset_meta['palette'], np.uint8)[_labels(segmentor, picture)]
    assert (np.asarray(Image.open(tmp_path / 'labels.png')) == colours).all(axis=-1).mean() > 0.999


@pytest.mark.slow
def test_torch_alone(tmp_path, picture):
    segmentor = model()
    export(segmentor, tmp_path / 'model.pt2', 'torch-export', (64, 64))
    code = _code('model.pt2') + "\ntorch.save(labels, 'labels.pt')\n"
    _run(tmp_path, code, [*ABSENT, 'onnx', 'onnxruntime'])
    found = torch.load(tmp_path / 'labels.pt').numpy()
    assert (found == _labels(segmentor, picture)).mean() > 0.999


@pytest.mark.slow
@pytest.mark.parametrize(('file_format', 'file_name'), [('onnx', 'model.onnx'), ('torch-export', 'model.pt2')])
def test_images_of_another_kind_are_refused(tmp_path, picture, file_format, file_name):
    loading = dict(type='LoadImageFromFile', color_type='unchanged', imdecode_backend='tifffile')
    segmentor = model(test_dataloader__dataset__pipeline=[loading, dict(type='PackSegInputs')])
    done = export(segmentor, tmp_path / file_name, file_format, (64, 64), fixed_size=True)
    assert done.metadata['loading'] == [loading]
    assert done.metadata['input'].endswith('pixels as the config loads them')
    with pytest.raises(AssertionError, match=r'load the image as the config does, by .*tifffile'):
        _run(tmp_path, _code(file_name), ABSENT)


def test_the_page_names_every_method_and_format():
    text = PAGE.read_text()
    assert all(f'--format {name}' in text for name in FORMATS)
