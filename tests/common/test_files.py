"""Files and folders are written whole or not at all."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmseg_attn.common import files
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import atomic_folder, atomic_write, require_writable, write_text

KILLED = '''
import os, signal, sys
from mmseg_attn.common.files import atomic_write
with atomic_write(sys.argv[1]) as partial:
    partial.write_text("half")
    print("writing", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
'''


def test_what_fails_leaves_nothing_and_changes_nothing(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')

    def interrupted():
        with atomic_write(path) as partial:
            partial.write_text('half')
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [each.name for each in tmp_path.iterdir()] == ['a.txt']
    assert path.read_text() == 'old'


def test_the_name_and_the_mode_are_those_of_the_file(tmp_path):
    with atomic_write(tmp_path / 'new' / 'a.txt') as partial:
        assert partial.name == 'a.txt'
        partial.write_text('text')
    (tmp_path / 'plain').touch()
    assert (tmp_path / 'new' / 'a.txt').stat().st_mode == (tmp_path / 'plain').stat().st_mode


def test_the_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def record(handle):
        synced.append((os.fstat(handle).st_size, (tmp_path / 'a.txt').exists()))
        fsync(handle)
    monkeypatch.setattr(files.os, 'fsync', record)
    write_text(tmp_path / 'a.txt', 'text')
    assert synced[0] == (4, False)


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / 'a.frames'
    for names in (['1', '2'], ['3']):
        with atomic_folder(path) as partial:
            for name in names:
                (partial / name).touch()
            assert partial != path
        assert sorted(each.name for each in path.iterdir()) == names
    assert [each.name for each in tmp_path.iterdir()] == ['a.frames']


def test_many_may_write_the_same_file_at_once(tmp_path):
    texts = [str(i) * 100_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(tmp_path / 'a.txt', text), texts))
    assert (tmp_path / 'a.txt').read_text() in texts
    assert [each.name for each in tmp_path.iterdir()] == ['a.txt']


@pytest.mark.skipif(os.name != 'posix', reason='kills a process')
def test_what_a_killed_process_left_is_removed_and_what_a_running_one_writes_is_not(tmp_path):
    killed = subprocess.run([sys.executable, '-c', KILLED, str(tmp_path / 'a.txt')], capture_output=True, text=True)
    assert (killed.stdout, killed.returncode) == ('writing\n', -signal.SIGKILL)
    left, = tmp_path.iterdir()
    assert (left / 'a.txt').read_text() == 'half'
    with atomic_write(tmp_path / 'b.txt') as running:
        assert not left.exists()
        running.write_text('b')
        files._remove_abandoned_once.cache_clear()
        write_text(tmp_path / 'c.txt', 'c')
        assert running.exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ['b.txt', 'c.txt']


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'cannot write into the folder .*/file/below: '):
        require_writable(tmp_path / 'file' / 'below')
    require_writable(tmp_path / 'new' / 'folder')
    assert not list((tmp_path / 'new' / 'folder').iterdir())
