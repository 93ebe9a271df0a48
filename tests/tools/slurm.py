"""A stand-in for Slurm's commands, which runs two tasks on this machine."""

import os
import stat
from pathlib import Path

from tests.tools.command import environment

SRUN = '''#!/usr/bin/env python
import os, signal, subprocess, sys

with open('srun_arguments', 'a') as file:
    print(*sys.argv[1:], file=file)
command = sys.argv[sys.argv.index('python'):]
tasks = [subprocess.Popen(command, env=os.environ | dict(
    SLURM_PROCID=str(i), SLURM_LOCALID=str(i), SLURM_NTASKS='2', SLURM_NODELIST='localhost')) for i in range(2)]


def send(signum, frame=None):
    for task in tasks:
        try:
            os.kill(task.pid, signum)
        except ProcessLookupError:
            pass


signal.signal(signal.SIGUSR1, send)
signal.signal(signal.SIGTERM, send)
codes = []
for _ in tasks:
    code = os.waitstatus_to_exitcode(os.wait()[1])
    codes.append(code if code >= 0 else 128 - code)
    if code:
        send(signal.SIGTERM)  # --kill-on-bad-exit
sys.exit(max(codes))
'''
SCONTROL = '''#!/usr/bin/env bash
if [[ "$1" == requeue ]]; then echo "requeued $2"; else echo 127.0.0.1; fi
'''


def slurm_environment(folder: Path) -> dict[str, str]:
    """In which ``srun`` appends its arguments to the file ``srun_arguments`` in the working directory."""
    binaries = folder / 'bin'
    binaries.mkdir()
    for name, text in dict(srun=SRUN, scontrol=SCONTROL).items():
        (binaries / name).write_text(text)
        (binaries / name).chmod((binaries / name).stat().st_mode | stat.S_IEXEC)
    return dict(PATH=f'{binaries}{os.pathsep}{environment()["PATH"]}', GPUS='2', GPUS_PER_NODE='2')
