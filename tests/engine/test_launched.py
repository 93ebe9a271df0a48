import os
import signal
import subprocess
import sys

import pytest

from mmseg_attn.engine.launched import FOLDER, RESTARTS, SCRIPT, announce, exit_code, is_restarted
from mmseg_attn.engine.signals import Interrupted

# A process kills its parent, and ends by the signal that follows, or by force after so many seconds.
ORPHAN = '''
import os, signal, sys, time
from mmseg_attn.engine import launched
launched.LOOK, launched.SAVE = 0.01, {save}
def stop(signum, frame):
    print('asked to stop', flush=True)
    {then}
if os.fork():
    os.wait()
else:
    signal.signal(signal.SIGTERM, stop)
    launched.announce()
    os.kill(os.getppid(), signal.SIGKILL)
    while True:
        signal.pause()
'''


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    for name in (FOLDER, SCRIPT, *RESTARTS):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize('name', RESTARTS)
def test_restarts(monkeypatch, name):
    assert not is_restarted()
    monkeypatch.setenv(name, '0')
    assert not is_restarted()
    monkeypatch.setenv(name, '2')
    assert is_restarted()


def test_the_code_goes_to_the_script(monkeypatch, tmp_path):
    stop = Interrupted(signal.SIGTERM)
    assert exit_code(stop) == 143
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert exit_code(stop) == 0  # torchrun starts again what has failed
    assert (tmp_path / 'code').read_text() == '143'
    monkeypatch.setenv(FOLDER, str(tmp_path / 'gone'))
    assert exit_code(stop) == 143


def test_a_process_says_which_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr('mmseg_attn.engine.launched._watch', lambda parent: None)
    announce()
    assert [path.name for path in tmp_path.iterdir()] == [f'rank.{os.getpid()}']


@pytest.mark.parametrize(('save', 'then', 'said'), [
    (300, 'os._exit(0)', 'asked to stop'), (0, 'pass', 'The launcher of this training has been killed')],
    ids=['stops', 'hangs'])
def test_a_process_notices_that_its_launcher_is_gone(save, then, said):
    # The output ends when the orphan does.
    result = subprocess.run([sys.executable, '-c', ORPHAN.format(save=save, then=then)], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=120)
    assert result.returncode == -signal.SIGKILL
    assert said in result.stdout
