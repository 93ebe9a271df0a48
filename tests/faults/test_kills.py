"""A training that is killed at random moments ends as one that is not."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_nothing_is_lost():
    result = subprocess.run([sys.executable, '-m', 'tests.faults.kills', '--kills', '20', '--megabytes', '20'],
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads(result.stdout[result.stdout.index('{'):])
    assert figures['kills'] == 20
    assert not figures['problems']
