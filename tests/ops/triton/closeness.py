"""How close kernels come to oracles in float64."""

import torch
from torch import Tensor

# Relative to the largest number. Factors of products are rounded to halves too.
TOLERANCES = {torch.float32: 2e-6, torch.float16: 3e-3, torch.bfloat16: 2.5e-2}
DTYPES = list(TOLERANCES)


def assert_equals_oracle(actual: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    """``actual`` is contiguous, of this dtype, and as close to ``expected`` as the dtype allows."""
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    assert actual.is_contiguous()
    assert torch.isfinite(actual).all()
    error = (actual.double() - expected).abs().max().item()
    assert error <= TOLERANCES[dtype] * max(expected.abs().max().item(), 1e-3), error
