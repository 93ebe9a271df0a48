"""Runs a script in a process that has PyTorch and OpenMMLab imported already: importing them takes seconds.

Such a process is a fork of a server, which :mod:`.preloaded` fills once for each process of the tests. The package
itself is imported by the script, as always. Where the environment matters to an import, use a process of its own.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

CONTEXT = multiprocessing.get_context('forkserver')
CONTEXT.set_forkserver_preload([f'{__package__}.preloaded'])


def run_warm(words: list[str], cwd: Path, env: dict[str, str], timeout: float = 900) -> subprocess.CompletedProcess:
    """``python *words``, where the first word is a script or -m, with its output as text."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, 'stdout'), Path(folder, 'stderr')
        process = CONTEXT.Process(target=_run, args=(list(map(str, words)), cwd, env, out, err))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(words, timeout, out.read_text(), err.read_text())
        return subprocess.CompletedProcess(words, process.exitcode, out.read_text(), err.read_text())


def _run(words: list[str], cwd: Path, env: dict[str, str], out: Path, err: Path) -> None:
    for number, path in ((1, out), (2, err)):
        with open(path, 'wb') as file:
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (open(number, 'w', encoding='utf-8', closefd=False) for number in (1, 2))  # noqa: SIM115
    # The script imports them from where its environment says.
    for name in [name for name in sys.modules if name.partition('.')[0] in ('mmseg_attn', 'tests')]:
        del sys.modules[name]
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[:0] = list(filter(None, env.get('PYTHONPATH', '').split(os.pathsep)))
    if words[0] == '-m':
        sys.argv = words[1:]
        sys.path.insert(0, str(cwd))
        runpy.run_module(words[1], run_name='__main__', alter_sys=True)
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).parent))
        runpy.run_path(words[0], run_name='__main__')
