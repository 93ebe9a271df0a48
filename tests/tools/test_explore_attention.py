"""tools/explore_attention.py, from files to pages and figures."""

import re
from functools import partial

import mmcv
import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_attn.cli.explore_attention import names_of
from mmseg_attn.explain import attention_maps, load_model, look
from mmseg_attn.explain.grad_cam import require_grad_cam
from tests.explain.models import config, model, picture
from tests.explain.test_influence import FCN
from tests.explain.unpacking import read_page
from tests.tools.command import fails, run_here, succeeds, tool

HEADS = ['nl.py', 'nl.pth', 'fcn.py', 'fcn.pth']


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Two configs with their checkpoints, and two images of the same name."""
    folder = tmp_path_factory.mktemp('files')
    torch.manual_seed(0)
    for name, head in (('nl', {}), ('fcn', dict(head=FCN))):
        config(**head).dump(folder / f'{name}.py')
        torch.save(dict(state_dict=model(**head).state_dict()), folder / f'{name}.pth')
    for name in ('a', 'b'):
        (folder / name).mkdir()
        mmcv.imwrite(picture(seed=ord(name)), str(folder / name / 'street.png'))
    (folder / 'broken.png').write_bytes(b'no image')
    return folder


@pytest.mark.slow
def test_pages_and_figures(files, tmp_path):
    output = succeeds(tool('explore_attention.py', *HEADS, 'a/street.png', 'b/street.png', '--out', tmp_path / 'out',
                           '--points', '10,20', '50,40', '--names', 'Non-local', 'FCN', '--activation', cwd=files))
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        'street-1.html', 'street-2.html', 'street-1.png', 'street-2.png', 'street-1.activation.png',
        'street-2.activation.png'}
    assert re.search(r'street-1.activation.png: activation; Non-local: box (\d+,){3}\d+; FCN: box ', output)
    assert 'Non-local: attention of 48 pixels, FCN: influence of ' in output
    page = read_page(tmp_path / 'out' / 'street-2.html')
    assert [head['name'] for head in page['heads']] == ['Non-local', 'FCN']
    view = look(load_model(files / 'nl.py', files / 'nl.pth'), files / 'b' / 'street.png')
    head = page['heads'][0]
    assert np.array_equal(head['label_map'], view.labels.numpy())
    assert head['classes'][-1] == 'key'
    (x, width), (y, height) = head['windows'][0]['x'], head['windows'][0]['y']
    expected = attention_maps(view, [(x + 3 * width, y + 4 * height)]).values[0].numpy()
    assert np.abs(head['maps'][0, 4, 3] - expected).max() <= expected.max() / 509
    with Image.open(tmp_path / 'out' / 'street-1.png') as image:
        assert image.format == 'PNG'


@pytest.mark.slow
def test_grad_cam_or_how_to_get_it(files, tmp_path):
    arguments = [*HEADS, 'a/street.png', '--out', tmp_path, '--cam', 'KEY', '--region', '5,5,30,20']
    try:
        require_grad_cam()
    except ImportError:
        assert 'pip install grad-cam' in fails(tool('explore_attention.py', *arguments, cwd=files))
        return
    succeeds(tool('explore_attention.py', *arguments, cwd=files))
    with Image.open(tmp_path / 'street.cam.png') as image:
        assert image.format == 'PNG'
    cams = [head['cam'] for head in read_page(tmp_path / 'street.html')['heads']]
    assert [cam['region'] for cam in cams] == [[5, 5, 30, 20]] * 2
    message = fails(tool('explore_attention.py', *arguments[:-3], 'elephant', cwd=files))
    assert '--cam elephant is no class of nl, which has background' in message


@pytest.fixture
def main(files, monkeypatch):
    """The tool within this process, in the folder of the files."""
    monkeypatch.chdir(files)
    return partial(run_here, 'explore_attention')


@pytest.mark.parametrize(('pairs', 'names'), [
    ([('a/nl.py', 'a/1.pth'), ('a/fcn.py', 'a/1.pth')], ['nl', 'fcn']),
    ([('nl.py', '1.pth'), ('nl.py', '2.pth')], ['nl 1', 'nl 2']),
    ([('work/nl/config.py', 'work/nl/1.pth'), ('work/fcn/config.py', 'work/fcn/1.pth')], ['nl', 'fcn']),
    ([('nl.py', 'nl/a/1.pth'), ('nl.py', 'nl/b/1.pth'), ('nl.py', 'fcn/a/1.pth')], ['nl/a', 'nl/b', 'fcn/a']),
    ([('config.py', 'nl/1.pth'), ('config.py', 'nl/new/1.pth')], ['1', 'new']),
    ([('nl.py', '1.pth'), ('nl.py', '1.pth')], ['nl 1', 'nl 2'])])
def test_names_tell_the_pairs_apart(pairs, names):
    assert names_of(pairs) == names


@pytest.mark.parametrize(('arguments', 'message'), [
    (['a/street.png'], 'a/street.png is not a config: first come pairs'),
    (['nl.py', 'nl.pth'], 'there is no image after nl.py nl.pth'),
    (['nl.py'], 'nl.py has no checkpoint after it'),
    (['nl.py', 'no.pth', 'a/street.png'], 'there is no checkpoint no.pth'),
    (['no.py', 'nl.pth', 'a/street.png'], 'there is no config file no.py'),
    (['nl.py', 'fcn.pth', 'a/street.png'], 'fcn.pth with nl.py: the weights are not those of the model'),
    (['nl.py', 'nl.pth', 'no.png'], 'there is no image no.png'),
    (['nl.py', 'nl.pth', 'broken.png'], 'broken.png: unreadable image'),
    ([*HEADS, 'a/street.png', '--names', 'one'], '--names has 1 names for 2 pairs'),
    ([*HEADS, 'a/street.png', '--points', '60,0'],
     'a/street.png: the point x=60, y=0 lies outside the picture of 60 x 44'),
    ([*HEADS, 'a/street.png', '--region', '1,1,2,2'], 'give --cam as well'),
    ([*HEADS, 'a/street.png', '--seconds', '0'], '--seconds must be more than 0'),
    ([*HEADS, 'a/street.png', '--device', 'nonsense'], '--device nonsense does not work here'),
    ([*HEADS, 'a/street.png', '--cfg-options', 'model.decode_head.mode=x'], 'the model cannot be built'),
    ([*HEADS, 'a/street.png', '--cfg-options', 'nonsense'], '--cfg-options takes KEY=VALUE'),
    ([*HEADS, 'a/street.png', '--out', 'nl.pth'], 'cannot write into the folder nl.pth')])
def test_errors_come_before_the_work(main, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        main('--out', tmp_path / 'out', *arguments)
    assert not list(tmp_path.glob('out/*'))


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--points', '10'], "'10' is not x,y, in pixels of the image"),
    (['--cam', 'key', '--region', '1,2,3'], "'1,2,3' is not left,top,right,bottom, in pixels of the image")])
def test_numbers_that_are_none(main, capsys, arguments, message):
    with pytest.raises(SystemExit):
        main(*HEADS, 'a/street.png', '--out', 'out', *arguments)
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_one_readable_error(files):
    message = fails(tool('explore_attention.py', *HEADS, 'broken.png', '--out', 'out', cwd=files))
    assert 'broken.png: unreadable image' in message
