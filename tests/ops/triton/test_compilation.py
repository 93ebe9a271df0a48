import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch


@pytest.mark.slow
@pytest.mark.skipif(torch.version.hip is not None, reason='compiles for NVIDIA')
@pytest.mark.parametrize(('capability', 'shared_memory'), [(86, 101376), (90, 232448)])
def test_kernels_compile_and_fit(capability, shared_memory, tmp_path):
    """The interpreter neither checks types as the compiler does nor knows the limits of a GPU."""
    environment = {**os.environ, 'TRITON_INTERPRET': '0', 'TRITON_CACHE_DIR': str(tmp_path),
                   'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
    script = Path(__file__).with_name('compile_kernels.py')
    done = subprocess.run([sys.executable, script, str(capability), str(shared_memory)], capture_output=True, text=True,
                          env=environment)
    assert done.returncode == 0, done.stderr
    assert Counter(done.stdout.split()) == {
        '_forward_kernel': 4 + 3 + 3, '_logits_backward_kernel': 2 * 4, '_value_backward_kernel': 4,
        '_input_backward_kernel': 3 + 3, '_masks_backward_kernel': 3, '_taps_backward_kernel': 3}
