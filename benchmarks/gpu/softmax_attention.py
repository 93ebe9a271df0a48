"""Softmax attention of every pixel to every pixel: our kernel beside all that PyTorch has for it.

PyTorch's fused kernels want values as wide as queries, or run slowly otherwise. DANet's are 512 beside 64 wide, so for
such its contenders are padded, or take the values in pieces as heads of one call.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu.measuring import measure
from benchmarks.gpu.recording import Record
from mmseg_attn.ops.pixel_attention import tiled_softmax_attention

SCALE = 0.0625
BACKENDS = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION)
BF16, FP32 = torch.bfloat16, torch.float32
Contender = Callable[[Tensor, Tensor, Tensor], Tensor]


def attention(record: Record) -> None:
    """Queries and values of one width, as in Non-local."""
    for dtype in (BF16, FP32):
        _case(record, 2, (64, 128), 256, 256, dtype, {}, compiled=dtype == BF16)
    _case(record, 2, (97, 97), 256, 256, BF16, {})


def unequal(record: Record) -> None:
    """As in DANet's position attention, and in the last as in OCNet's pyramid."""
    more = {'SDPA padded': _padded} | {f'SDPA heads of {w}': _in_heads(w) for w in (64, 128, 256)} | {
        f'cuDNN heads of {w}': _in_heads_by_cudnn(w) for w in (128, 256)}
    for dtype in (BF16, FP32):
        _case(record, 2, (64, 128), 64, 512, dtype, more, compiled=dtype == BF16)
    _case(record, 2, (97, 97), 64, 512, BF16, more)
    _case(record, 2, (64, 128), 256, 512, BF16, {'SDPA heads of 256': _in_heads(256)})


def _case(record: Record, batch: int, size: tuple[int, int], width: int, value_width: int, dtype: torch.dtype,
          more: dict[str, Contender], compiled: bool = False) -> None:
    height, columns = size if record.on_gpu else (6, 7)
    pixels = height * columns
    q, k, v = (torch.randn(batch, pixels, w, device=record.device, dtype=dtype) for w in (width, width, value_width))
    contenders = {'ours': _ours, 'N x N': _whole_map, 'SDPA': _sdpa} | {
        f'SDPA {backend.name}': _by_backend(backend) for backend in BACKENDS} | more
    if compiled and record.on_gpu:
        contenders['FlexAttention'] = _flex()
    for training in False, True:
        for who, function in contenders.items():
            measure(record, f'attention B={batch} {height}x{columns} D={width} E={value_width} {str(dtype)[6:]}', who,
                    function, [q, k, v], 2 * batch * pixels**2 * (width + value_width), training,
                    _error_of_some_rows(q, k, v))


def _error_of_some_rows(q: Tensor, k: Tensor, v: Tensor) -> Callable[[Tensor], float]:
    rows = torch.arange(0, q.shape[1], max(q.shape[1] // 16, 1), device=q.device)
    exact = (SCALE * q[:, rows].double() @ k.double().mT).softmax(-1) @ v.double()
    return lambda out: ((out[:, rows].double() - exact).norm() / exact.norm()).item()


def _ours(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return tiled_softmax_attention(q, k, v, SCALE)[0]


def _whole_map(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (SCALE * q @ k.mT).softmax(-1) @ v


def _sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], scale=SCALE)[:, 0]


def _by_backend(backend: SDPBackend) -> Contender:
    def compute(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with sdpa_kernel([backend]):
            return _sdpa(q, k, v)
    return compute


def _padded(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    widest, value_width = max(q.shape[-1], v.shape[-1]), v.shape[-1]
    return _sdpa(*(F.pad(t, (0, widest - t.shape[-1])) for t in (q, k, v)))[..., :value_width]


def _in_heads(width: int) -> Contender:
    """The values in pieces of ``width``, each a head; queries and keys, padded to it, are the same for all (a view)."""
    def compute(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return _pieces(*(F.pad(t, (0, max(width - t.shape[-1], 0))) for t in (q, k)), v, width)
    return compute


def _in_heads_by_cudnn(width: int) -> Contender:
    """The same without padding, which cuDNN's kernels take."""
    def compute(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with sdpa_kernel([SDPBackend.CUDNN_ATTENTION]):
            return _pieces(q, k, v, width)
    return compute


def _pieces(q: Tensor, k: Tensor, v: Tensor, width: int) -> Tensor:
    pieces = v.shape[-1] // width
    q, k = (t[:, None].expand(-1, pieces, -1, -1) for t in (q, k))
    out = F.scaled_dot_product_attention(q, k, v.unflatten(-1, (pieces, width)).transpose(1, 2), scale=SCALE)
    return out.transpose(1, 2).flatten(2)


def _flex() -> Contender:
    from torch.nn.attention.flex_attention import flex_attention
    compiled = torch.compile(flex_attention, dynamic=False)
    return lambda q, k, v: compiled(q[:, None], k[:, None], v[:, None], scale=SCALE)[:, 0]
