"""Softmax attention of every query to every key without an N x M tensor, for values that may be wide.

FlashAttention (Dao et al., 2022, https://arxiv.org/abs/2205.14135): a program owns a block of queries and goes over the
keys, with the maximum and the sum of the softmax so far; the backward makes the weights again from their log-sum-exp.
The heads of segmentation are wider than those of language models (D 64 to 256, E up to 512), which decides the rest:

- The accumulator, rows x E in float32, is what fills the registers. Values wider than 256 (float32: 128) are split over
  programs, and each computes the logits again: 11 % more multiplications for D=64, E=512 in half precision.
- The backward is three passes with one accumulator each. They multiply 7 % (D=64, E=512) to 14 % (D=E) more than two
  passes, one of which would have to hold those of key and value together. For query and key it is the same kernel.
- A matrix that does not fit into shared memory beside the others goes through it in pieces of its width.

There are no atomic operations: the results are deterministic. The tensor cores multiply in the dtype of the inputs, to
which the weights and the gradients of the logits are rounded for it, and add in float32; the softmax is float32.

Shapes: A and B batches, N queries, M keys, D width of queries and keys, E width of values.
"""

# ruff: noqa: N803  constants of a kernel in capitals, as everywhere in Triton
from collections.abc import Callable, Hashable

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launching import LAUNCH_OPTIONS, dot_precision, launch_first_that_fits, on_device_of
from .tiles import FORWARD, LOGITS_BACKWARD, Shape, Tiles, candidates, forward_shape, limits_of, logits_shape

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)

# Arguments that change with the size of the image. Triton would compile a kernel once more for a 1 and for a multiple
# of 16. It still may for strides, of which it must know such a multiple to load 16 bytes at a time.
COUNTS = ('num_b', 'num_queries', 'num_keys', 'num_rows', 'num_columns')
# Widths are made a multiple of it for the same reason.
ALIGNMENT = 16


def attention_forward(query: Tensor, key: Tensor, value: Tensor, scale: float,
                      exclude_itself: bool = False) -> tuple[Tensor, Tensor]:
    """``softmax(scale * query key^T) value`` and the log-sum-exp of the logits.

    Args:
        query: (A, B, N, D) in float16, bfloat16 or float32. Any strides, as all tensors here; with a last dimension
            that is not dense it is copied.
        key: (A, B, M, D).
        value: (A, B, M, E).
        scale: factor of the logits.
        exclude_itself: query i does not see key i.

    Returns:
        out (A, B, N, E) in the dtype of ``value`` and lse (A, B, N) in float32, both contiguous. A query that sees no
        key gets ``out = 0`` and ``lse = -inf``.
    """
    width = value.shape[3]
    query, key, value = map(_aligned_rows, (query, key, value))
    (a, b, n, d), (m, e) = query.shape, value.shape[2:]
    out = value.new_empty(a, b, n, e)
    lse = query.new_empty(a, b, n, dtype=torch.float32)
    if not out.numel():
        return out[..., :width], lse.fill_(-torch.inf)

    def launch(tiles: Tiles, shape: Shape) -> None:
        _forward_kernel[a * b * triton.cdiv(n, tiles.rows), triton.cdiv(e, shape.block_out)](
            query, key, value, out, lse, scale * LOG2_E.value, b, n, m, *_strides(query, key, value),
            D=d, E=e, EXCLUDE_ITSELF=exclude_itself, PRECISION=dot_precision(query.dtype),
            ROWS=tiles.rows, STEP=tiles.step, BLOCK_D=shape.products[0].block, BLOCK_E=shape.block_out,
            num_warps=tiles.num_warps, num_stages=tiles.num_stages, **LAUNCH_OPTIONS)

    _launch(launch, FORWARD, forward_shape, query, n, d, e, exclude_itself, 'forward')
    return out[..., :width].contiguous(), lse


