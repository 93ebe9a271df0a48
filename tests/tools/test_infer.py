"""tools/infer.py, from files to masks, overlays and probabilities."""

import re
import shlex

import mmcv
import numpy as np
import pytest
from PIL import Image

from mmseg_attn.cli import parser_of
from mmseg_attn.common.drawing import Painter
from mmseg_attn.explain import load_model
from mmseg_attn.inference import batch
from mmseg_attn.inference.prediction import Predictor
from tests.explain.models import picture
from tests.inference.sources import save_model, write_video
from tests.tools.command import ROOT, fails, run_here, tool

MODEL = ['config.py', 'weights.pth']


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A model, two photographs, a video, and a folder of both and of a damaged photograph."""
    folder = tmp_path_factory.mktemp('files')
    save_model(folder)
    for name, size in (('photos/a.png', (44, 60)), ('photos/below/b.png', (51, 37))):
        mmcv.imwrite(picture(*size), str(folder / name))
    write_video(folder / 'drive.mp4', frames=3)
    for name in ('a.png', 'below/b.png'):
        (folder / 'mixed' / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / 'mixed' / name).write_bytes((folder / 'photos' / name).read_bytes())
    (folder / 'mixed' / 'drive.mp4').write_bytes((folder / 'drive.mp4').read_bytes())
    (folder / 'mixed' / 'broken.jpg').write_bytes(b'no image')
    (folder / 'mixed' / 'broken.avi').write_bytes(b'no video')
    (folder / 'mixed' / 'notes.txt').touch()
    return folder


@pytest.fixture
def infer(files, monkeypatch, capsys):
    """The tool within this process, in the folder of the files: a start of it takes seconds."""
    monkeypatch.chdir(files)

    def run(*arguments):
        code = run_here('infer', *arguments)
        return code, capsys.readouterr().out
    return run


def _files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


def test_one_image(files, infer, tmp_path):
    code, output = infer(*MODEL, 'photos/a.png', '--out', tmp_path, '--probabilities', '--device', 'cpu')
    assert code == 0
    assert _files(tmp_path) == ['masks/a.png', 'overlays/a.png', 'probabilities/a.npz']
    assert output.split()[-3:] == [str(tmp_path / name) for name in (
        'masks/a.png', 'overlays/a.png', 'probabilities/a.npz')]
    model = load_model(files / 'config.py', files / 'weights.pth')
    expected = Predictor(model, probabilities=True)(picture())
    mask = Image.open(tmp_path / 'masks' / 'a.png')
    assert mask.mode == 'P'
    assert np.array_equal(np.array(mask), expected.labels)
    assert np.array_equal(np.array(mask.convert('RGB')),
                          np.array(model.dataset_meta['palette'], np.uint8)[expected.labels])
    overlay = np.array(Image.open(tmp_path / 'overlays' / 'a.png'))
    assert np.array_equal(overlay, Painter(**model.dataset_meta)(picture(), expected.labels))
    with np.load(tmp_path / 'probabilities' / 'a.npz') as loaded:
        assert np.array_equal(loaded['probabilities'], expected.probabilities)
        assert loaded['classes'].tolist() == model.dataset_meta['classes']


def test_a_folder_keeps_its_paths(infer, tmp_path):
    code, output = infer(*MODEL, 'photos', '--out', tmp_path, '--device', 'cpu')
    assert code == 0
    assert f'2 of 2 files are done; results are in {tmp_path}' in output
    assert _files(tmp_path) == ['masks/a.png', 'masks/below/b.png', 'overlays/a.png', 'overlays/below/b.png']
    for folder, is_wider in ('masks', False), ('overlays', True):
        with Image.open(tmp_path / folder / 'below' / 'b.png') as image:
            assert image.height == 51
            assert (image.width > 37) == is_wider


def test_a_damaged_file_does_not_stop_the_others(infer, tmp_path):
    code, output = infer(*MODEL, 'mixed', '--out', tmp_path, '--frame-masks', '--device', 'cpu')
    assert code == 1
    assert '1 files of mixed are no images and no videos: .txt' in output
    assert '3 of 5 files are done' in output
    assert re.search(r'not done:\n  mixed/broken.avi is not a video .*\n  mixed/broken.jpg: unreadable image: ', output)
    assert _files(tmp_path) == [
        'masks/a.png', 'masks/below/b.png', *(f'masks/drive.frames/00000{i}.png' for i in range(3)), 'overlays/a.png',
        'overlays/below/b.png', 'overlays/drive.mp4']


def test_opacity_and_legend(infer, tmp_path):
    infer(*MODEL, 'photos/a.png', '--out', tmp_path, '--opacity', '0', '--no-legend', '--device', 'cpu')
    assert np.array_equal(np.array(Image.open(tmp_path / 'overlays' / 'a.png')), picture()[..., ::-1])


def test_overwriting_and_options(infer, tmp_path):
    arguments = [*MODEL, 'photos/a.png', '--out', tmp_path, '--device', 'cpu']
    infer(*arguments)
    before = np.array(Image.open(tmp_path / 'masks' / 'a.png'))
    with pytest.raises(ValueError, match='and 1 more exist already: --overwrite'):
        infer(*arguments)
    infer(*arguments, '--overwrite', '--cfg-options', 'model.data_preprocessor.std=[9,9,9]')
    assert not np.array_equal(np.array(Image.open(tmp_path / 'masks' / 'a.png')), before)


def test_faster_and_the_same(infer, tmp_path):
    infer(*MODEL, 'photos/a.png', '--out', tmp_path / 'plain', '--probabilities', '--device', 'cpu')
    expected = np.load(tmp_path / 'plain' / 'probabilities' / 'a.npz')['probabilities'].astype(float)
    for name, options, tolerance in (('fused', ['--fuse-conv-bn', '--channels-last'], 2e-3), ('amp', ['--amp'], 0.2)):
        code, output = infer(*MODEL, 'photos/a.png', '--out', tmp_path / name, '--probabilities', '--device', 'cpu',
                             *options)
        assert code == 0
        assert ('AMP: autocast to bfloat16' in output) == (name == 'amp')
        found = np.load(tmp_path / name / 'probabilities' / 'a.npz')['probabilities'].astype(float)
        assert abs(found - expected).max() < tolerance


def test_an_interrupted_run_says_what_is_done(infer, monkeypatch, tmp_path):
    def interrupted(job, *rest):
        if job.source.name == 'b.png':
            raise KeyboardInterrupt
    monkeypatch.setattr(batch, 'run_image', interrupted)
    code, output = infer(*MODEL, 'photos', '--out', tmp_path, '--device', 'cpu')
    assert code == 130
    assert '1 of 2 files are done' in output


def test_a_full_disk_stops_the_run(infer, monkeypatch, tmp_path):
    calls = []

    def full(*arguments):
        calls.append(arguments)
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(batch, 'run_image', full)
    with pytest.raises(ValueError, match=re.escape(f'cannot write into {tmp_path}: No space left on device')):
        infer(*MODEL, 'photos', '--out', tmp_path, '--device', 'cpu')
    assert len(calls) == 1


@pytest.mark.parametrize(('arguments', 'message'), [
    ([*MODEL, 'nothing.png'], 'there is no image, video or folder nothing.png'),
    ([*MODEL, 'mixed/broken.jpg'], 'mixed/broken.jpg: unreadable image: is no image that Pillow can read'),
    ([*MODEL, 'mixed/broken.avi'], 'mixed/broken.avi is not a video that OpenCV can read'),
    ([*MODEL, 'mixed', '--probabilities'], '--probabilities are for images, and mixed/broken.avi is a video'),
    (['no.py', 'weights.pth', 'photos'], 'there is no config file no.py'),
    (['config.py', 'no.pth', 'photos'], 'there is no checkpoint no.pth'),
    ([*MODEL, 'photos', '--cfg-options', 'model.decode_head.num_classes=7'], 'the weights are not those of the model'),
    ([*MODEL, 'photos', '--cfg-options', 'nonsense'], '--cfg-options takes KEY=VALUE'),
    ([*MODEL, 'photos', '--opacity', '1.5'], '--opacity must be from 0 to 1, got 1.5'),
    ([*MODEL, 'photos', '--device', 'nonsense'], '--device nonsense does not work here'),
    ([*MODEL, 'photos', '--out', 'weights.pth'], 'cannot write into the folder weights.pth: File exists')])
def test_errors_leave_nothing_behind(infer, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        infer('--out', tmp_path / 'out', '--device', 'cpu', *arguments)
    assert not (tmp_path / 'out').exists() or not _files(tmp_path / 'out')


@pytest.mark.slow
def test_as_a_user_calls_it(files, tmp_path):
    result = tool('infer.py', *MODEL, 'mixed', '--out', tmp_path, cwd=files)
    assert result.returncode == 1, result.stderr[-3000:]
    assert 'Predicting' in result.stdout
    assert '3 of 5 files are done' in result.stdout
    assert 'broken.jpg: unreadable image' in fails(
        tool('infer.py', *MODEL, 'mixed/broken.jpg', '--out', tmp_path, '--device', 'cpu', cwd=files))


PAGE = (ROOT / 'docs' / 'inference.md').read_text()


def test_options_of_the_page_exist():
    named = set(re.findall(r'(--[a-z][a-z-]+)', PAGE))
    known = parser_of('infer').format_help()
    assert len(named) >= 8
    assert all(option in known for option in named)
    command, = re.findall(r'python tools/infer.py (configs/.*)', PAGE)
    assert str(parser_of('infer').parse_args(shlex.split(command)).source) == 'street.png'
