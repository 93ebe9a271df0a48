"""The kernels' tests run on the GPU or, without one, in Triton's interpreter on the CPU.

Triton asks for its interpreter when it is imported, and a process whose Triton interprets cannot compile. So without a
GPU these files run in processes of their own, with TRITON_INTERPRET=1: the quick tests in one and the slow ones in two,
as each takes seconds to start. To choose single tests there:
TRITON_INTERPRET=1 pytest tests/ops/triton/test_attention_strides.py -k slices
"""

import numpy as np
import pytest
import torch

from mmseg_attn.ops import triton as kernels
from tests.own_process import OwnProcess

INTERPRETER = OwnProcess(name='interpreted', variable='TRITON_INTERPRET', usable=kernels.USABLE,
                         needs='Triton, and PyTorch 2.7 or newer', slow_processes=2)


def pytest_pycollect_makemodule(module_path, parent):
    return None if INTERPRETER.inside or torch.cuda.is_available() else INTERPRETER.collect(module_path, parent)


def pytest_collection_modifyitems(items):
    INTERPRETER.share(items)


@pytest.fixture(scope='session')
def device() -> str:
    return 'cpu' if INTERPRETER.inside else 'cuda'


@pytest.fixture(autouse=True, scope='session')
def _bfloat16_products():
    """The interpreter holds bfloat16 as uint16, and its `tl.dot` multiplies those integers."""
    if not INTERPRETER.inside:
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
