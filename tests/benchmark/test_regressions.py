import json

import pytest

from benchmarks import regressions


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """``measured(ratios)``: what one measurement after the other finds for the forward of every operation."""
    path = tmp_path / 'ratios.json'
    path.write_text(json.dumps(dict(ratios=dict(one={'forward': 0.5}, two={'forward': 1.0}))))
    monkeypatch.setattr(regressions, 'STORED', path)

    def measurements(*ratios):
        left = iter(ratios)
        monkeypatch.setattr(regressions, 'measure',
                            lambda name, size, runs: [dict(mode='forward', time_ratio=next(left))])
    return measurements


@pytest.mark.parametrize(('ratios', 'code'), [
    ([0.57, 1.1], 0), ([0.58, 0.56, 1.0], 0), ([0.7, 0.6, 1.0], 1), ([0.5, 1.2, 1.16], 1), ([0.2, 0.3], 0)])
def test_slower_twice_is_slower(measured, capsys, ratios, code):
    measured(*ratios)
    assert regressions.compare(['one', 'two'], runs=1) == code
    assert ("of the baseline's time" in capsys.readouterr().out) == bool(code)


def test_what_is_stored_is_compared_with(measured):
    measured(0.8, 0.9)
    regressions.store(['one', 'two'], runs=1)
    assert json.loads(regressions.STORED.read_text())['ratios'] == dict(one={'forward': 0.8}, two={'forward': 0.9})
    measured(0.91, 1.0)
    assert regressions.compare(['one', 'two'], runs=1) == 0


def test_what_is_not_stored_yet(measured, capsys):
    assert regressions.compare(['one', 'three'], runs=1) == 2
    assert 'no ratios of three: --store --operations three' in capsys.readouterr().out
    measured(0.8)
    regressions.store(['three'], runs=1)
    assert set(json.loads(regressions.STORED.read_text())['ratios']) == {'one', 'two', 'three'}