def attention_backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, lse: Tensor, delta: Tensor,
                       scale: float, exclude_itself: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`attention_forward`, also of its part in a softmax over more keys than these.

    Args:
        grad: (A, B, N, E), the gradient of the output, in the dtype of ``value``.
        query, key, value, scale, exclude_itself: as in the forward.
        lse: (A, B, N) in float32, of the whole softmax: the weights are ``exp(scale * query key^T - lse)``.
        delta: (A, B, N) in float32, ``(grad * out).sum(-1)`` with the output of the whole softmax.

    Returns:
        Gradients of query, key and value in their dtypes, contiguous.
    """
    width, value_width = query.shape[3], value.shape[3]
    grad, query, key, value = map(_aligned_rows, (grad, query, key, value))
    grad_query, grad_key, grad_value = _aligned_backward(
        grad, query, key, value, lse.contiguous(), delta.contiguous(), scale, exclude_itself)
    return (grad_query[..., :width].contiguous(), grad_key[..., :width].contiguous(),
            grad_value[..., :value_width].contiguous())


def _aligned_backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, lse: Tensor, delta: Tensor,
                      scale: float, exclude_itself: bool) -> tuple[Tensor, Tensor, Tensor]:
    (a, b, n, d), (m, e) = query.shape, value.shape[2:]
    grad_query, grad_key, grad_value = (torch.empty_like(t, memory_format=torch.contiguous_format)
                                        for t in (query, key, value))
    if 0 in (query.numel(), value.numel()):
        return grad_query.zero_(), grad_key.zero_(), grad_value.zero_()
    logit_scale = scale * LOG2_E.value
    constants = dict(D=d, E=e, EXCLUDE_ITSELF=exclude_itself, PRECISION=dot_precision(query.dtype), **LAUNCH_OPTIONS)

    def logits_backward(rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor], out: Tensor) -> None:
        num_rows, num_columns = rows[0].shape[2], columns[0].shape[2]

        def launch(tiles: Tiles, shape: Shape) -> None:
            _logits_backward_kernel[a * b * triton.cdiv(num_rows, tiles.rows), triton.cdiv(d, shape.block_out)](
                *rows, *columns, lse, delta, out, scale, logit_scale, b, num_rows, num_columns,
                *_strides(*rows, *columns), ROWS_ARE_QUERIES=out is grad_query, ROWS=tiles.rows, STEP=tiles.step,
                BLOCK_D=shape.products[0].block, BLOCK_E=shape.products[1].block, BLOCK_OUT=shape.block_out,
                num_warps=tiles.num_warps, num_stages=tiles.num_stages, **constants)

        _launch(launch, LOGITS_BACKWARD, logits_shape, query, num_rows, d, e, exclude_itself, out is grad_query)

    def value_backward(tiles: Tiles, shape: Shape) -> None:
        _value_backward_kernel[a * b * triton.cdiv(m, tiles.rows), triton.cdiv(e, shape.block_out)](
            query, key, grad, lse, grad_value, logit_scale, b, n, m, *_strides(query, key, grad),
            ROWS=tiles.rows, STEP=tiles.step, BLOCK_D=shape.products[0].block, BLOCK_E=shape.block_out,
            num_warps=tiles.num_warps, num_stages=tiles.num_stages, **constants)

    logits_backward((query, grad), (key, value), grad_query)
    logits_backward((key, value), (query, grad), grad_key)
    _launch(value_backward, FORWARD, forward_shape, query, m, d, e, exclude_itself, 'value')
    return grad_query, grad_key, grad_value


def _launch(launch: Callable[[Tiles, Shape], None], table: dict[int, tuple[Tiles, ...]],
            shape_of: Callable[[Tiles, int, int, int], Shape], query: Tensor, num_rows: int, d: int, e: int,
            *key: Hashable) -> None:
    size = query.element_size()
    few = candidates(table[size], shape_of, num_rows, query.shape[0] * query.shape[1], d, e, size,
                     limits_of(query.device))
    with on_device_of(query):
        launch_first_that_fits(lambda tiles: launch(tiles, shape_of(tiles, d, e, size)), few,
                               query.device, query.dtype, d, e, *key)


def _aligned_rows(x: Tensor) -> Tensor:
    """Dense rows whose width is a multiple of :data:`ALIGNMENT`, by zeros, which change no product of rows."""
    # Otherwise nothing could be copied to shared memory asynchronously, and every block of rows of the other side would
    # collect the numbers one by one.
    if x.shape[-1] % ALIGNMENT == 0:
        return x if x.stride(-1) == 1 else x.contiguous()
    padded = x.new_zeros(*x.shape[:-1], ALIGNMENT * triton.cdiv(x.shape[-1], ALIGNMENT))
    padded[..., :x.shape[-1]] = x
    return padded


def _strides(*tensors: Tensor) -> list[int]:
    return [stride for tensor in tensors for stride in tensor.stride()[:3]]


@triton.jit
def _image(pointer, batch, num_b, stride_a, stride_b):
    return pointer + (batch // num_b).to(tl.int64) * stride_a + (batch % num_b).to(tl.int64) * stride_b


@triton.jit
def _rows(pointer, rows, stride):
    return pointer + rows.to(tl.int64)[:, None] * stride


@triton.jit
def _tile(rows, inside, begin, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """BLOCK columns from ``begin`` on; zero where the matrix has none."""
    columns = begin + tl.arange(0, BLOCK)
    mask = inside[:, None]
    if WIDTH % BLOCK != 0:
        mask = mask & (columns < WIDTH)[None, :]
    return tl.load(rows + columns[None, :], mask=mask, other=0.0)


@triton.jit
def _products(left_tile, left, left_inside, right, right_inside,
              WIDTH: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr):
    """left right^T. ``left_tile`` is the first BLOCK columns of left, kept over the loop of the caller: often all."""
    out = tl.dot(left_tile, tl.trans(_tile(right, right_inside, 0, WIDTH, BLOCK)),
                 input_precision=PRECISION)
    if WIDTH > BLOCK:
        for begin in range(BLOCK, WIDTH, BLOCK):
            out = tl.dot(_tile(left, left_inside, begin, WIDTH, BLOCK),
                         tl.trans(_tile(right, right_inside, begin, WIDTH, BLOCK)),
                         out, input_precision=PRECISION)
    return out


@triton.jit
def _visible(logits, rows, columns, num_columns, EXCLUDE_ITSELF: tl.constexpr):
    """-inf beyond the last column and, if excluded, on the diagonal."""
    # Added and not selected: one instruction with the scale of the logits.
    logits += tl.where(columns < num_columns, 0.0, float('-inf'))[None, :]
    if EXCLUDE_ITSELF:
        logits = tl.where(rows[:, None] == columns[None, :], float('-inf'), logits)
    return logits


@triton.jit
def _lse_in_powers_of_two(lse, queries, num_queries):
    """Infinite for a query that sees no key: then exp2(logits - lse) is 0, where -inf - -inf would be NaN."""
    lse = tl.load(lse + queries, mask=queries < num_queries, other=0.0)
    return tl.where(lse == float('-inf'), float('inf'), lse) * LOG2_E


@triton.jit(do_not_specialize=COUNTS)
def _forward_kernel(query, key, value, out, lse, logit_scale, num_b, num_queries, num_keys,
                    query_a, query_b, query_n, key_a, key_b, key_m, value_a, value_b, value_m,
                    D: tl.constexpr, E: tl.constexpr, EXCLUDE_ITSELF: tl.constexpr, PRECISION: tl.constexpr,
                    ROWS: tl.constexpr, STEP: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr):
    num_blocks = tl.cdiv(num_queries, ROWS)
    batch = tl.program_id(0) // num_blocks
    rows = tl.program_id(0) % num_blocks * ROWS + tl.arange(0, ROWS)
    inside = rows < num_queries
    begin_e = tl.program_id(1) * BLOCK_E
    query = _rows(_image(query, batch, num_b, query_a, query_b), rows, query_n)
    key = _image(key, batch, num_b, key_a, key_b)
    value = _image(value, batch, num_b, value_a, value_b)
    query_tile = _tile(query, inside, 0, D, BLOCK_D)

    acc = tl.zeros((ROWS, BLOCK_E), tl.float32)
    maximum = tl.full((ROWS,), float('-inf'), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    for start in range(0, num_keys, STEP):
        keys = start + tl.arange(0, STEP)
        keys_inside = keys < num_keys
        logits = logit_scale * _products(query_tile, query, inside, _rows(key, keys, key_m), keys_inside,
                                         D, BLOCK_D, PRECISION)
        logits = _visible(logits, rows, keys, num_keys, EXCLUDE_ITSELF)
        new_maximum = tl.maximum(maximum, tl.max(logits, 1))
        # While a query has seen no key, -inf - -inf would be NaN.
        shift = tl.where(new_maximum == float('-inf'), 0.0, new_maximum)
        weights = tl.exp2(logits - shift[:, None])
        decay = tl.exp2(maximum - shift)
        total = total * decay + tl.sum(weights, 1)
        values = _tile(_rows(value, keys, value_m), keys_inside, begin_e, E, BLOCK_E)
        acc = tl.dot(weights.to(values.dtype), values, acc * decay[:, None], input_precision=PRECISION)
        maximum = new_maximum

    total = tl.where(total == 0, 1.0, total)
    row = batch.to(tl.int64) * num_queries + rows
    columns = begin_e + tl.arange(0, BLOCK_E)
    tl.store(out + row[:, None] * E + columns[None, :], (acc / total[:, None]).to(out.dtype.element_ty),
             mask=inside[:, None] & (columns < E)[None, :])
    if begin_e == 0:
        tl.store(lse + row, (maximum + tl.log2(total)) * LN_2, mask=inside)


@triton.jit(do_not_specialize=COUNTS)
def _logits_backward_kernel(row_x, row_y, column_x, column_y, lse, delta, out, scale, logit_scale,
                            num_b, num_rows, num_columns,
                            row_xa, row_xb, row_xr, row_ya, row_yb, row_yr,
                            column_xa, column_xb, column_xc, column_ya, column_yb, column_yc,
                            D: tl.constexpr, E: tl.constexpr, EXCLUDE_ITSELF: tl.constexpr, PRECISION: tl.constexpr,
                            ROWS_ARE_QUERIES: tl.constexpr, ROWS: tl.constexpr, STEP: tl.constexpr,
                            BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_OUT: tl.constexpr):
    """out_r = scale sum_c P_rc (row_y_r . column_y_c - delta) column_x_c, with the weights P of the softmax.

    The gradient of the queries, if they are row_x with the gradient of the output as row_y, and keys and values are
    column_x and column_y; with rows and columns exchanged, that of the keys. lse and delta are those of the query.
    """
    num_blocks = tl.cdiv(num_rows, ROWS)
    batch = tl.program_id(0) // num_blocks
    rows = tl.program_id(0) % num_blocks * ROWS + tl.arange(0, ROWS)
    inside = rows < num_rows
    begin_out = tl.program_id(1) * BLOCK_OUT
    row_x = _rows(_image(row_x, batch, num_b, row_xa, row_xb), rows, row_xr)
    row_y = _rows(_image(row_y, batch, num_b, row_ya, row_yb), rows, row_yr)
    column_x = _image(column_x, batch, num_b, column_xa, column_xb)
    column_y = _image(column_y, batch, num_b, column_ya, column_yb)
    x_tile = _tile(row_x, inside, 0, D, BLOCK_D)
    y_tile = _tile(row_y, inside, 0, E, BLOCK_E)
    num_queries = num_rows if ROWS_ARE_QUERIES else num_columns
    lse += batch.to(tl.int64) * num_queries
    delta += batch.to(tl.int64) * num_queries
    if ROWS_ARE_QUERIES:
        lses = _lse_in_powers_of_two(lse, rows, num_rows)[:, None]
        deltas = tl.load(delta + rows, mask=inside, other=0.0)[:, None]

    acc = tl.zeros((ROWS, BLOCK_OUT), tl.float32)
    for start in range(0, num_columns, STEP):
        columns = start + tl.arange(0, STEP)
        columns_inside = columns < num_columns
        x = _rows(column_x, columns, column_xc)
        y = _rows(column_y, columns, column_yc)
        logits = logit_scale * _products(x_tile, row_x, inside, x, columns_inside,
                                         D, BLOCK_D, PRECISION)
        logits = _visible(logits, rows, columns, num_columns, EXCLUDE_ITSELF)
        grads = _products(y_tile, row_y, inside, y, columns_inside, E, BLOCK_E, PRECISION)
        if not ROWS_ARE_QUERIES:
            lses = _lse_in_powers_of_two(lse, columns, num_columns)[None, :]
            deltas = tl.load(delta + columns, mask=columns_inside, other=0.0)[None, :]
        grads = tl.exp2(logits - lses) * (grads - deltas)
        # With one block of D, these are the columns that the logits were made of, and the compiler loads them once.
        x_out = _tile(x, columns_inside, begin_out, D, BLOCK_OUT)
        acc = tl.dot(grads.to(x_out.dtype), x_out, acc, input_precision=PRECISION)

    row = batch.to(tl.int64) * num_rows + rows
    columns = begin_out + tl.arange(0, BLOCK_OUT)
    tl.store(out + row[:, None] * D + columns[None, :], (scale * acc).to(out.dtype.element_ty),
             mask=inside[:, None] & (columns < D)[None, :])


@triton.jit(do_not_specialize=COUNTS)
def _value_backward_kernel(query, key, grad, lse, out, logit_scale, num_b, num_queries, num_keys,
                           query_a, query_b, query_n, key_a, key_b, key_m, grad_a, grad_b, grad_n,
                           D: tl.constexpr, E: tl.constexpr, EXCLUDE_ITSELF: tl.constexpr, PRECISION: tl.constexpr,
                           ROWS: tl.constexpr, STEP: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr):
    """out_m = sum_n exp(scale query_n . key_m - lse_n) grad_n, the gradient of the values."""
    num_blocks = tl.cdiv(num_keys, ROWS)
    batch = tl.program_id(0) // num_blocks
    rows = tl.program_id(0) % num_blocks * ROWS + tl.arange(0, ROWS)
    inside = rows < num_keys
    begin_e = tl.program_id(1) * BLOCK_E
    query = _image(query, batch, num_b, query_a, query_b)
    key = _rows(_image(key, batch, num_b, key_a, key_b), rows, key_m)
    grad = _image(grad, batch, num_b, grad_a, grad_b)
    lse += batch.to(tl.int64) * num_queries
    key_tile = _tile(key, inside, 0, D, BLOCK_D)

    acc = tl.zeros((ROWS, BLOCK_E), tl.float32)
    for start in range(0, num_queries, STEP):
        queries = start + tl.arange(0, STEP)
        queries_inside = queries < num_queries
        logits = logit_scale * _products(key_tile, key, inside, _rows(query, queries, query_n), queries_inside,
                                         D, BLOCK_D, PRECISION)
        logits = _visible(logits, rows, queries, num_queries, EXCLUDE_ITSELF)
        weights = tl.exp2(logits - _lse_in_powers_of_two(lse, queries, num_queries)[None, :])
        grads = _tile(_rows(grad, queries, grad_n), queries_inside, begin_e, E, BLOCK_E)
        acc = tl.dot(weights.to(grads.dtype), grads, acc, input_precision=PRECISION)

    row = batch.to(tl.int64) * num_keys + rows
    columns = begin_e + tl.arange(0, BLOCK_E)
    tl.store(out + row[:, None] * E + columns[None, :], acc.to(out.dtype.element_ty),
             mask=inside[:, None] & (columns < E)[None, :])
