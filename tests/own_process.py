"""Tests whose setup holds for a whole process: they run in processes of their own, apart from all other tests.

A conftest.py makes an :class:`OwnProcess` and calls it from its hooks. pytest then shows one test for each process, and
where it fails, what the process printed.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class OwnProcess:
    """The quick tests of a folder share one process and the slow ones others, as each takes seconds to start.

    Args:
        name: what the tests are called in pytest's output.
        variable: of the environment; '1' in the process, whose conftest.py then sets everything up.
        usable: whether the tests can run here.
        needs: what they need for it.
        slow_processes: how many processes share the slow tests.
    """

    name: str
    variable: str
    usable: bool
    needs: str
    slow_processes: int = 1

    @property
    def inside(self) -> bool:
        return os.environ.get(self.variable) == '1'

    def collect(self, module_path: Path, parent: pytest.Collector) -> pytest.File:
        """For ``pytest_pycollect_makemodule``, outside of the process."""
        return _File.from_parent(parent, path=module_path, process=self)

    def share(self, items: list[pytest.Item]) -> None:
        """For ``pytest_collection_modifyitems``: files are tried together."""
        for chosen, processes in (('not slow', 1), ('slow', self.slow_processes)):
            found = [i for i in items if isinstance(i, _Tests) and i.process is self and i.chosen == chosen]
            for first, *others in filter(None, (found[i::processes] for i in range(processes))):
                first.paths += [item.path for item in others]
                for item in others:
                    items.remove(item)


class _File(pytest.File):
    def __init__(self, *, process: OwnProcess, **kwargs):
        super().__init__(**kwargs)
        self.process = process

    def collect(self):
        text = self.path.read_text(encoding='utf-8')
        if 'pytestmark = pytest.mark.slow' not in text:
            yield _Tests.from_parent(self, name=self.process.name, process=self.process, chosen='not slow')
        if 'mark.slow' in text:
            slow = _Tests.from_parent(self, name=f'{self.process.name}-slow', process=self.process, chosen='slow')
            slow.add_marker(pytest.mark.slow)
            yield slow


class _Tests(pytest.Item):
    """The chosen tests of the file that it stands in, and those of other files in the same process."""

    def __init__(self, *, process: OwnProcess, chosen: str, **kwargs):
        super().__init__(**kwargs)
        self.process = process
        self.chosen = chosen
        self.paths = [self.path]

    def runtest(self):
        if not self.process.usable:
            pytest.skip(f'needs {self.process.needs}')
        # Importing hypothesis, which few tests here use, takes two of the six seconds in which a process starts.
        command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-p', 'no:hypothesispytest',
                   '-m', self.chosen]
        done = subprocess.run([*command, *self.paths], capture_output=True, text=True, cwd=self.config.rootpath,
                              env={**os.environ, self.process.variable: '1'})
        if done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED:
            pytest.skip(f'none is {self.chosen}')
        if done.returncode:
            pytest.fail(done.stdout + done.stderr, pytrace=False)

    def reportinfo(self):
        return self.path, 0, self.name
