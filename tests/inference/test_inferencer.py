"""mmseg's own way to predict, with our configs, as docs/inference.md shows it."""

import re
import shutil
import subprocess
import sys

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.apis import MMSegInferencer

from mmseg_attn.explain import load_model
from mmseg_attn.inference.prediction import Predictor
from mmseg_attn.registry import MODELS
from tests.explain.models import picture
from tests.tools.command import CONFIGS, ROOT, environment, succeeds


@pytest.fixture
def street(files, monkeypatch):
    """In the folder of the files: a photograph under the name of the page, and under its names config and weights."""
    monkeypatch.chdir(files)
    mmcv.imwrite(picture(), 'street.png')
    (files / 'configs').mkdir(exist_ok=True)
    (files / 'work_dirs' / 'emanet_r18_camvid').mkdir(exist_ok=True, parents=True)
    shutil.copy('config.py', 'configs/emanet_r18_camvid.py')
    shutil.copy('weights.pth', 'work_dirs/emanet_r18_camvid/iter_4000.pth')
    return files / 'street.png'


def _ours(folder, image):
    predictor = Predictor(load_model(folder / 'config.py', folder / 'weights.pth'), probabilities=True)
    return predictor(predictor.reader.load(image))


def _program():
    return re.search(r'```python\n(.*?)```', (ROOT / 'docs' / 'inference.md').read_text(), re.DOTALL)[1]


def test_the_program_of_the_page(files, street):
    names = {}
    exec(_program(), names)
    expected = _ours(files, street)
    assert len(np.unique(expected.labels)) > 1
    assert np.array_equal(names['labels'], expected.labels)
    np.testing.assert_allclose(names['probabilities'], expected.probabilities, atol=2 ** -11, rtol=0)
    assert names['overlay'].shape == (44, 60, 3)
    assert names['classes'] == [f'class {i}' for i in range(5)]


@pytest.mark.slow
@pytest.mark.parametrize('imports', [True, False], ids=['custom_imports', 'no custom_imports'])
def test_a_process_that_has_not_imported_us(files, street, imports):
    cfg = Config.fromfile('configs/emanet_r18_camvid.py')
    assert 'custom_imports' in cfg
    if not imports:
        cfg.pop('custom_imports')
        cfg.dump('configs/emanet_r18_camvid.py')
    program = f'{_program()}\nimport numpy\nnumpy.save("labels.npy", labels)'
    succeeds(subprocess.run([sys.executable, '-c', program], cwd=files, capture_output=True, text=True,
                            env=environment()))
    assert np.array_equal(np.load('labels.npy'), _ours(files, street).labels)


@pytest.mark.slow
@pytest.mark.parametrize('config', sorted(CONFIGS.glob('*_r18_shapes.py')), ids=lambda path: path.stem)
def test_every_method(config, street, tmp_path):
    cfg = Config.fromfile(config)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(),
                    meta=dict(dataset_meta=dict(classes=list('abcde'), palette=[[i] * 3 for i in range(5)]))),
               tmp_path / 'weights.pth')
    inferencer = MMSegInferencer(str(config), str(tmp_path / 'weights.pth'), device='cpu')
    predictor = Predictor(load_model(config, tmp_path / 'weights.pth'))
    expected = predictor(predictor.reader.load(street)).labels
    assert np.array_equal(inferencer(str(street))['predictions'], expected)
