"""Files and folders are written whole or not at all."""

import os
import signal
import subprocess
import sys
import time
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


PARALLEL = '''
import sys
from mmseg_attn.common.files import write_text
for i in range(40):
    write_text(f"{sys.argv[1]}/{i}/{sys.argv[2]}.txt", "x")
'''


def test_processes_that_write_into_one_folder_leave_each_other_alone(tmp_path):
    processes = [subprocess.Popen([sys.executable, '-c', PARALLEL, str(tmp_path), str(i)], stderr=subprocess.PIPE,
                                  text=True) for i in range(4)]
    assert [process.communicate()[1] for process in processes] == [''] * 4
    assert len(list(tmp_path.glob('*/*'))) == 40 * 4


def test_an_error_between_the_renames_brings_the_old_folder_back(tmp_path, monkeypatch):
    path = tmp_path / 'a'
    path.mkdir()
    (path / 'old').touch()

    def interrupt(*names):
        raise KeyboardInterrupt

    def write():
        with atomic_folder(path) as partial:
            (partial / 'new').touch()
    with monkeypatch.context() as patch:
        patch.setattr(files.os, 'replace', interrupt)
        with pytest.raises(KeyboardInterrupt):
            write()
    assert [each.name for each in path.iterdir()] == ['old']
    assert [each.name for each in tmp_path.iterdir()] == ['a']


def test_a_kill_between_the_renames_loses_nothing(tmp_path):
    left = tmp_path / '.partial-x'
    (left / 'a.replaced').mkdir(parents=True)
    (left / 'a.replaced' / 'old').touch()
    write_text(tmp_path / 'b.txt', 'b')
    assert (tmp_path / 'a' / 'old').exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ['a', 'b.txt']


def test_a_file_is_not_replaced_by_a_folder_nor_a_folder_by_a_file(tmp_path):
    (tmp_path / 'file').write_text('precious')
    (tmp_path / 'folder').mkdir()
    with pytest.raises(UserError, match=r'cannot write the folder .*/file: there is a file of this name'), \
            atomic_folder(tmp_path / 'file'):
        pass
    with pytest.raises(UserError, match=r'cannot write .*/folder: Is a directory'):
        write_text(tmp_path / 'folder', 'text')
    assert (tmp_path / 'file').read_text() == 'precious'
    assert sorted(each.name for each in tmp_path.iterdir()) == ['file', 'folder']


def test_a_link_stays_and_what_it_points_to_is_written(tmp_path):
    (tmp_path / 'large disk').mkdir()
    (tmp_path / 'data').symlink_to(tmp_path / 'large disk')
    with atomic_folder(tmp_path / 'data') as partial:
        (partial / 'a').touch()
    assert (tmp_path / 'data').is_symlink()
    assert (tmp_path / 'large disk' / 'a').exists()


def test_a_link_into_nowhere(tmp_path):
    (tmp_path / 'a.txt').symlink_to(tmp_path / 'gone' / 'a.txt')
    with pytest.raises(UserError, match=r'a\.txt: it is a link to .*gone/a\.txt, whose folder does not exist'):
        write_text(tmp_path / 'a.txt', 'text')
    assert not (tmp_path / 'gone').exists()


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    def full():
        with atomic_write(tmp_path / 'a.txt'):
            raise OSError(28, 'No space left on device')
    with pytest.raises(UserError, match=r'cannot write .*/a\.txt: No space left on device'):
        full()
    assert not list(tmp_path.iterdir())


def test_what_was_killed_before_its_lock_is_removed_later(tmp_path):
    for name, age in (('.new-old', 3600), ('.new-now', 0)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    write_text(tmp_path / 'a.txt', 'a')
    assert sorted(each.name for each in tmp_path.iterdir()) == ['.new-now', 'a.txt']
