import importlib.util
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from triton.runtime.errors import OutOfResources, PTXASError

from mmseg_attn.ops import triton as kernels
from mmseg_attn.ops.pixel_attention import tiled_softmax_attention
from mmseg_attn.ops.triton import attention, probe
from mmseg_attn.ops.triton.launching import dot_precision, launch_first_that_fits


def test_available(device):
    for dtype, expected in [(torch.float16, True), (torch.bfloat16, True), (torch.float32, True),
                            (torch.float64, False), (torch.int32, False)]:
        assert kernels.available(torch.zeros(1, dtype=dtype, device=device)) is expected


def _package_as_if_newly_imported():
    spec = importlib.util.spec_from_file_location('package', kernels.__file__)
    package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    return package


def test_the_package_loads_without_triton(monkeypatch, device):
    monkeypatch.setitem(sys.modules, 'triton', None)
    assert not _package_as_if_newly_imported().available(torch.zeros(1, device=device))


@pytest.mark.parametrize(('value', 'expected'), [('0', False), ('1', True), ('', True)])
def test_the_environment_turns_the_kernels_off(value, expected, monkeypatch, device):
    monkeypatch.setenv('MMSEG_ATTN_TRITON', value)
    assert _package_as_if_newly_imported().available(torch.zeros(1, device=device)) is expected


@pytest.fixture
def launched(monkeypatch):
    """Devices on which the kernel that tries Triton was launched, on a GPU that need not be there. A test appends an
    error to ``errors`` for every launch that fails."""
    def launch(device):
        launched.devices.append(device)
        if launched.errors:
            raise launched.errors.pop()

    launched = SimpleNamespace(devices=[], errors=[])
    monkeypatch.setattr(probe, 'launch_probe', launch)
    monkeypatch.setattr(kernels, '_INTERPRETED', False)
    monkeypatch.setattr(kernels, '_new_enough', lambda device: True)
    kernels.works_on.cache_clear()
    yield launched
    kernels.works_on.cache_clear()


def _gpu_tensor(index, dtype=torch.float32):
    return SimpleNamespace(dtype=dtype, is_cuda=True, device=torch.device('cuda', index))


def test_triton_is_tried_once_on_every_gpu(launched):
    assert not kernels.available(_gpu_tensor(0, torch.float64))
    assert not launched.devices
    assert all(kernels.available(_gpu_tensor(index)) for index in (0, 0, 1, 1))
    assert launched.devices == [torch.device('cuda', 0), torch.device('cuda', 1)]


@pytest.mark.parametrize('error', [
    RuntimeError('Failed to find C compiler'), ImportError('undefined symbol'), AssertionError('libcuda.so'),
    FileNotFoundError('/sbin/ldconfig'), subprocess.CalledProcessError(1, ['gcc']), PTXASError('sm_130')],
    ids=lambda error: type(error).__name__)
def test_one_warning_where_triton_cannot_launch(error, launched):
    launched.errors.append(error)
    with pytest.warns(RuntimeWarning) as warned:
        assert not any(kernels.available(_gpu_tensor(0)) for _ in range(3))
    message, = (str(w.message) for w in warned)
    assert f'{type(error).__name__}: {error}' in message
    assert 'MMSEG_ATTN_TRITON=0' in message
    assert len(launched.devices) == 1


def test_memory_that_is_full_is_no_reason_to_do_without_triton(launched):
    launched.errors.append(RuntimeError('Triton Error [CUDA]: out of memory'))
    with pytest.raises(RuntimeError, match='out of memory'):
        kernels.available(_gpu_tensor(0))
    assert kernels.available(_gpu_tensor(0))


@pytest.mark.parametrize('error', [RuntimeError('Triton Error [CUDA]: out of memory'), RuntimeError('a bug')],
                         ids=str)
def test_errors_of_other_kernels_are_raised(error, device, monkeypatch):
    """Only the launch that tries Triton may fail without one."""
    def launch(*args):
        raise error

    monkeypatch.setattr(attention, 'attention_forward', launch)
    x = torch.zeros(1, 2, 3, device=device)
    with pytest.raises(RuntimeError, match=re.escape(str(error))):
        tiled_softmax_attention(x, x, x, 1.0)


def test_the_first_candidate_that_fits_is_remembered():
    tried = []

    def launch(candidate):
        tried.append(candidate)
        if candidate > 2:
            raise OutOfResources(candidate, 2, 'shared memory')

    for _ in range(2):
        launch_first_that_fits(launch, (4, 3, 2, 1), 'a key')
    assert tried == [4, 3, 2, 2]
    launch_first_that_fits(launch, (4, 2), 'a key')
    launch_first_that_fits(launch, (4, 3, 2, 1), 'another key')
    assert tried[4:] == [4, 2, 4, 3, 2]


def test_an_error_when_nothing_fits():
    def launch(candidate):
        raise OutOfResources(candidate, 2, 'shared memory')

    with pytest.raises(OutOfResources):
        launch_first_that_fits(launch, (4, 3), 'a third key')


@pytest.mark.skipif(torch.version.hip is not None, reason="AMD's instructions differ")
def test_float32_is_multiplied_as_torch_is_allowed_to():
    matmul = torch.backends.cuda.matmul
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision('high')
        assert matmul.allow_tf32
        assert dot_precision(torch.float32) == 'tf32'
        torch.set_float32_matmul_precision('highest')
        assert dot_precision(torch.float32) == 'tf32x3'
        assert dot_precision(torch.float16) == 'ieee'
    finally:
        torch.set_float32_matmul_precision(before)
