"""Which images and videos are to be done, and the files that their results go to."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.image_files import IMAGE_SUFFIXES

VIDEOS = frozenset({'.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv'})
RESULTS = 'masks', 'overlays', 'probabilities'


@dataclass(frozen=True)
class Job:
    """An image or a video, and where its results go.

    Attributes:
        source: the file.
        overlay: a PNG, or an MP4 for a video.
        mask: a PNG; for a video a folder of PNGs, or None where they are not wanted.
        probabilities: an NPZ, or None where they are not wanted.
    """

    source: Path
    overlay: Path
    mask: Path | None
    probabilities: Path | None

    @property
    def is_video(self) -> bool:
        return _is_video(self.source)

    @property
    def results(self) -> list[Path]:
        return [path for path in (self.mask, self.overlay, self.probabilities) if path]


def find_files(source: Path, out: Path, suffix: str | None = None) -> tuple[list[Path], list[Path]]:
    """The images and videos that ``source`` is or has below it, and the other files there, which cannot be done.

    Hidden files, and the results in ``out``, count as neither. Links are followed. ``suffix`` is that of the config's
    own images, such as '.npy'.

    Raises:
        UserError: there is nothing to do.
    """
    if source.is_file():
        return [source], []
    if not source.is_dir():
        raise UserError(f'there is no image, video or folder {source}')
    files = sorted(_walk(source, out))
    images = {*IMAGE_SUFFIXES} - {'.gif'} | ({suffix.lower()} if suffix else set())  # OpenCV reads no GIF
    found = [path for path in files if path.suffix.lower() in images | VIDEOS]
    if not found:
        raise UserError(f'{source} holds no image and no video, whose names end with '
                        f'{", ".join(sorted(images))} or {", ".join(sorted(VIDEOS))}')
    return found, [path for path in files if path.suffix.lower() not in images | VIDEOS]


def plan_jobs(source: Path, files: list[Path], out: Path, *, probabilities: bool = False, frame_masks: bool = False,
              overwrite: bool = False) -> list[Job]:
    """Decides where the results go: ``out/<kind>/<path of the file below source>``.

    Args:
        source: the file or folder that was asked for.
        files: of it, from :func:`find_files`.
        out: the folder for results.
        probabilities: whether those of images are wanted.
        frame_masks: whether the masks of the frames of videos are wanted.
        overwrite: whether results may exist already.

    Raises:
        UserError: two files have the same result, a result exists, or results would lie among the sources.
    """
    root = source if source.is_dir() else source.parent
    for kind in RESULTS:
        if root.resolve().is_relative_to((out / kind).resolve()):
            raise UserError(f'{root} lies in {out / kind}, where results go: choose another --out')
    jobs = [_plan(path, path.relative_to(root), out, probabilities, frame_masks) for path in files]
    sources = {}
    for job in jobs:
        for result in job.results:
            other = sources.setdefault(result, job.source)
            if other != job.source:
                raise UserError(f'{other} and {job.source} would both be written to {result}: rename one, or take one '
                                'at a time, each with its own --out')
    existing = [] if overwrite else [path for path in sources if path.exists()]
    if existing:
        more = f' and {len(existing) - 1} more exist' if len(existing) > 1 else ' exists'
        raise UserError(f'{existing[0]}{more} already: --overwrite replaces results, another --out keeps them')
    return jobs


def _plan(source: Path, name: Path, out: Path, probabilities: bool, frame_masks: bool) -> Job:
    masks, overlays, arrays = (out / kind / name for kind in RESULTS)
    if _is_video(source):
        # No folder of images has this name, so that it can be replaced as a whole.
        return Job(source, overlays.with_suffix('.mp4'), masks.with_suffix('.frames') if frame_masks else None, None)
    return Job(source, overlays.with_suffix('.png'), masks.with_suffix('.png'),
               arrays.with_suffix('.npz') if probabilities else None)


def _walk(folder: Path, out: Path) -> Iterator[Path]:
    results = {(out / kind).resolve() for kind in RESULTS}
    for path, folders, names in os.walk(folder, followlinks=True):
        here = Path(path)
        # A link to a folder that it lies in would have no end.
        folders[:] = [name for name in folders if not name.startswith('.')
                      and (there := (here / name).resolve()) not in results
                      and not here.resolve().is_relative_to(there)]
        yield from (here / name for name in names if not name.startswith('.'))


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS
