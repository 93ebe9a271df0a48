"""Runs the tools as a user does: as subprocesses, from another folder."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest

from mmseg_attn.cli import WITHOUT_OPENMMLAB, parse, run_command

from .warm import run_warm

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'

FEW = ['train_dataloader.batch_size=2', 'train_cfg.max_iters=4', 'train_cfg.val_interval=4',
       'default_hooks.logger.interval=1', 'default_hooks.checkpoint.interval=4']


def environment(**extra: str) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if k not in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'PORT')}
    path = f'{Path(sys.executable).parent}{os.pathsep}{env["PATH"]}'
    return env | {'PATH': path, 'OMP_NUM_THREADS': '1', **extra}


def tool(name: str, *args, cwd: Path, **extra_environment: str) -> subprocess.CompletedProcess:
    words, env = [str(ROOT / 'tools' / name), *map(str, args)], environment(**extra_environment)
    if name.endswith('.py') and name[:-3] not in WITHOUT_OPENMMLAB and 'PYTHONPATH' not in extra_environment:
        return run_warm(words, cwd, env)
    program = sys.executable if name.endswith('.py') else 'bash'
    return subprocess.run([program, *words], cwd=cwd, capture_output=True, text=True, env=env, timeout=900)


class Running:
    """A tool that has been started, with what it has said so far."""

    def __init__(self, process: subprocess.Popen):
        self.process = process
        self.output = ''

    def wait_for(self, pattern: str) -> None:
        for line in self.process.stdout:
            self.output += line
            if re.search(pattern, line):
                return
        raise AssertionError(f'{pattern} was not said:\n{self.output[-3000:]}')

    def end(self) -> int:
        """The exit code, once the tool and all processes that share its output have ended."""
        self.output += self.process.stdout.read()
        return self.process.wait()


@contextmanager
def running(name: str, *args, cwd: Path, **extra_environment: str) -> Iterator[Running]:
    """Starts a tool in a process group of its own, and kills it in the end, or after minutes."""
    program = [sys.executable] if name.endswith('.py') else ['bash']
    with subprocess.Popen([*program, str(ROOT / 'tools' / name), *map(str, args)], cwd=cwd, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                          env=environment(**extra_environment)) as process:
        limit = threading.Timer(300, lambda: (process.kill(), process.wait()))
        limit.start()
        try:
            yield Running(process)
        finally:
            limit.cancel()
            process.kill()


def succeeds(result: subprocess.CompletedProcess) -> str:
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


def fails(result: subprocess.CompletedProcess) -> str:
    """The one readable error of a tool that had nothing else to say."""
    assert result.returncode == 2, result.stdout[-3000:] + result.stderr[-3000:]
    return _message(result.stderr)


def _message(stderr: str) -> str:
    assert 'Traceback' not in stderr
    message = stderr.split('\nerror: ')[-1]
    assert len(message.splitlines()) <= 5
    return message


def run_here(name: str, *arguments: object) -> int | None:
    """A command within this process, where it raises its errors: a start of it takes seconds."""
    args = parse(name, list(map(str, arguments)))
    return import_module(f'mmseg_attn.cli.{name}').main(args)


def fails_here(capsys, name: str, *arguments: object) -> str:
    """:func:`fails` of a command within this process."""
    with pytest.raises(SystemExit) as ended:
        run_command(name, list(map(str, arguments)))
    assert ended.value.code == 2
    return _message(capsys.readouterr().err)
