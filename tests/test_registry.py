"""`type='mmseg_attn.X'` from a fresh process, beside mmseg's own heads, and after a dump."""

import subprocess
import sys

import pytest

BUILD = '''
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
init_default_scope('mmseg')
head = dict(in_channels=8, in_index=0, channels=4, num_classes=3)
'''


def _run(code: str, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, **kwargs)


@pytest.mark.slow
def test_scoped_name_needs_no_import_and_leaves_mmseg_alone():
    result = _run(BUILD + '''
print(type(MODELS.build(dict(type='mmseg_attn.EMAHead', **head))).__module__)
print(type(MODELS.build(dict(type='EMAHead', ema_channels=8, num_bases=4, num_stages=3, **head))).__module__)
''')
    assert result.stdout.split('\n')[-3:-1] == [
        'mmseg_attn.models.heads.emanet', 'mmseg.models.decode_heads.ema_head'], result.stderr


@pytest.mark.slow
def test_init_model_and_inferencer_after_dump_and_reload(tmp_path):
    result = _run(BUILD + f'''
import numpy as np
from mmseg.apis import MMSegInferencer, inference_model, init_model
cfg = Config.fromfile('configs/non_local_r18_shapes.py')
cfg.dump(r'{tmp_path}/dumped.py')
image = np.zeros((64, 96, 3), np.uint8)
model = init_model(r'{tmp_path}/dumped.py', device='cpu')
print(type(model.decode_head).__module__, tuple(inference_model(model, image).pred_sem_seg.data.shape))
cfg.model.backbone.init_cfg = None
inferencer = MMSegInferencer(r'{tmp_path}/dumped.py', classes=list('abcde'), palette=[[i] * 3 for i in range(5)],
                             device='cpu')
print(inferencer(image)['predictions'].shape)
''')
    assert 'mmseg_attn.models.heads.non_local (1, 64, 96)' in result.stdout, result.stderr
    assert '(64, 96)' in result.stdout.split('\n')[-2], result.stderr


@pytest.mark.parametrize(('package', 'failure', 'expected'), [
    ('mmengine', 'raise ModuleNotFoundError("No module named \'mmengine\'")', 'pip install'),
    pytest.param('mmcv', 'raise OSError("libcudart.so: cannot open")', 'OSError: libcudart.so: cannot open',
                 marks=pytest.mark.slow),
    pytest.param('mmseg', 'raise AssertionError("MMCV==2.2.0 is used but incompatible")',
                 'MMCV==2.2.0 is used but incompatible', marks=pytest.mark.slow),
])
def test_a_broken_stack_gives_one_message_with_a_command(tmp_path, package, failure, expected):
    (tmp_path / f'{package}.py').write_text(failure)
    result = _run(f'import sys; sys.path.insert(0, r"{tmp_path}")\nimport mmseg_attn.registry')
    message = result.stderr.split('ImportError: ')[-1]
    assert 'mmseg_attn needs mmengine, mmcv and mmsegmentation' in message
    assert expected in message
    assert 'fix it with: pip' in message
