"""Kills a training at random moments, resumes it, and looks at what lies on the disk after every kill.

    python -m tests.faults.kills --kills 100        as `make faults` does; prints the figures

Every training is a fork of this process, which has imported all: a start takes a fraction of a second.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from mmseg_attn.checkpoints.reading import read_content
from mmseg_attn.cli import run_command
from mmseg_attn.common.errors import UserError
from mmseg_attn.engine.checkpoint_files import check_resumable, files_like
from mmseg_attn.environment import require_openmmlab

from . import toy

# The threads of OpenMP do not come along in a fork, which would wait for them for ever.
torch.set_num_threads(1)
MAX_ITERS, INTERVAL = 24, 4
VALIDATIONS = list(range(INTERVAL, MAX_ITERS + 1, INTERVAL))


@dataclass
class Figures:
    kills: int = 0
    kills_while_writing: int = 0
    trainings: int = 0
    refused: int = 0
    lost: int = 0
    without_best: int = 0
    unequal: int = 0
    problems: list[str] = field(default_factory=list)

    def is_perfect(self) -> bool:
        return not (self.refused or self.lost or self.without_best or self.unequal)


class KilledTraining:
    """A training in ``folder``, with what has been seen of it on the disk so far."""

    def __init__(self, folder: Path, config: Path, figures: Figures):
        self.folder, self.config, self.figures = folder, config, figures
        self.reached = self.best = 0

    def run(self, kill_after: float | None = None, kill_in_write: float | None = None) -> bool:
        """Starts or resumes it, and kills it unless it ends before; tells whether it has ended."""
        process = start(self.config, self.folder)
        begin, killed = time.monotonic(), False
        while (ended := os.waitpid(process, os.WNOHANG))[0] == 0:
            in_write = kill_in_write is not None and self._writes(kill_in_write)
            if in_write or (kill_after is not None and time.monotonic() - begin > kill_after):
                os.kill(process, signal.SIGKILL)
                killed = True
                self.figures.kills_while_writing += bool(list(self.folder.glob('.partial-*')))
                ended = os.waitpid(process, 0)
                break
            time.sleep(0.0005)
        code = os.waitstatus_to_exitcode(ended[1])
        if not killed or code != -signal.SIGKILL:
            if code:
                self._count('refused', f'ended with {code} from iteration {self.reached}')
            return True
        self.figures.kills += 1
        self.look()
        return False

    def look(self) -> None:
        """What was there before the kill must be there still, whole."""
        reached = max((step[0] for step, path in files_like(self.folder, 'iter_{}.pth') if self._is_whole(path)),
                      default=0)
        if reached < self.reached:
            self._count('lost', f'iteration {self.reached} was saved, and now {reached} is the newest whole one')
        self.reached = max(reached, self.reached)
        best = max((step[0] for step, path in files_like(self.folder, 'best_score_iter_{}.pth') if _weights(path)),
                   default=0)
        if best < self.best:
            self._count('without_best', f'the best was of iteration {self.best}, now it is of {best}')
        self.best = max(best, self.best)

    def check_end(self, expected: dict) -> None:
        found = _weights(self.folder / f'iter_{MAX_ITERS}.pth')
        if not found or not all(torch.equal(found[key], value) for key, value in expected.items()):
            self._count('unequal', 'the weights at the end are not those of an undisturbed training')
        bests = [path.name for path in self.folder.glob('best*')]
        if bests != [f'best_score_iter_{MAX_ITERS}.pth'] or not _weights(self.folder / bests[0]):
            self._count('without_best', f'at the end there are {bests}')
        if (self.folder / 'last_checkpoint').read_text() != f'iter_{MAX_ITERS}.pth':
            self._count('lost', 'last_checkpoint names another file')
        if validated(self.folder) != VALIDATIONS:
            self._count('lost', f'validations after {validated(self.folder)} only')
        if left := [path.name for path in self.folder.glob('.partial*')]:
            self._count('lost', f'left over: {left}')

    def _writes(self, share: float) -> bool:
        try:
            return any(self.folder.glob('.partial-*/*.pth')) and random.random() < share
        except FileNotFoundError:
            return False  # the folder is renamed while it is looked through

    def _is_whole(self, path: Path) -> bool:
        try:
            check_resumable(path)
        except UserError as error:
            self._count('lost', f'a torn file under its final name: {error}')
            return False
        return True

    def _count(self, kind: str, problem: str) -> None:
        setattr(self.figures, kind, getattr(self.figures, kind) + 1)
        self.figures.problems.append(f'{self.folder.name}: {problem}')


def start(config: Path, folder: Path) -> int:
    process = os.fork()
    if process:
        return process
    with open(folder.with_suffix('.log'), 'a') as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        run_command('train', [str(config), '--work-dir', str(folder), '--resume'])
    except SystemExit as error:
        sys.stdout.flush()
        os._exit(error.code or 0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)


def _weights(path: Path) -> dict:
    try:
        return read_content(path)['state_dict']
    except UserError:
        return {}


def validated(folder: Path) -> list[int]:
    steps = set()
    for path in folder.glob('*/vis_data/scalars.json'):
        for line in path.read_text().splitlines():
            try:
                content = json.loads(line)
            except ValueError:
                continue  # torn
            if 'score' in content:
                steps.add(content['step'])
    return sorted(steps)


def kill_trainings(root: Path, kills: int, megabytes: float, seed: int) -> Figures:
    require_openmmlab()
    random.seed(seed)
    config = root / 'toy.py'
    config.write_text(toy.CONFIG.format(megabytes=megabytes, max_iters=MAX_ITERS, interval=INTERVAL))
    figures = Figures()
    straight = KilledTraining(root / 'straight', config, figures)
    begin = time.monotonic()
    straight.run()
    seconds = time.monotonic() - begin
    expected = _weights(root / 'straight' / f'iter_{MAX_ITERS}.pth')
    straight.check_end(expected)
    while figures.kills < kills or figures.trainings == 0:
        training = KilledTraining(root / f'killed{figures.trainings}', config, figures)
        ended = False
        while not ended:
            if figures.kills >= kills:
                ended = training.run()
            elif random.random() < 0.5:
                ended = training.run(kill_after=random.uniform(0, seconds))
            else:
                ended = training.run(kill_in_write=0.02)
        training.check_end(expected)
        figures.trainings += 1
        shutil.rmtree(training.folder, ignore_errors=True)
        if not figures.is_perfect() and len(figures.problems) > 20:
            break
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=100)
    parser.add_argument('--megabytes', type=float, default=200, help='of weights in a checkpoint')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        figures = kill_trainings(Path(root), args.kills, args.megabytes, args.seed)
    print(json.dumps(asdict(figures), indent=1))
    sys.exit(0 if figures.is_perfect() else 1)


if __name__ == '__main__':
    main()
