import multiprocessing
import os
import signal
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from torch.utils.data import DataLoader

from mmseg_attn.common.errors import UserError
from mmseg_attn.engine.lost import naming_lost_processes
from mmseg_attn.engine.signals import SIGNALS
from mmseg_attn.engine.workers import guard_workers


def _note(worker_id: int) -> None:
    os.environ['NOTED'] = str(worker_id)


class _Data:
    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> tuple[int, int, str]:
        return index, os.getpid(), os.environ['NOTED']


class _Unsendable(_Data):
    def __getitem__(self, index: int):
        return index if index < 3 else lambda: None


def _guarded(data=_Data, **options) -> DataLoader:
    runner = SimpleNamespace(build_dataloader=lambda **kwargs: DataLoader(data(), batch_size=None, **kwargs),
                             cfg=Config(dict(model=dict())))
    guard_workers(runner)
    return runner.build_dataloader(num_workers=1, worker_init_fn=_note, multiprocessing_context='fork', **options)


@pytest.fixture
def batches():
    iterator = iter(_guarded())
    yield iterator
    iterator._shutdown_workers()


def test_a_worker_outlives_signals_but_not_the_trainer(batches):
    first, worker, noted = next(batches)
    assert (first, noted) == (0, '0')  # its own worker_init_fn was called
    for _ in range(3):
        for signum in SIGNALS:
            # From another process: what the trainer sends ends it.
            assert os.system(f'kill -s {signum.name[3:]} {worker}') == 0
    assert [next(batches) for _ in range(20)] == [[i + 1, worker, '0'] for i in range(20)]
    process = next(p for p in multiprocessing.active_children() if p.pid == worker)
    process.terminate()
    process.join(60)
    assert process.exitcode == 0


def test_a_killed_worker_has_one_message(batches):
    _, worker, _ = next(batches)
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(UserError, match=r'a process that loads images has ended .*\n.*num_workers'):
        _exhaust(batches)


def _exhaust(batches) -> None:
    with naming_lost_processes():
        list(batches)


def test_a_batch_that_cannot_be_sent_ends_the_training(capfd):
    batches = iter(_guarded(_Unsendable))
    with pytest.raises(UserError, match='a process that loads images has ended'):
        _exhaust(batches)
    assert "Can't pickle" in capfd.readouterr().err


def test_a_temporary_folder_without_room_for_sockets(tmp_path, monkeypatch):
    folder = tmp_path / ('long' * 30)
    folder.mkdir()
    monkeypatch.setattr('tempfile.tempdir', str(folder))
    with pytest.raises(UserError, match=r'longlong.*AF_UNIX path too long.*\n.*TMPDIR'):
        _guarded()
    assert list(folder.iterdir()) == []


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match='shape'), naming_lost_processes():
        raise RuntimeError('shape')
    with pytest.raises(FileNotFoundError), naming_lost_processes():
        raise FileNotFoundError('nowhere')
