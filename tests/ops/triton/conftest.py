"""The kernels' tests run on the GPU or, without one, in Triton's interpreter on the CPU.

Triton asks for its interpreter when it is imported, and a process whose Triton interprets cannot compile. So without a
GPU these files run in processes of their own, with TRITON_INTERPRET=1: the quick tests in one and the slow ones in two,
as each takes seconds to start. To choose single tests there:
TRITON_INTERPRET=1 pytest tests/ops/triton/test_attention_strides.py -k slices
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from mmseg_attn.ops import triton as kernels

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
DIRECTLY = INTERPRETED or torch.cuda.is_available()


def pytest_pycollect_makemodule(module_path, parent):
    return None if DIRECTLY else InterpretedFile.from_parent(parent, path=module_path)


class InterpretedFile(pytest.File):
    def collect(self):
        text = self.path.read_text(encoding='utf-8')
        if 'pytestmark = pytest.mark.slow' not in text:
            yield InterpretedTests.from_parent(self, name='interpreted', chosen='not slow')
        if 'mark.slow' in text:
            slow = InterpretedTests.from_parent(self, name='interpreted-slow', chosen='slow')
            slow.add_marker(pytest.mark.slow)
            yield slow


def pytest_collection_modifyitems(items):
    for chosen, processes in (('not slow', 1), ('slow', 2)):
        found = [item for item in items if isinstance(item, InterpretedTests) and item.chosen == chosen]
        for first, *others in filter(None, (found[i::processes] for i in range(processes))):
            first.paths += [item.path for item in others]
            for item in others:
                items.remove(item)


class InterpretedTests(pytest.Item):
    """The chosen tests of the file that it stands in, and those of other files in the same process."""

    def __init__(self, *, chosen: str, **kwargs):
        super().__init__(**kwargs)
        self.chosen = chosen
        self.paths = [self.path]

    def runtest(self):
        if not kernels.USABLE:
            pytest.skip('needs Triton, and PyTorch 2.7 or newer')
        # Importing hypothesis, which no test here uses, takes two of the six seconds in which a process starts.
        command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-p', 'no:hypothesispytest',
                   '-m', self.chosen]
        done = subprocess.run([*command, *self.paths], capture_output=True, text=True, cwd=self.config.rootpath,
                              env={**os.environ, 'TRITON_INTERPRET': '1'})
        if done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED:
            pytest.skip(f'none is {self.chosen}')
        if done.returncode:
            pytest.fail(done.stdout + done.stderr, pytrace=False)

    def reportinfo(self):
        return self.path, 0, self.name


@pytest.fixture(scope='session')
def device() -> str:
    return 'cpu' if INTERPRETED else 'cuda'


@pytest.fixture(autouse=True, scope='session')
def _bfloat16_products():
    """The interpreter holds bfloat16 as uint16, and its `tl.dot` multiplies those integers."""
    if not INTERPRETED:
        yield
        return
    from triton.runtime import interpreter

    def as_float(handle):
        if handle.dtype.scalar != interpreter.tl.bfloat16:
            return handle
        return interpreter.TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), interpreter.tl.float32)

    dot = interpreter.InterpreterBuilder.create_dot
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter.InterpreterBuilder, 'create_dot',
                      lambda self, a, b, *rest: dot(self, as_float(a), as_float(b), *rest))
        yield
