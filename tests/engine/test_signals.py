import os
import signal
import subprocess
import sys

import pytest

from mmseg_attn.engine.signals import SIGNALS, Interrupted, deferring_signals, raising_signals, requested

SECOND = '''
import os, signal
from mmseg_attn.engine import signals
signals.SAME = {same}
with signals.deferring_signals():
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.{second})
    print('lives')
'''


@pytest.fixture(autouse=True)
def handlers():
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    yield before
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize('signum', SIGNALS, ids=lambda signum: signum.name)
def test_the_first_signal_waits(signum, handlers):
    with deferring_signals():
        assert requested() == 0
        os.kill(os.getpid(), signum)
        assert requested() == signum
    assert {s: signal.getsignal(s) for s in SIGNALS} == handlers


@pytest.mark.parametrize(('signum', 'code'), [(signal.SIGINT, 130), (signal.SIGUSR1, 138), (signal.SIGTERM, 143)])
def test_the_first_signal_raises(signum, code):
    with pytest.raises(Interrupted, match=f'Stopped by {signum.name}') as stop, raising_signals():
        os.kill(os.getpid(), signum)
    assert stop.value.code == code
    # Slurm ends the other tasks when the first has ended, and their code must remain.
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


@pytest.mark.parametrize('second', ['SIGTERM', 'SIGINT'])
def test_a_second_signal_ends_at_once(second):
    result = subprocess.run([sys.executable, '-c', SECOND.format(same=-1, second=second)], capture_output=True)
    assert result.returncode == -getattr(signal, second)
    assert result.stdout == b''


def test_the_same_signal_from_a_launcher_is_not_a_second_one():
    result = subprocess.run([sys.executable, '-c', SECOND.format(same=100, second='SIGTERM')], capture_output=True)
    assert (result.returncode, result.stdout) == (0, b'lives\n')


def test_ctrl_c_is_not_for_the_background():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with deferring_signals():
        os.kill(os.getpid(), signal.SIGINT)
        assert requested() == 0
