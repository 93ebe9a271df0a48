"""What the checks on a GPU write down."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import table
from benchmarks.gpu.comparing import results, worst_error
from benchmarks.gpu.measuring import measure
from benchmarks.gpu.recording import Record


@pytest.fixture
def record(tmp_path):
    found = Record(tmp_path / 'checks.jsonl', 'cpu', budget=60)
    yield found
    found.file.close()


def _rows(record):
    return [json.loads(line) for line in Path(record.file.name).read_text().splitlines()]


def test_right_wrong_and_left_out(record, capsys):
    def out_of_memory():
        raise torch.cuda.OutOfMemoryError('CUDA out of memory')

    record.check('right', lambda: 0.1, limit=0.2)
    record.check('wrong', lambda: 0.3, limit=0.2)
    record.check('no number', lambda: float('nan'), limit=0.2)
    record.check('raises', lambda: torch.zeros(2) @ torch.zeros(3))
    record.check('does not fit', out_of_memory)
    record.deadline = 0
    record.check('late', lambda: pytest.fail('began'))
    assert [row['ok'] for row in _rows(record)] == [True, False, False, False, None]
    assert record.failed == ['wrong', 'no number', 'raises']
    assert record.summary() == '4 checks, 3 failed, 2 left out for lack of time or memory'
    assert 'RuntimeError' in capsys.readouterr().out


def test_table(record, tmp_path, monkeypatch, capsys):
    record.check('wrong', lambda: 0.3, limit=0.2)
    operations = Record(tmp_path / 'operations.jsonl', 'cpu', budget=60)
    measure(operations, 'product', 'matmul', torch.matmul, [torch.randn(4, 4), torch.randn(4, 4)], 128, training=True)
    measure(operations, 'product', 'nobody', lambda x: x @ x[:2], [torch.randn(4, 4)], 128, training=False)
    operations.file.close()
    monkeypatch.setattr('sys.argv', ['table.py', str(tmp_path)])
    capsys.readouterr()
    table.main()
    title, wrong, matmul, nobody = capsys.readouterr().out.splitlines()
    assert title == '1 checks, 1 failed'
    assert wrong == '  wrong error 0.3, limit 0.2'
    assert 'forward+backward' in matmul
    assert 'TFLOP/s' in matmul
    assert 'RuntimeError' in nobody


def test_errors_of_gradients_are_found():
    module, x = torch.nn.Conv2d(3, 3, 1), torch.randn(2, 3, 4, 5)
    expected = results(module, x, torch.float64, 'cpu', training=True)
    assert worst_error(results(module, x, torch.float32, 'cpu', training=True), expected) < 1e-5
    found = dict(expected, weight=1.1 * expected['weight'])
    assert worst_error(found, expected) == pytest.approx(0.1)
    with pytest.raises(FloatingPointError, match='bias'):
        worst_error(dict(expected, bias=torch.full((3,), torch.nan)), expected)
