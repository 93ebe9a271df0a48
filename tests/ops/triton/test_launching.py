import importlib.util
import sys

import pytest
import torch
from triton.runtime.errors import OutOfResources

from mmseg_attn.ops import triton as kernels
from mmseg_attn.ops.triton.launching import dot_precision, launch_first_that_fits


def test_available(device):
    for dtype, expected in [(torch.float16, True), (torch.bfloat16, True), (torch.float32, True),
                            (torch.float64, False), (torch.int32, False)]:
        assert kernels.available(torch.zeros(1, dtype=dtype, device=device)) is expected


def test_the_package_loads_without_triton(monkeypatch, device):
    monkeypatch.setitem(sys.modules, 'triton', None)
    spec = importlib.util.spec_from_file_location('package', kernels.__file__)
    package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    assert not package.available(torch.zeros(1, device=device))


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
