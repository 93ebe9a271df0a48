"""tools/prepare_data.py labelme, coco and cvat, as a user runs them."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmseg_attn.cli.prepare_data import LINE_WIDTH
from mmseg_attn.data_tools.annotations import labelme as labelme_reader
from tests.data_tools.annotated import coco, cvat, labelme, labelme_folder, shape, write_image
from tests.docs.pages import commands, pages
from tests.docs.small import small_options
from tests.tools.command import fails, fails_here, run_here, succeeds, tool
from tests.tools.small_archives import tree

SIZE = WIDTH, HEIGHT = 96, 72
PAGE = 'docs/your_own_data.md'


def _annotated(folder: Path, count: int = 6) -> Path:
    """Pictures whose sky is blue and whose road is grey, with a round sign."""
    random = np.random.default_rng(0)
    for i in range(count):
        horizon = int(random.integers(30, 40))
        picture = random.integers(0, 80, (HEIGHT, WIDTH, 3))
        picture[:horizon, :, 2] += 150
        picture[horizon:] += 100
        write_image(folder / f'{i}.jpg', size=SIZE)
        Image.fromarray(picture.astype(np.uint8)).save(folder / f'{i}.jpg')
        labelme(folder / f'{i}.json', [
            shape('sky', 'polygon', (0, 0), (WIDTH, 0), (WIDTH, horizon), (0, horizon)),
            shape('road', 'rectangle', (0, horizon), (WIDTH + 40, HEIGHT - 6)),
            shape('sign', 'circle', (40, 30), (44, 30))], imagePath=f'{i}.jpg', imageWidth=WIDTH, imageHeight=HEIGHT)
    return folder


@pytest.mark.slow
def test_from_a_folder_of_labelme_to_miou(tmp_path):
    """The commands of the page as they stand, with a smaller network."""
    _annotated(tmp_path / 'annotated')
    followed = [command.words[1:] for command in commands(PAGE, pages()[PAGE]) if 'mine.py' in command.words]
    assert [words[0] for words in followed] == [f'tools/{name}.py' for name in (
        'prepare_data', 'check_data', 'train', 'test', 'infer')]
    logs = []
    for script, *words in followed:
        if script in ('tools/train.py', 'tools/test.py', 'tools/infer.py'):
            words += ['--cfg-options', *small_options(tmp_path / 'mine.py', iterations=2)]
        words = [word.replace('iter_4000', 'iter_2').replace('IMAGE', 'annotated/0.jpg') for word in words]
        logs.append(succeeds(tool(script.removeprefix('tools/'), *words, cwd=tmp_path)))
    assert 'mine.py is a config for it. Next, look at it, and train:\n  mmseg-attn check_data mine.py\n' in logs[0]
    assert 'Training is sensible: 0 errors, 0 warnings.' in logs[1]
    assert 'Trained: logs and checkpoints are in work_dirs/mine' in logs[2]
    assert '\nmIoU ' in logs[3]
    for name in ('background', 'road', 'sign', 'sky'):
        assert name in logs[3]


def test_all_formats_give_the_same(tmp_path):
    labelme_dir = tmp_path / 'labelme'
    box, triangle = shape('dog', 'rectangle', (0, 0), (13, 9)), shape('cat', 'polygon', (1, 2), (6, 2), (6, 7))
    for i, shapes in ((1, [box, triangle]), (2, [])):
        write_image(labelme_dir / f'{i}.png', i)
        labelme(labelme_dir / f'{i}.json', shapes)
    coco(tmp_path / 'coco' / 'a.json', [dict(segmentation=[[1, 2, 6, 2, 6, 7]]),
                                        dict(category_id=1, segmentation=[[0, 0, 13, 0, 13, 9, 0, 9]])])
    cvat(tmp_path / 'cvat' / 'a.xml', '<polygon label="cat" points="1,2;6,2;6,7" z_order="1"/>'
         '<box label="dog" xtl="0" ytl="0" xbr="13" ybr="9" z_order="0"/>')
    sources = dict(labelme=[labelme_dir], coco=[tmp_path / 'coco' / 'a.json', '--images', tmp_path / 'coco' / 'images'],
                   cvat=[tmp_path / 'cvat' / 'a.xml', '--images', tmp_path / 'cvat' / 'images'])
    (tmp_path / 'val.txt').write_text('2\n')
    made = {}
    for name, source in sources.items():
        run_here('prepare_data', name, *source, '--classes', 'cat', 'dog', '--val', tmp_path / 'val.txt',
                 '--nproc', '1', '--data-root', tmp_path / 'data' / name, '--write-config', tmp_path / f'{name}.py')
        made[name] = tree(tmp_path / 'data' / name)
    assert made['labelme'] == made['coco'] == made['cvat']
    assert len(made['labelme']) == 5
    configs = {repr(Config.fromfile(tmp_path / f'{name}.py').to_dict()).replace(f'data/{name}', '') for name in sources}
    assert len(configs) == 1
    assert run_here('check_data', tmp_path / 'coco.py', '--out-dir', tmp_path / 'out', '--nproc', '1') == 0


def test_choices(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labelme_folder(Path('a'))
    labelme(Path('a/0.json'), [shape('lane', 'line', (0, 4.5), (13, 4.5)), shape('owl', 'rectangle', (0, 0), (13, 1))])
    Path('classes.txt').write_text('lane\ndog\n')
    Path('val.txt').write_text('0.png\n')
    arguments = ['labelme', 'a', '--classes', 'classes.txt', '--ignored', 'cat', '--ignore-unknown', '--no-background',
                 '--line-width', '3', '--val', 'val.txt', '--data-root', 'mine', '--nproc', '1', '--link']
    run_here('prepare_data', *arguments)
    log = capsys.readouterr().out
    assert "Note: shapes with the unknown label 'owl', ignored (255): 1" in log
    assert 'Next, write a config: the same command with --write-config FILE.py does' in log
    label = np.array(Image.open('mine/labels/val/0.png'))
    expected = np.full(label.shape, 255)
    expected[3:6] = 0  # the centres of three rows lie at most 1.5 from the line
    np.testing.assert_array_equal(label, expected)
    assert set(np.unique(np.array(Image.open('mine/labels/train/1.png')))) == {1, 255}
    run_here('prepare_data', *arguments, '--write-config', 'mine.py')
    assert 'mine was there, and is what these annotations give' in capsys.readouterr().out
    assert Config.fromfile('mine.py').model.decode_head.num_classes == 2


def test_files_of_coco_for_training_and_validation(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = dict(train=['1', '2'], valid=['3'])
    for split, images in names.items():
        coco(Path(split, 'a.json'), [dict(segmentation=[[1, 2, 6, 2, 6, 7]])], images=[
            dict(id=7 + i, file_name=f'{name}.png', width=13, height=9) for i, name in enumerate(images)])
        write_image(Path(split, 'images', '3.png'), 3)
    files, folders = ['train/a.json', 'valid/a.json'], ['--images', 'train/images', '--images', 'valid/images']
    run_here('prepare_data', 'coco', *files, *folders, '--data-root', 'mine', '--nproc', '1')
    assert 'Images: train 2, val 1' in capsys.readouterr().out
    found = {path.relative_to('mine/images').as_posix() for path in Path('mine/images').glob('*/*')}
    assert found == {'train/1.png', 'train/2.png', 'val/3.png'}
    # One folder for both.
    run_here('prepare_data', 'coco', *files, *folders[:2], '--data-root', 'other', '--nproc', '1')
    for arguments, message in (
            ([files[0], files[0], *folders[:2]], "have both the name '1' up to its suffix"),
            ([*files, *folders, '--val', '0.5'], '--val 0.5 chooses images to validate on, and so does valid/a.json'),
            ([files[0], *folders], '--images is given 2 times: give it once, or once for each file of annotations')):
        assert message in fails_here(capsys, 'prepare_data', 'coco', *arguments, '--data-root', 'new')
    coco(Path('valid/a.json'), [], images=[])
    message = fails_here(capsys, 'prepare_data', 'coco', *files, *folders, '--data-root', 'new')
    assert 'valid/a.json leaves 2 of 2 images to train on and 0 to validate on: each needs one' in message


@pytest.mark.parametrize('content', ['', 'x = 1\n', b'\xff', None])
def test_another_config_in_the_way_is_told_before_any_work(tmp_path, monkeypatch, capsys, content):
    """None is a config of another run, whose data set has other classes."""
    monkeypatch.chdir(tmp_path)
    labelme_folder(Path('a'))
    arguments = ['labelme', 'a', '--nproc', '1', '--write-config', 'mine.py']
    if content is None:
        run_here('prepare_data', *arguments, '--data-root', 'mine', '--classes', 'dog', 'cat')
    else:
        Path('mine.py').write_bytes(content if isinstance(content, bytes) else content.encode())
    before = Path('mine.py').read_bytes()
    message = fails_here(capsys, 'prepare_data', *arguments, '--data-root', 'new')
    assert message == ('mine.py is there with another content, and was not changed: choose another --write-config, or '
                       'move it away\n')
    assert not list(Path().glob('new*'))
    assert Path('mine.py').read_bytes() == before


def test_a_config_that_depends_on_sizes_which_no_annotation_tells(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    labelme_folder(Path('a'))
    labelme(Path('a/0.json'), [], imageWidth=None)
    arguments = ['labelme', 'a', '--nproc', '1', '--write-config', 'mine.py', '--data-root', 'mine']
    for _ in range(2):
        run_here('prepare_data', *arguments)
    Path('mine.py').write_text(Path('mine.py').read_text() + '# changed\n')
    assert 'mine.py is there with another content' in fails_here(capsys, 'prepare_data', *arguments)


def test_lines_are_as_wide_as_those_of_labelme():
    assert LINE_WIDTH == 10  # line_width of labelme.utils.shape_to_mask


@pytest.mark.parametrize(('arguments', 'message'), [
    (['labelme', 'nothing'], 'nothing is no folder: name the one with the JSON files of labelme'),
    (['labelme', 'a', '--classes', 'cat'], "a/1.json: shape 2 ('dog'): 'dog' is none of the classes background, cat"),
    (['labelme', 'a', '--val', '0.999'], '--val 0.999 leaves 0 of 5 images to train on and 5 to validate on'),
    (['labelme', 'a', '--val', '2'], '--val must be a share between 0 and 1, or a file with names, got 2'),
    (['labelme', 'a', '--line-width', '0'], '--line-width must be from 0 to 1000 pixels, got 0'),
    (['labelme', 'a', '--line-width', 'nan'], '--line-width must be from 0 to 1000 pixels, got nan'),
    (['labelme', 'a', '--nproc', '0'], '--nproc must be at least 1, got 0'),
    (['labelme', 'a', '--write-config', 'x'], '--write-config x: a config is a file NAME.py'),
    (['labelme', 'a', '--data-root', 'a/mine'], '--data-root a/mine lies in a, which it is made of: choose another'),
    (['labelme', 'a', '--write-config', 'mine/mine.py'], '--write-config mine/mine.py lies in the data set'),
    (['labelme', 'one'], 'one has 1 annotated images: one to train and one to validate on are the least'),
    (['coco', 'a/0.json', '--images', 'a'], "a/0.json has no 'categories', but 'version', 'flags', 'shapes'"),
    (['coco', 'a', '--images', 'a'], 'a cannot be read: Is a directory'),
    (['cvat', 'a/0.json', '--images', 'a'], 'a/0.json is damaged, or no XML'),
    (['labelme', 'a', '--data-root', '/proc/mine'], '/proc/mine'),
    (['labelme', 'a', '--data-root', 'full'], 'full is there, and not what these annotations and options give')])
def test_errors_of_the_user(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    labelme_folder(Path('a'))
    labelme_folder(Path('one'), 1)
    Path('full').mkdir()
    Path('full/file').write_text('')
    files = tree(tmp_path)
    if '--data-root' not in arguments:
        arguments = [*arguments, '--data-root', 'mine']
    assert message in fails_here(capsys, 'prepare_data', *arguments)
    left = {name: content for name, content in tree(tmp_path).items() if not name.endswith('.lock')}
    assert left == files


def test_an_interruption_is_told(tmp_path, monkeypatch, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt
    monkeypatch.setattr(labelme_reader, 'read_labelme', interrupted)
    with pytest.raises(SystemExit) as exit_:
        run_here('prepare_data', 'labelme', 'a', '--data-root', 'mine')
    assert exit_.value.code == 130
    assert 'The same command begins anew' in capsys.readouterr().err


def test_errors_in_several_processes_are_messages_too(tmp_path):
    labelme_folder(tmp_path / 'a')
    (tmp_path / 'a' / '3.json').write_text(json.dumps(dict(shapes=[])))
    message = fails(tool('prepare_data.py', 'labelme', 'a', '--data-root', 'mine', '--nproc', '2', cwd=tmp_path))
    assert "a/3.json has no 'imagePath', but 'shapes'" in message
