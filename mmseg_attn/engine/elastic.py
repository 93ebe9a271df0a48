"""torchrun, for tools/launch.sh: without a traceback where a process has failed, whose own message is the one to read.

The exit code is 2 where a process has ended with it, as commands do when something is the user's to mend.
"""

import signal
import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

from mmseg_attn.common.errors import EXIT_CODE


def _run() -> int:
    try:
        main()
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            print(f'\nerror: process {rank} of this training (pid {failure.pid}) was ended by {name}', file=sys.stderr)
        return EXIT_CODE if failure.exitcode == EXIT_CODE else 1
    except SignalException as error:
        return 128 + error.sigval
    return 0


if __name__ == '__main__':
    sys.exit(_run())
