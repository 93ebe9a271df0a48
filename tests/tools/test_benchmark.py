"""tools/benchmark.py measures, writes, draws, and refuses."""

import csv
import json
import signal
import subprocess
import sys
import time

import pytest
import torch

from mmseg_attn.benchmark import memory, pictures
from mmseg_attn.common.errors import UserError
from tests.tools.command import ROOT, environment, fails, run_here, succeeds, tool

TINY = ['--in-channels', 32, '--channels', 8, '--warmup', 1]


@pytest.fixture
def benchmark(monkeypatch, tmp_path, capsys):
    """The tool in this process: arguments -> exit code and output."""
    monkeypatch.setattr(memory, 'limit_memory', lambda: None)  # it would hold for all tests
    monkeypatch.setattr(torch.backends.cudnn, 'benchmark', False)
    monkeypatch.setattr(signal, 'signal', lambda *_: None)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['benchmark.py', *map(str, arguments)])
        return run_here('benchmark', *arguments), capsys.readouterr().out

    return run


def test_a_table_and_files(benchmark, tmp_path):
    code, out = benchmark('--methods', 'glore', 'isanet', '--sizes', '4x6', '6x8', '8x8', '--runs', 2,
                          '--against', 'mmseg', '--modes', 'forward', *TINY)
    assert code == 0
    assert 'forward, 4 x 6 pixels, batch 2' in out
    assert 'glore (mmseg): not measured: mmseg has no head of this method' in out
    assert 'p in cost ~ N^p' in out
    assert 'multiply-adds of a forward' in out.replace('\n', ' ')
    folder = tmp_path / 'work_dirs' / 'benchmark'
    written = json.loads((folder / 'benchmark.json').read_text())
    assert written['complete'] is True
    assert written['settings']['sizes'] == [[4, 6], [6, 8], [8, 8]]
    assert written['versions']['torch'] == torch.__version__
    assert written['hardware']['cpu']
    assert '--against mmseg' in written['command']
    assert [len(row['times_ms']) for row in written['rows']] == 3 * [2, 0] + 6 * [2]
    lines = list(csv.DictReader((folder / 'benchmark.csv').read_text().splitlines()))
    assert [(line['method'], line['code']) for line in lines[-2:]] == [('isanet', 'mmseg_attn'), ('isanet', 'mmseg')]
    if pictures.is_available():
        assert (folder / 'cost_against_n.png').stat().st_size > 10000


def test_shown_again_with_accuracies(benchmark, tmp_path):
    benchmark('--methods', 'glore', '--sizes', '4x6', '--runs', 2, '--out', 'b', '--modes', 'forward', *TINY)
    (tmp_path / 'mIoU.csv').write_text('method,mIoU\nglore,77.5\n')
    before = (tmp_path / 'b' / 'benchmark.json').read_bytes()
    code, out = benchmark('--show', 'b/benchmark.json', '--results', 'mIoU.csv')
    assert code == 0
    assert 'glore' in out
    assert 'Interrupted' not in out
    assert (tmp_path / 'b' / 'benchmark.json').read_bytes() == before
    if pictures.is_available():
        assert (tmp_path / 'b' / 'accuracy_against_cost.png').is_file()
    benchmark('--show', 'b/benchmark.json', '--out', 'c/d')
    assert [path.name for path in (tmp_path / 'c' / 'd').iterdir()] == ['cost_against_n.png'] * pictures.is_available()
    (tmp_path / 'other.csv').write_text('method,mIoU\nccnet,77.5\n')
    with pytest.raises(UserError, match=r'other\.csv has no accuracy of glore; it has ccnet'):
        benchmark('--show', 'b/benchmark.json', '--results', 'other.csv')


