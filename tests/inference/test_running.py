import re

import numpy as np
import pytest
from PIL import Image

from mmseg_attn.common.drawing import Painter
from mmseg_attn.common.errors import UserError
from mmseg_attn.inference import running
from mmseg_attn.inference.files import plan_jobs
from mmseg_attn.inference.prediction import Predictor
from mmseg_attn.inference.running import run_video
from tests.inference.sources import FPS, network, read_video, write_video


@pytest.fixture
def run(tmp_path):
    """Runs a video; tells its job and the progress that was made."""
    net = network()
    predictor, painter = Predictor(net), Painter(**net.dataset_meta)

    def run(path, **options):
        job, = plan_jobs(path, [path], tmp_path / 'out', **options)
        steps = []
        run_video(job, predictor, painter, lambda done, total: steps.append((done, total)))
        return job, steps, predictor, painter
    return run


def test_every_frame_is_predicted(tmp_path, run):
    path = write_video(tmp_path / 'drive.mp4')
    job, steps, predictor, painter = run(path, frame_masks=True)
    assert steps == [(i, 5) for i in range(1, 6)]
    frames, _ = read_video(path)
    written, fps = read_video(job.overlay)
    assert fps == FPS
    assert len(written) == len(frames)
    assert [mask.name for mask in sorted(job.mask.iterdir())] == [f'{i:06d}.png' for i in range(5)]
    named = set()
    for i, frame in enumerate(frames):
        labels = predictor(frame).labels
        named |= set(np.unique(labels).tolist())
        assert np.array_equal(np.array(Image.open(job.mask / f'{i:06d}.png')), labels)
        # The codec loses a little; red and blue exchanged, or another frame, would be far off.
        assert np.abs(written[i][..., ::-1].astype(int) - painter(frame, labels, named)).mean() < 12
    assert sorted(each.name for each in (tmp_path / 'out').rglob('*')) == sorted(
        ['overlays', 'drive.mp4', 'masks', 'drive.frames', *(f'{i:06d}.png' for i in range(5))])


def test_a_run_once_more_replaces_the_frames(tmp_path, run):
    for frames in (3, 2):
        path = write_video(tmp_path / 'drive.mp4', frames)
        job, *_ = run(path, frame_masks=True, overwrite=True)
        assert len(list(job.mask.iterdir())) == frames


def test_odd_sides(tmp_path, run):
    path = write_video(tmp_path / 'drive.avi', size=(45, 61))
    job, *_ = run(path, frame_masks=True)
    with Image.open(job.mask / '000000.png') as mask:
        assert mask.size == (61, 45)
    # The codec leaves out what is beyond an even number.
    overlay = read_video(job.overlay)[0]
    assert overlay.shape[:2] == (5, 44)
    assert overlay.shape[2] > 61


@pytest.mark.parametrize('content', [b'', b'no video'])
def test_what_is_no_video(tmp_path, run, content):
    path = tmp_path / 'drive.mp4'
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(f'{path} is not a video that OpenCV can read')):
        run(path, frame_masks=True)
    assert not [each for each in (tmp_path / 'out').rglob('*') if not each.is_dir()]


def test_a_video_that_ends_early(tmp_path, run):
    path = write_video(tmp_path / 'drive.avi', frames=40)
    content = path.read_bytes()
    path.write_bytes(content[:len(content) // 4])
    with pytest.raises(UserError, match=r'drive.avi ends after \d+ of 40 frames, so it is damaged; the results'):
        run(path)
    assert len(read_video(tmp_path / 'out' / 'overlays' / 'drive.mp4')[0]) < 20


def test_frames_that_do_not_arrive(tmp_path, run, monkeypatch):
    class Forgetful:
        """As the writer on a full disk."""

        def __init__(self, writer):
            self.writer, self.frames = writer, 0

        def write(self, frame):
            self.frames += 1
            if self.frames < 3:
                self.writer.write(frame)

        def release(self):
            self.writer.release()
    original = running._open_writer
    monkeypatch.setattr(running, '_open_writer', lambda *arguments: Forgetful(original(*arguments)))
    with pytest.raises(UserError, match=r'OpenCV wrote 2 of the 5 frames of .*drive.mp4: is the disk full?'):
        run(write_video(tmp_path / 'drive.mp4'))
    assert not (tmp_path / 'out' / 'overlays' / 'drive.mp4').exists()
