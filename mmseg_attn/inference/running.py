"""From the file of an image or a video to the files of its results."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from mmseg_attn.common.drawing import Painter
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import atomic_folder, atomic_write
from mmseg_attn.common.pictures import naming

from .files import Job
from .prediction import Predictor
from .results import mask_image, save_mask, save_picture, save_probabilities

Progress = Callable[[int, int | None], None]


def run_image(job: Job, predictor: Predictor, painter: Painter) -> None:
    """Writes the results of an image.

    Raises:
        UserError: the image cannot be read, or the network cannot take it.
        OSError: a result cannot be written.
    """
    picture = predictor.reader.load(job.source)
    with naming(job.source):
        prediction = predictor(picture)
    save_mask(job.mask, prediction.labels, painter.palette.tolist())
    save_picture(job.overlay, painter(picture.pixels, prediction.labels))
    if job.probabilities:
        save_probabilities(job.probabilities, prediction.probabilities, predictor.channels)


def run_video(job: Job, predictor: Predictor, painter: Painter, progress: Progress = lambda done, total: None) -> None:
    """Writes the results of a video, frame by frame; ``progress`` gets the number of frames done, and of all if known.

    The legend names the classes that have occurred so far, so that it only grows.

    Raises:
        UserError: the video cannot be read, or ends early (then the results of what there was are written), or the
            test pipeline or the network cannot take its frames.
        OSError: a result cannot be written.
    """
    capture = cv2.VideoCapture(str(job.source))
    total, fps = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
    fps = fps if fps > 0 else 25
    done, named, writer = 0, set(), None
    with ExitStack() as stack:
        stack.callback(capture.release)
        overlay = stack.enter_context(atomic_write(job.overlay))
        folder = stack.enter_context(atomic_folder(job.mask)) if job.mask else None
        for frame in _frames(capture):
            with naming(job.source):
                picture = predictor.reader.from_frame(frame)
                labels = predictor(picture).labels
            named |= set(np.unique(labels).tolist())
            painted = painter(picture.pixels, labels, named)
            if writer is None:
                writer = _open_writer(overlay, fps, painted.shape)
                stack.callback(writer.release)
            writer.write(cv2.cvtColor(painted, cv2.COLOR_RGB2BGR))
            if folder:
                # Not atomically: the folder is.
                mask_image(labels, painter.palette.tolist()).save(folder / f'{done:06d}.png')
            done += 1
            progress(done, total if total > 0 else None)
        if writer is None:
            raise UserError(f'{job.source} is not a video that OpenCV can read, or is damaged')
        writer.release()
        written = int(cv2.VideoCapture(str(overlay)).get(cv2.CAP_PROP_FRAME_COUNT))
        if written != done:  # the writer itself never complains
            raise UserError(f'OpenCV wrote {written} of the {done} frames of {job.overlay}: is the disk full?')
    # Some containers only estimate how many frames they have.
    if done + fps < total:
        raise UserError(f'{job.source} ends after {done} of {total} frames, so it is damaged; the results of these '
                        f'are in {job.overlay}')


def _frames(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    # Not mmcv.VideoReader, which seeks before every frame whose position the container does not tell exactly.
    while True:
        there, frame = capture.read()
        if not there:
            return
        yield frame


def _open_writer(path: Path, fps: float, shape: tuple[int, ...]) -> cv2.VideoWriter:
    # The only codec for MP4 that every build of OpenCV with videos has.
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, shape[1::-1])
    if not writer.isOpened():
        raise UserError(f'OpenCV cannot write the video {path}: it needs FFmpeg, which opencv-python has')
    return writer
