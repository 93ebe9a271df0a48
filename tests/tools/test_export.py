"""tools/export.py writes files of models."""


import pytest
import torch

from mmseg_attn.common.errors import UserError
from tests.export.models import save
from tests.tools.command import fails, run_here, succeeds, tool


@pytest.fixture
def export(monkeypatch, capsys, tmp_path):
    """The tool in this process, in a folder with a config and a checkpoint: arguments -> output."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        run_here('export', *arguments)
        return capsys.readouterr().out

    return run


@pytest.fixture
def files(tmp_path):
    return save(tmp_path)


@pytest.mark.slow
def test_a_pt2_file(export, files, tmp_path):
    out = export(*files, '--format', 'torch-export', '--size', 64, 80, '--normalize', '--argmax')
    assert 'Wrote glore.pt2' in out
    assert 'input: RGB, pixels from 0 to 255\n' in out
    assert 'output: labels of 5 classes' in out
    assert 'sizes: batch any, height any, width any' in out
    assert '1 x 49 x 101: 100.000 % of the labels equal' in out
    labels = torch.export.load(tmp_path / 'glore.pt2').module()(torch.zeros(1, 3, 70, 90))
    assert labels.shape == (1, 70, 90)


@pytest.mark.slow
def test_an_onnx_file(export, files, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    out = export(*files, '--format', 'onnx', '--size', 64, '--fixed-size', '--out', 'small.onnx',
                 '--cfg-options', 'model.data_preprocessor.bgr_to_rgb=False')
    assert 'input: BGR, (pixel - mean) / std' in out
    assert 'sizes: batch any, height 64, width 64' in out
    assert 'had to be fixed' not in out
    image, = onnxruntime.InferenceSession(str(tmp_path / 'small.onnx')).get_inputs()
    assert image.shape == ['batch', 3, 64, 64]


@pytest.mark.parametrize(('arguments', 'message'), [
    (['none.py', 'none.pth'], 'there is no config file none.py'),
    (['glore.py', 'none.pth'], 'there is no checkpoint none.pth'),
    (['glore.py', 'glore.pth', '--out', 'model.onnx'], r'--out model.onnx: .* ends in .pt2'),
    (['glore.py', 'glore.pth', '--out', 'none/model.pt2'], r'--out none/model.pt2: there is no folder'),
    (['glore.py', 'glore.pth', '--out', 'folder.pt2'], '--out folder.pt2 is a folder'),
    (['glore.py', 'glore.pth', '--size', 1, 2, 3], '--size takes a height and a width'),
    (['glore.py', 'glore.pth', '--size', 0], 'got 0'),
    (['glore.py', 'glore.pth', '--tolerance', 0], '--tolerance must be more than 0'),
    (['glore.py', 'glore.pth', '--cfg-options', 'model.decode_head.num_nodes=5'], 'the weights are not those')])
def test_what_is_wrong_is_told_and_nothing_written(export, files, tmp_path, arguments, message):
    (tmp_path / 'folder.pt2').mkdir()
    before = set(tmp_path.iterdir())
    with pytest.raises(UserError, match=message):
        export(*arguments, '--format', 'torch-export')
    assert set(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_as_a_command(tmp_path):
    pytest.importorskip('onnxruntime')
    files = save(tmp_path, 'danet')
    done = tool('export.py', *files, '--format', 'onnx', '--size', 64, '--fuse-conv-bn', cwd=tmp_path)
    assert 'Wrote danet.onnx' in succeeds(done)
    assert 'there is no config file' in fails(tool('export.py', 'none.py', 'none.pth', '--format', 'onnx',
                                                   cwd=tmp_path))
