"""That bash can read the scripts of the project: parts of them no test runs."""

import subprocess

import pytest

from .command import ROOT

SCRIPTS = sorted(path for folder in ('.ci', 'benchmarks', 'tools') for path in (ROOT / folder).rglob('*')
                 if path.suffix == '.sh' or path == ROOT / '.ci' / 'run')


@pytest.mark.parametrize('path', SCRIPTS, ids=lambda path: path.name)
def test_is_bash(path):
    done = subprocess.run(['bash', '-n', path], capture_output=True, text=True)
    assert not done.stderr
