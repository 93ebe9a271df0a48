"""All that one call of ``infer`` predicts."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmseg_attn.common.drawing import Painter
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import require_writable

from .files import Job, find_files, plan_jobs
from .prediction import Predictor
from .running import run_image, run_video


def plan(source: Path, out: Path, *, probabilities: bool, frame_masks: bool, overwrite: bool, console: Console,
         suffix: str | None = None) -> list[Job]:
    """What is to be done, once it is known that nothing stands in its way.

    ``suffix`` is that of the config's own images; see :func:`find_files`.

    Raises:
        UserError: there is nothing to do, a result exists, or results cannot be written.
    """
    files, others = find_files(source, out, suffix)
    jobs = plan_jobs(source, files, out, probabilities=probabilities, frame_masks=frame_masks, overwrite=overwrite)
    video = next((job.source for job in jobs if job.is_video), None)
    if probabilities and video:
        raise UserError(f'--probabilities are for images, and {video} is a video: split it into images first')
    require_writable(out)
    if others:
        suffixes = ', '.join(sorted({path.suffix or path.name for path in others})[:8])
        console.print(f'{len(others)} files of {source} are no images and no videos: {suffixes}')
    return jobs


class Batch:
    """Jobs, and what came of them."""

    def __init__(self, jobs: list[Job], predictor: Predictor, painter: Painter):
        self.jobs = jobs
        self.predictor = predictor
        self.painter = painter
        self.done: list[Job] = []
        self.failures: list[str] = []

    def run(self, console: Console) -> None:
        """Does the jobs. One that fails does not keep the others from being done."""
        columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task('Predicting', total=len(self.jobs))
            for job in self.jobs:
                try:
                    self._do(job, progress)
                    self.done.append(job)
                except UserError as error:
                    if len(self.jobs) == 1:
                        raise
                    self.failures.append(str(error))
                progress.advance(bar)

    def _do(self, job: Job, progress: Progress) -> None:
        if not job.is_video:
            run_image(job, self.predictor, self.painter)
            return
        bar = progress.add_task(job.source.name, total=None)
        try:
            run_video(job, self.predictor, self.painter,
                      lambda done, total: progress.update(bar, completed=done, total=total))
        finally:
            progress.remove_task(bar)

    def report(self, out: Path, console: Console) -> None:
        if len(self.jobs) > 1:
            console.print(f'{len(self.done)} of {len(self.jobs)} files are done; results are in {out}')
        elif self.done:
            console.print('\n'.join(map(str, self.done[0].results)))
        for said in sorted(self.painter.displayed):
            console.print(f'overlays show {said}')
        if self.failures:
            console.print('not done:\n  ' + '\n  '.join(self.failures), style='red')