def test_overwriting_leaves_no_picture_of_the_last_results(benchmark, monkeypatch, tmp_path):
    monkeypatch.setattr(pictures, 'is_available', lambda: False)
    for name in 'benchmark.json', 'cost_against_n.png', 'accuracy_against_cost.png':
        (tmp_path / name).write_text('old')
    benchmark('--methods', 'glore', '--sizes', '4x6', '--runs', 1, '--out', '.', '--modes', 'forward', '--overwrite',
              *TINY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['benchmark.csv', 'benchmark.json']
    assert json.loads((tmp_path / 'benchmark.json').read_text())['complete']


def test_without_matplotlib(benchmark, monkeypatch, tmp_path):
    monkeypatch.setattr(pictures, 'is_available', lambda: False)
    code, out = benchmark('--methods', 'glore', '--sizes', '4x6', '--runs', 2, '--modes', 'forward', *TINY)
    assert code == 0
    assert 'glore' in out
    assert 'pip install matplotlib' in out
    assert not list((tmp_path / 'work_dirs' / 'benchmark').glob('*.png'))


def test_nothing_could_be_measured(benchmark):
    code, out = benchmark('--methods', 'dgmn', '--in-channels', 32, '--channels', 6, '--sizes', '4x4', '--runs', 1)
    assert code == 1
    assert 'cannot run: ' in out


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--methods', 'glorious', 'ccnet'], 'no method glorious; --methods takes a2net, '),
    (['--sizes', '64'], '--sizes takes heights and widths such as 64x128, got 64'),
    (['--sizes', '0x4'], 'got 0x4'), (['--device', 'tpu'], '--device tpu does not work here'),
    (['--runs', '0'], '--runs must be at least 1, got 0'), (['--in-channels', '-1'], '--in-channels must be'),
    (['--results', 'none.csv'], 'cannot read none.csv'),
    (['--results', 'other.csv'], 'other.csv has no accuracy of ccnet'),
    (['--show', 'none.json'], 'cannot read none.json'),
    (['--out', 'other.csv'], 'cannot write into the folder other.csv'),
    (['--out', 'full'], 'benchmark.json exists: choose another --out, or --overwrite')])
def test_wrong_arguments(benchmark, tmp_path, arguments, message):
    (tmp_path / 'other.csv').write_text('method,mIoU\nglore,77.5\n')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'benchmark.json').write_text('{}')
    arguments = arguments if '--methods' in arguments else ['--methods', 'ccnet', *arguments]
    with pytest.raises(UserError, match=message):
        benchmark(*arguments)
    assert not (tmp_path / 'work_dirs').exists()
    assert (tmp_path / 'full' / 'benchmark.json').read_text() == '{}'


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without a GPU')
def test_no_gpu(benchmark):
    with pytest.raises(UserError, match='--device cuda does not work here: '):
        benchmark('--device', 'cuda')


@pytest.mark.slow
def test_as_a_command(tmp_path):
    arguments = ['--methods', 'glore', 'ccnet', '--level', 'block', '--sizes', '4x6', '--runs', 2,
                 '--dtype', 'bfloat16', *TINY]
    run = tool('benchmark.py', *arguments, cwd=tmp_path)
    succeeds(run)
    assert 'blocks, batch 2, bfloat16; ' in run.stdout
    assert 'profiler_start' not in run.stderr
    assert 'exists: choose another --out' in fails(tool('benchmark.py', *arguments, cwd=tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path, number):
    command = [sys.executable, str(ROOT / 'tools' / 'benchmark.py'), '--methods', 'glore', '--sizes', '4x4', '512x512',
               '--modes', 'forward', '--runs', '500', *map(str, TINY)]
    out = tmp_path / 'work_dirs' / 'benchmark' / 'benchmark.json'
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (out.is_file() and json.loads(out.read_text())['rows']):
            time.sleep(0.02)
        process.send_signal(number)
        text = process.communicate()[0]
    assert process.returncode == 130
    assert 'Interrupted: these are the rows measured before that.' in text
    written = json.loads(out.read_text())
    assert written['complete'] is False
    assert [row['height'] for row in written['rows']] == [4]
