"""The run on a GPU machine, with a stand-in for Python: what it would call, and that it goes on where it stopped."""

import os
import shlex
import subprocess

import pytest

from mmseg_attn.cli import parser_of
from tests.tools.command import ROOT

RUN = ROOT / 'benchmarks' / 'gpu' / 'run.sh'
# It notes what it was called with, in one write, since parts run beside each other; and leaves what a training leaves.
PYTHON = '''#!/usr/bin/env bash
printf '%s\\n' "$(printf '%q ' "$@")" >> "$CALLS"
[ "$1" != tools/train.py ] || { mkdir -p "$TRAINED" && touch "$TRAINED/iter_4.pth"; }
[ -z "${FAILS:-}" ] || [[ "$*" != *"$FAILS"* ]]
'''


@pytest.fixture
def run(tmp_path):
    python, calls = tmp_path / 'python', tmp_path / 'calls'
    python.write_text(PYTHON)
    python.chmod(0o755)

    def call(*parts: str, **variables: str) -> tuple[list[list[str]], str]:
        calls.write_text('')
        environment = dict(os.environ, PYTHON=str(python), CALLS=str(calls), OUT=str(tmp_path / 'out'), DEVICE='cpu',
                           TRAINED=str(tmp_path / 'out' / 'work' / 'non_local_r18_shapes'))
        done = subprocess.run(['bash', RUN, *parts], env=environment | variables, capture_output=True, text=True)
        lines = [shlex.split(line) for line in calls.read_text().splitlines()]
        return [line for line in lines if line[0] != 'benchmarks/gpu/table.py'], done.stdout
    return call


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
def test_every_program_takes_its_arguments(run, device):
    calls, summary = run(DEVICE=device)
    assert 'exit 1' not in summary.replace('machine: exit 1', '')
    for program, *words in calls:
        if program.startswith('tools/'):
            assert parser_of(program.removeprefix('tools/').removesuffix('.py')).parse_args(words)
        elif words[0].startswith('benchmarks.gpu.'):
            module = pytest.importorskip(words[0])
            assert set(module.arguments().parse_args(words[1:]).parts) <= set(module.PARTS)
    programs = {words[0] if program == '-m' else program for program, *words in calls}
    assert programs == {
        'benchmarks/gpu/machine.py', 'pytest', 'benchmarks.gpu.check', 'benchmarks.gpu.operations',
        *(f'tools/{tool}.py' for tool in ('benchmark', 'train', 'test', 'infer', 'explore_attention', 'export'))}
    assert all(('--amp' in call) == (device == 'cuda') for call in calls if call[0] == 'tools/train.py')


def test_what_is_done_is_left_out_and_what_failed_ends_nothing(run):
    calls, summary = run('tests', 'train', 'nonsense', FAILS='tools/test.py')
    assert [call[0] for call in calls if call[0] != '-m'] == ['tools/train.py', 'tools/test.py']
    assert 'train_shapes: exit 1' in summary
    assert 'nonsense is no part' in summary
    calls, summary = run('tests', 'operations')
    assert 'tests: done by a former call' in summary
    assert [call[1] for call in calls] == 3 * ['benchmarks.gpu.operations']


def test_nothing_begins_without_time(run):
    calls, summary = run('tests', 'operations', BUDGET='5')
    assert not calls
    assert 'tests: left out, 5 s are left' in summary
