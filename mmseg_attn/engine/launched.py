"""What a process and the launcher that started it tell each other: torchrun, tools/launch.sh, Slurm.

tools/launch.sh sets MMSEG_ATTN_LAUNCH to a folder. A process that can stop puts its number there, to be sent the
signals that the script gets, and leaves the exit code there which torchrun would replace by 1.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from .signals import Interrupted

FOLDER, SCRIPT = 'MMSEG_ATTN_LAUNCH', 'MMSEG_ATTN_LAUNCH_PID'
RESTARTS = 'TORCHELASTIC_RESTART_COUNT', 'SLURM_RESTART_COUNT'
# Seconds between two looks at the launcher, and those that a process has to save when the launcher is gone.
LOOK, SAVE = 2, 30


def is_restarted() -> bool:
    """Whether torchrun or Slurm has started this training again."""
    return any(int(os.environ.get(name) or 0) > 0 for name in RESTARTS)


def announce() -> None:
    """Tells tools/launch.sh that this process handles signals, and stops it when its launcher is killed."""
    if FOLDER in os.environ:
        Path(os.environ[FOLDER], f'rank.{os.getpid()}').touch()
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def exit_code(stop: Interrupted) -> int:
    """What to return after ``stop``: under tools/launch.sh 0, because torchrun would start a failed process again."""
    if FOLDER in os.environ:
        with suppress(OSError):  # the script may be gone, and the folder with it
            Path(os.environ[FOLDER], 'code').write_text(str(stop.code))
            return 0
    return stop.code


def _watch(parent: int) -> None:
    while os.getppid() == parent and _script_lives():
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
    with suppress(OSError):  # the output may be gone with the launcher
        print('\nThe launcher of this training has been killed: saving a checkpoint.', file=sys.stderr, flush=True)
    time.sleep(SAVE)
    os._exit(128 + signal.SIGTERM)


def _script_lives() -> bool:
    if SCRIPT not in os.environ:
        return True
    try:
        os.kill(int(os.environ[SCRIPT]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
