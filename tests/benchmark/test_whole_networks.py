import sys

import pytest
from mmengine.registry import init_default_scope

from benchmarks import convolution_floor, networks


@pytest.mark.slow
def test_the_programs_measure(monkeypatch, capsys):
    init_default_scope('mmseg')
    monkeypatch.setattr(networks, 'has_bfloat16_instructions', lambda: False)
    for program, options in ((networks, ['--side', '33', '--batch', '2']), (convolution_floor, ['--size', '5x5'])):
        monkeypatch.setattr(sys, 'argv', ['program', '--methods', 'danet', '--runs', '1', *options])
        program.main()
    rows = [line.split(' | ') for line in capsys.readouterr().out.splitlines() if line.startswith('| danet')]
    assert [row[1] for row in rows[:2]] == ['forward', 'training step']
    assert all(float(row[2]) > 0 for row in rows)
