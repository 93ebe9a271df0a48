"""Rows as JSON, CSV and tables."""

import csv
import io
import json
import os

import pytest
from rich.console import Console

from mmseg_attn.benchmark import report
from mmseg_attn.benchmark.measuring import Row
from mmseg_attn.common.errors import UserError

META = dict(hardware=dict(cpu='a', device='cpu'), settings=dict(level='head'), torch_settings=dict(threads=1),
            versions=dict(torch='2'))


def row(method='ccnet', size=(10, 10), time=1.0, **kwargs):
    fields = dict(code='mmseg_attn', level='head', mode='forward', batch=2, parameters=1234567, gflops=0.5,
                  median_ms=time, q1_ms=0.9 * time, q3_ms=1.1 * time, memory_mib=2 * time, times_ms=[time])
    return Row(method=method, height=size[0], width=size[1], **fields | kwargs)


SQUARE = [row(size=(side, 2 * side), time=3e-4 * side**4) for side in (10, 20, 40)]
FAILED = Row('danet', 'mmseg', 'head', 'forward', 10, 10, 2, status='out of memory')
ABSENT = [Row(m, 'mmseg', 'head', mode, 10, 10, 2, status='not measured: there is none')
          for m in ('glore', 'dgmn') for mode in ('forward', 'forward+backward')]


def printed(function, rows):
    console = Console(width=120, file=io.StringIO())
    function(rows, console)
    return console.file.getvalue()


def test_what_is_written_can_be_read(tmp_path):
    report.write(tmp_path, META, [*SQUARE, FAILED], complete=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['benchmark.csv', 'benchmark.json']
    meta, rows = report.read(tmp_path / 'benchmark.json')
    assert rows == [*SQUARE, FAILED]
    assert meta['complete'] is False
    assert 'multiply-adds' in meta['conventions']['gflops']
    table = list(csv.DictReader((tmp_path / 'benchmark.csv').read_text().splitlines()))
    assert [line['status'] for line in table] == ['ok', 'ok', 'ok', 'out of memory']
    assert float(table[1]['median_ms']) == SQUARE[1].median_ms
    assert table[3]['median_ms'] == ''
    assert 'times_ms' not in table[0]


def test_a_failed_write_leaves_the_last_whole_one(tmp_path, monkeypatch):
    report.write(tmp_path, META, SQUARE[:1], complete=False)
    before = (tmp_path / 'benchmark.json').read_bytes()
    with pytest.raises(TypeError):
        report.write(tmp_path, dict(META, extra=object()), SQUARE, complete=True)
    monkeypatch.setattr(os, 'replace', lambda *_: (_ for _ in ()).throw(OSError('no space')))
    with pytest.raises(UserError, match='no space'):
        report.write(tmp_path, META, SQUARE, complete=True)
    assert (tmp_path / 'benchmark.json').read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"rows": [{"speed": 3}]}', '{"rows": []}', '{"rows": 3}'])
def test_something_else(tmp_path, text):
    path = tmp_path / 'other.json'
    path.write_text(text)
    with pytest.raises(UserError, match=r'other\.json is no benchmark\.json'):
        report.read(path)
    with pytest.raises(UserError, match='cannot read'):
        report.read(tmp_path / 'none.json')


def test_exponents():
    assert report.exponent(SQUARE, 'median_ms') == pytest.approx(2)
    assert report.exponent(SQUARE[:2], 'median_ms') is None
    assert report.exponent([*SQUARE[:2], row(size=(40, 5))], 'median_ms') is None  # two of them are of the same size
    text = printed(report.print_exponents, [*SQUARE, FAILED])
    assert 'ccnet' in text
    assert text.count('2.00') == 2
    assert printed(report.print_exponents, SQUARE[:2]) == ''


def test_tables():
    theirs = row(code='mmseg', size=(10, 20), time=7.0, ratio=2.34)
    text = printed(report.print_tables, [*SQUARE, theirs, FAILED, *ABSENT])
    assert [line for line in text.splitlines() if 'pixels' in line] == [
        f'forward, {h} x {2 * h} pixels, batch 2'.ljust(len(line)) for h, line in zip(
            (10, 20, 40), [line for line in text.splitlines() if 'pixels' in line], strict=True)]
    line = next(line for line in text.splitlines() if '2.34' in line)
    assert [cell.strip() for cell in line.strip('│').split('│')] == [
        'ccnet', 'mmseg', '1.23 M', '0.5', '7', '6.3 - 7.7', '14', '2.34']
    assert 'danet (mmseg) 10x10 forward: out of memory' in text
    assert 'glore (mmseg), dgmn (mmseg): not measured: there is none' in text
    assert 'code' not in printed(report.print_tables, SQUARE)


def test_a_compiled_peer_whose_memory_and_operations_cannot_be_measured():
    theirs = row(code='mmseg', size=(10, 20), gflops=None, memory_mib=None, ratio=2.34)
    text = printed(report.print_tables, [SQUARE[0], theirs])
    line = next(line for line in text.splitlines() if '2.34' in line)
    assert [cell.strip() for cell in line.strip('│').split('│')] == [
        'ccnet', 'mmseg', '1.23 M', '', '1', '0.9 - 1.1', '', '2.34']


def test_curves_grow_and_leave_out_what_was_not_measured():
    found = report.curves([FAILED, *reversed(SQUARE), row(code='mmseg')])
    assert list(found) == [('ccnet', 'mmseg_attn', 'forward'), ('ccnet', 'mmseg', 'forward')]
    assert found['ccnet', 'mmseg_attn', 'forward'] == SQUARE


def test_json_says_what_the_numbers_mean(tmp_path):
    report.write(tmp_path, META, [], complete=True)
    assert {'gflops', 'times', 'ratio', 'memory_mib', 'error'} <= set(
        json.loads((tmp_path / 'benchmark.json').read_text())['conventions'])
