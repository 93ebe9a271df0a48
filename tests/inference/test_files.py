import re
from pathlib import Path

import pytest

from mmseg_attn.common.errors import UserError
from mmseg_attn.inference.files import Job, find_files, plan_jobs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Photographs, and what else lies about."""
    monkeypatch.chdir(tmp_path)
    for name in ('photos/a.jpg', 'photos/b/a.PNG', 'photos/b/drive.MP4', 'photos/notes.txt', 'photos/.hidden.png',
                 'photos/.cache/c.png', 'out/masks/old.png', 'street.v2.jpg'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Path('photos')


def _names(paths):
    return sorted(map(str, paths))


def test_images_and_videos_of_a_folder_and_below(folder):
    found, others = find_files(folder, Path('out'))
    assert _names(found) == ['photos/a.jpg', 'photos/b/a.PNG', 'photos/b/drive.MP4']
    assert _names(others) == ['photos/notes.txt']


def test_a_file_is_taken_whatever_it_is_called(folder):
    assert find_files(folder / 'notes.txt', Path('out')) == ([Path('photos/notes.txt')], [])


def test_results_of_an_earlier_run_are_no_sources(folder):
    found, _ = find_files(Path(), Path('out'))
    assert _names(found) == ['photos/a.jpg', 'photos/b/a.PNG', 'photos/b/drive.MP4', 'street.v2.jpg']


def test_links_are_followed_but_not_in_circles(folder):
    (folder / 'b' / 'up').symlink_to(folder.resolve())
    (folder / 'linked').symlink_to((folder / 'b').resolve())
    found, _ = find_files(folder, Path('out'))
    assert 'photos/linked/a.PNG' in _names(found)
    assert not any('up' in path.parts for path in found if 'linked' not in path.parts)


def test_results_keep_the_path_below_the_folder(folder):
    found, _ = find_files(folder, Path('out'))
    assert plan_jobs(folder, found, Path('out'), probabilities=True, frame_masks=True) == [
        Job(Path('photos/a.jpg'), Path('out/overlays/a.png'), Path('out/masks/a.png'),
            Path('out/probabilities/a.npz')),
        Job(Path('photos/b/a.PNG'), Path('out/overlays/b/a.png'), Path('out/masks/b/a.png'),
            Path('out/probabilities/b/a.npz')),
        Job(Path('photos/b/drive.MP4'), Path('out/overlays/b/drive.mp4'), Path('out/masks/b/drive.frames'), None)]


def test_results_of_one_file(folder):
    source = Path('street.v2.jpg')
    job, = plan_jobs(source, [source], Path('out'))
    assert _names(job.results) == ['out/masks/street.v2.png', 'out/overlays/street.v2.png']
    assert not job.is_video


def test_a_video_has_no_mask_unless_asked_for(folder):
    source = folder / 'b' / 'drive.MP4'
    job, = plan_jobs(source, [source], Path('out'))
    assert job.is_video
    assert job.results == [Path('out/overlays/drive.mp4')]


@pytest.mark.parametrize(('source', 'message'), [
    ('nothing.png', 'there is no image, video or folder nothing.png'),
    ('out', 'out holds no image and no video, whose names end with .bmp, .jpeg')])
def test_nothing_to_do(folder, source, message):
    with pytest.raises(UserError, match=re.escape(message)):
        find_files(Path(source), Path('out'))


def test_two_files_of_one_name(folder):
    (folder / 'a.png').touch()
    found, _ = find_files(folder, Path('out'))
    with pytest.raises(UserError, match=re.escape(
            'photos/a.jpg and photos/a.png would both be written to out/masks/a.png')):
        plan_jobs(folder, found, Path('out'))


def test_results_that_exist(folder):
    found, _ = find_files(folder, Path('out'))
    (folder.parent / 'out' / 'masks' / 'a.png').touch()
    with pytest.raises(UserError, match=re.escape('out/masks/a.png exists already: --overwrite')):
        plan_jobs(folder, found, Path('out'))
    (folder.parent / 'out' / 'overlays').mkdir()
    (folder.parent / 'out' / 'overlays' / 'a.png').touch()
    with pytest.raises(UserError, match=re.escape('out/masks/a.png and 1 more exist already: --overwrite')):
        plan_jobs(folder, found, Path('out'))
    assert len(plan_jobs(folder, found, Path('out'), overwrite=True)) == 3


@pytest.mark.parametrize('source', ['out/masks', 'out/masks/old.png'])
def test_a_source_is_never_overwritten(folder, source):
    source = Path(source)
    found, _ = find_files(source, Path('elsewhere'))
    with pytest.raises(UserError, match=re.escape('out/masks lies in out/masks, where results go')):
        plan_jobs(source, found, Path('out'), overwrite=True)
