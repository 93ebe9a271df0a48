"""Predicts an image, a video, or all of them in a folder and below.

    python tools/infer.py configs/emanet_r18_camvid.py CHECKPOINT street.jpg --out results
    python tools/infer.py CONFIG CHECKPOINT photos/ --out results --probabilities
    python tools/infer.py CONFIG CHECKPOINT drive.mp4 --out results --frame-masks

Writes masks/<name>.png (the value of a pixel is the number of its class), overlays/<name>.png or .mp4, and if asked for
probabilities/<name>.npz. Exit code: 0 all is done, 1 some files of a folder could not be, 2 the command, the config or
the only file is wrong. docs/inference.md tells more.
"""

import argparse
import os
import sys
from pathlib import Path

from mmseg_attn.engine.errors import UserError, readable_errors
from mmseg_attn.environment import require_openmmlab

with readable_errors():
    require_openmmlab()
    from mmengine.device import get_device
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mmseg_attn.engine.arguments import SettingsAction, check_device
    from mmseg_attn.explain import load_model
    from mmseg_attn.inference.drawing import Painter
    from mmseg_attn.inference.files import Job, find_files, plan_jobs
    from mmseg_attn.inference.prediction import Predictor
    from mmseg_attn.inference.running import run_image, run_video


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('source', type=Path, metavar='IMAGE|FOLDER|VIDEO', help='what to predict')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder for what is written')
    parser.add_argument('--probabilities', action='store_true', help='also write those of all classes, for images')
    parser.add_argument('--frame-masks', action='store_true', help='also write the mask of every frame of a video')
    parser.add_argument('--opacity', type=float, default=0.5, help='of the colours in overlays, 0 to 1 (default: 0.5)')
    parser.add_argument('--no-legend', action='store_true', help='leave the names of the classes out of overlays')
    parser.add_argument('--overwrite', action='store_true', help='replace results that exist')
    parser.add_argument('--device', default=get_device(), help='the GPU by default, or the CPU where there is none')
    parser.add_argument('--cfg-options', nargs='+', action=SettingsAction, metavar='KEY=VALUE',
                        help='override settings of the config, as in train.py')
    return parser.parse_args()


def check_arguments(args: argparse.Namespace) -> None:
    if not 0 <= args.opacity <= 1:
        raise UserError(f'--opacity must be from 0 to 1, got {args.opacity:g}')
    check_device(args.device)


def plan(args: argparse.Namespace, console: Console) -> list[Job]:
    """What is to be done, once it is known that nothing stands in its way."""
    files, others = find_files(args.source, args.out)
    jobs = plan_jobs(args.source, files, args.out, probabilities=args.probabilities, frame_masks=args.frame_masks,
                     overwrite=args.overwrite)
    video = next((job.source for job in jobs if job.is_video), None)
    if args.probabilities and video:
        raise UserError(f'--probabilities are for images, and {video} is a video: split it into images first')
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'cannot write into {args.out}: {error.strerror}') from error
    if not os.access(args.out, os.W_OK):
        raise UserError(f'cannot write into {args.out}: it is read-only')
    if others:
        suffixes = ', '.join(sorted({path.suffix or path.name for path in others})[:8])
        console.print(f'{len(others)} files of {args.source} are no images and no videos: {suffixes}')
    return jobs


class Run:
    """The jobs of one call, and what came of them."""

    def __init__(self, jobs: list[Job], predictor: Predictor, painter: Painter):
        self.jobs = jobs
        self.predictor = predictor
        self.painter = painter
        self.done: list[Job] = []
        self.failures: list[str] = []

    def do_all(self, console: Console) -> None:
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


def report(run: Run, out: Path, console: Console) -> None:
    if len(run.jobs) > 1:
        console.print(f'{len(run.done)} of {len(run.jobs)} files are done; results are in {out}')
    elif run.done:
        console.print('\n'.join(map(str, run.done[0].results)))
    if run.failures:
        console.print('not done:\n  ' + '\n  '.join(run.failures), style='red')


def main() -> int:
    args = parse_args()
    check_arguments(args)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    jobs = plan(args, console)
    with console.status('loading'):
        model = load_model(args.config, args.checkpoint, args.device, args.cfg_options)
        predictor = Predictor(model, args.probabilities)
    run = Run(jobs, predictor, Painter(**model.dataset_meta, opacity=args.opacity, legend=not args.no_legend))
    try:
        run.do_all(console)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        raise UserError(f'cannot write into {args.out}: {error.strerror or error}') from error
    finally:
        report(run, args.out, console)
    return 1 if run.failures else 0


if __name__ == '__main__':
    with readable_errors():
        sys.exit(main())
