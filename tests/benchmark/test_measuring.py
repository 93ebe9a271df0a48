"""From a method to its rows."""

import pytest

from mmseg_attn.benchmark import measuring
from mmseg_attn.benchmark.measuring import OURS, THEIRS, measure
from mmseg_attn.benchmark.settings import Settings
from mmseg_attn.benchmark.step import Step

SMALL = dict(in_channels=32, channels=8, sizes=((4, 6),), runs=3, warmup=1)


def rows_of(method, **settings):
    progress = []
    settings = Settings(**SMALL | settings)
    rows = [row for rows in measure(method, settings, lambda _, n: progress.append(n)) for row in rows]
    assert sum(progress) == len(settings.sizes) * len(settings.modes) * settings.runs
    return rows


def test_every_size_and_mode():
    rows = rows_of('glore', sizes=((4, 6), (5, 5)))
    assert [(row.height, row.width, row.mode) for row in rows] == [
        (4, 6, 'forward'), (4, 6, 'forward+backward'), (5, 5, 'forward'), (5, 5, 'forward+backward')]
    for row in rows:
        assert (row.status, row.code, row.batch, row.input_channels) == ('ok', OURS, 2, [32])
        assert len(row.times_ms) == 3
        assert min(row.times_ms) <= row.q1_ms <= row.median_ms <= row.q3_ms <= max(row.times_ms)
        assert row.ratio is None
        assert 0 < row.error < 1e-3
    assert rows[0].parameters == rows[2].parameters
    assert rows[0].gflops * 25 == pytest.approx(rows[2].gflops * 24, rel=0.1)
    assert rows[1].memory_mib > rows[0].memory_mib > 0


def test_beside_that_of_mmseg():
    ours, theirs = rows_of('isanet', against='mmseg', modes=('forward',))
    assert (ours.code, theirs.code) == (OURS, THEIRS)
    assert ours.parameters == theirs.parameters
    assert ours.error == theirs.error < 1e-5
    assert theirs.ratio > 0


def test_only_the_attention():
    row, = rows_of('ccnet', level='block', modes=('forward',))
    assert (row.input_channels, row.parameters) == ([8], 8 * 1 * 2 + 2 + 8 * 8 + 8 + 1)


def test_where_mmseg_has_none():
    ours, theirs = rows_of('glore', against='mmseg', modes=('forward',))
    assert ours.status == 'ok'
    assert theirs.status == 'not measured: mmseg has no head of this method'
    assert theirs.median_ms is theirs.memory_mib is None


def test_out_of_memory_stops_only_that_row(monkeypatch):
    run = Step.__call__

    def hungry(step):
        if step.inputs[0].shape[-1] == 9 and 'mmseg_attn' not in type(step.case.head).__module__:
            raise RuntimeError('[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes.')
        run(step)

    monkeypatch.setattr(Step, '__call__', hungry)
    rows = rows_of('non_local', against='mmseg', modes=('forward',), sizes=((4, 9), (4, 6)))
    assert [row.status for row in rows] == ['ok', 'out of memory', 'ok', 'ok']
    assert [row.median_ms is None for row in rows] == [False, True, False, False]
    assert rows[1].ratio is None


def test_memory_that_runs_out_later(monkeypatch):
    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr(measuring, 'interleaved_times', exhausted)
    row, = rows_of('glore', modes=('forward',))
    assert (row.status, row.median_ms, row.memory_mib) == ('out of memory', None, None)


def test_a_wrong_result_is_not_timed(monkeypatch):
    build_pair = measuring.build_pair

    def spoiled(*arguments):
        ours, theirs = build_pair(*arguments)
        theirs.head.conv_seg.bias.data += 1
        return ours, theirs

    monkeypatch.setattr(measuring, 'build_pair', spoiled)
    for row in rows_of('isanet', against='mmseg'):
        assert row.status.startswith("wrong result: output 0 differs from mmseg's")
        assert row.times_ms == []


def test_a_baseline_that_does_not_run_here(monkeypatch):
    def fails(*_):
        raise RuntimeError('implementation for device cpu not found.\n')

    monkeypatch.setattr(measuring, 'check_against_baseline', fails)
    ours, theirs = rows_of('isanet', against='mmseg', modes=('forward',))
    assert (ours.status, theirs.status) == ('ok', 'cannot run: implementation for device cpu not found.')


def test_a_size_that_cannot_be_run():
    first, second = rows_of('apcnet', batch=1)
    assert first.status == 'ok'
    assert second.status.startswith('cannot run: ')


def test_widths_that_cannot_be_built():
    row, = rows_of('dgmn', channels=6, modes=('forward',))
    assert row.status.startswith('cannot run: ')
    assert 'groups' in row.status
