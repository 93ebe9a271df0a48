"""Softmax attention of every query to every key without an N x M tensor, for values that may be wide.

FlashAttention (Dao et al., 2022, https://arxiv.org/abs/2205.14135): a program owns a block of queries and passes over
the keys, with the maximum and the sum of the softmax so far; the backward computes the weights again from their
log-sum-exp. Heads of segmentation are wider than those of language models (D 64 to 256, E up to 512), and that decides
the division of labour:

- The accumulator of BLOCK_N x BLOCK_E float32 fills the registers. Values wider than BLOCK_E are split over programs,
  each of which computes the logits again: for D=64, E=512, BLOCK_E=256, 10 % more multiplications than with one.
- Three kernels of the backward (grad_query, grad_key, grad_value), each with one accumulator, multiply 1.07 times (D=64,
  E=512) to 1.14 times (D=E) as much as two, of which one would hold the accumulators of grad_key and grad_value.
  The first two are one kernel with queries and keys exchanged.

No atomics: the results are deterministic.

Shapes: A and B batches, N queries, M keys, D width of queries and keys, E width of values.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launching import dot_precision, on_device_of, shared_memory

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


class Blocks(NamedTuple):
    """Sizes of the tiles: rows of the accumulator, rows met in one step of the loop, columns of D, of E."""

    rows: int
    steps: int
    width: int
    value_width: int
    num_warps: int
    num_stages: int


def attention_forward(query: Tensor, key: Tensor, value: Tensor, scale: float,
                      exclude_itself: bool = False) -> tuple[Tensor, Tensor]:
    """``softmax(scale * query key^T) value`` and the logarithm of the sum that the softmax divides by.

    Args:
        query: (A, B, N, D) of float16, bfloat16 or float32, with any strides, as all tensors here.
        key: (A, B, M, D).
        value: (A, B, M, E).
        scale: factor of the logits.
        exclude_itself: query i does not see key i.

    Returns:
        out (A, B, N, E) in the dtype of ``value``, contiguous, and lse (A, B, N) in float32, natural logarithm. A query
        without any key has ``out = 0`` and ``lse = -inf``.
    """
    (a, b, n, d), (m, e) = query.shape, value.shape[2:]
    out = value.new_empty(a, b, n, e)
    lse = torch.empty(a, b, n, device=query.device, dtype=torch.float32)
    if not out.numel():
        return out, lse.fill_(-torch.inf)
    blocks = forward_blocks(query, d, e)
    grid = a * b * triton.cdiv(n, blocks.rows), triton.cdiv(e, blocks.value_width)
    with on_device_of(query):
        _forward_kernel[grid](
            query, key, value, out, lse, scale * LOG2_E.value, b, n, m,
            *query.stride(), *key.stride(), *value.stride(),
            D=d, E=e, EXCLUDE_ITSELF=exclude_itself, PRECISION=dot_precision(query.dtype),
            BLOCK_N=blocks.rows, BLOCK_M=blocks.steps, BLOCK_D=blocks.width, BLOCK_E=blocks.value_width,
            num_warps=blocks.num_warps, num_stages=blocks.num_stages)
    return out, lse


def attention_backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, lse: Tensor, delta: Tensor, scale: float,
                       exclude_itself: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`attention_forward`, or of a softmax over more keys than these.

    Args:
        grad: (A, B, N, E), gradient of ``out``.
        query, key, value, scale, exclude_itself: those of the forward.
        lse: (A, B, N) float32, of the whole softmax: the weights are ``exp(scale * query key^T - lse)``.
        delta: (A, B, N) float32, the sums over E of ``grad * out``, with ``out`` of the whole softmax.

    Returns:
        Gradients of query, key and value, contiguous, in their dtypes.
    """
    grads = tuple(torch.zeros_like(t, memory_format=torch.contiguous_format) for t in (query, key, value))
    grad_query, grad_key, grad_value = grads
    (b, n, d), (m, e) = query.shape[1:], value.shape[2:]
    if not (query.numel() and value.numel()):
        return grads
    lse, delta = lse.contiguous(), delta.contiguous()
    options = dict(D=d, E=e, EXCLUDE_ITSELF=exclude_itself, PRECISION=dot_precision(query.dtype))
    with on_device_of(query):
        blocks = logits_backward_blocks(query, d, e)
        out_width = min(triton.next_power_of_2(max(d, 16)), 256)
        for rows, columns, out in [((query, grad), (key, value), grad_query), ((key, value), (query, grad), grad_key)]:
            num_rows, num_columns = rows[0].shape[2], columns[0].shape[2]
            grid = query.shape[0] * b * triton.cdiv(num_rows, blocks.rows), triton.cdiv(d, out_width)
            _logits_backward_kernel[grid](
                *rows, *columns, lse, delta, out, scale, scale * LOG2_E.value, b, num_rows, num_columns,
                *(stride for t in (*rows, *columns) for stride in t.stride()),
                **options, ROWS_ARE_QUERIES=out is grad_query, BLOCK_R=blocks.rows, BLOCK_C=blocks.steps,
                BLOCK_D=blocks.width, BLOCK_E=blocks.value_width, BLOCK_OUT=out_width,
                num_warps=blocks.num_warps, num_stages=blocks.num_stages)
        blocks = value_backward_blocks(query, d, e)
        grid = query.shape[0] * b * triton.cdiv(m, blocks.rows), triton.cdiv(e, blocks.value_width)
        _value_backward_kernel[grid](
            query, key, grad, lse, grad_value, scale * LOG2_E.value, b, n, m,
            *query.stride(), *key.stride(), *grad.stride(),
            **options, BLOCK_M=blocks.rows, BLOCK_N=blocks.steps, BLOCK_D=blocks.width, BLOCK_E=blocks.value_width,
            num_warps=blocks.num_warps, num_stages=blocks.num_stages)
    return grads


@triton.jit
def _image(pointer, batch, num_b, stride_a, stride_b):
    return pointer + (batch // num_b).to(tl.int64) * stride_a + (batch % num_b).to(tl.int64) * stride_b


@triton.jit
def _rows(pointer, rows, stride):
    return pointer + rows.to(tl.int64)[:, None] * stride


@triton.jit
def _tile(rows, inside, stride, begin, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """BLOCK columns from ``begin`` on; zero where the matrix has none."""
    columns = begin + tl.arange(0, BLOCK)
    mask = inside[:, None]
    if WIDTH % BLOCK != 0:
        mask = mask & (columns < WIDTH)[None, :]
    return tl.load(rows + columns.to(tl.int64)[None, :] * stride, mask=mask, other=0.0)


@triton.jit
def _products(left_tile, left, left_inside, left_stride, right, right_inside, right_stride,
              WIDTH: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr):
    """left right^T. ``left_tile`` is the first BLOCK columns of left, kept over the loop of the caller: often all."""
    out = tl.dot(left_tile, tl.trans(_tile(right, right_inside, right_stride, 0, WIDTH, BLOCK)),
                 input_precision=PRECISION)
    if WIDTH > BLOCK:
        for begin in range(BLOCK, WIDTH, BLOCK):
            out = tl.dot(_tile(left, left_inside, left_stride, begin, WIDTH, BLOCK),
                         tl.trans(_tile(right, right_inside, right_stride, begin, WIDTH, BLOCK)),
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
    """Such that exp2(logits - lse) is zero for a query that does not exist or sees no key."""
    lse = tl.load(lse + queries, mask=queries < num_queries, other=float('inf'))
    return LOG2_E * tl.where(lse == float('-inf'), float('inf'), lse)


@triton.jit
def _forward_kernel(query, key, value, out, lse, logit_scale, num_b, num_queries, num_keys,
                    query_a, query_b, query_n, query_d, key_a, key_b, key_m, key_d, value_a, value_b, value_m, value_e,
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
    query_tile = _tile(query, inside, query_d, 0, D, BLOCK_D)

    acc = tl.zeros((ROWS, BLOCK_E), tl.float32)
    maximum = tl.full((ROWS,), float('-inf'), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    for start in range(0, num_keys, STEP):
        keys = start + tl.arange(0, STEP)
        keys_inside = keys < num_keys
        logits = logit_scale * _products(query_tile, query, inside, query_d, _rows(key, keys, key_m), keys_inside,
                                         key_d, D, BLOCK_D, PRECISION)
        logits = _visible(logits, rows, keys, num_keys, EXCLUDE_ITSELF)
        new_maximum = tl.maximum(maximum, tl.max(logits, 1))
        # While a query has seen no key, -inf - -inf would be NaN.
        shift = tl.where(new_maximum == float('-inf'), 0.0, new_maximum)
        weights = tl.exp2(logits - shift[:, None])
        decay = tl.exp2(maximum - shift)
        total = total * decay + tl.sum(weights, 1)
        values = _tile(_rows(value, keys, value_m), keys_inside, value_e, begin_e, E, BLOCK_E)
        acc = tl.dot(weights.to(values.dtype), values, acc * decay[:, None], input_precision=PRECISION)
        maximum = new_maximum

    total = tl.where(total == 0, 1.0, total)
    row = batch.to(tl.int64) * num_queries + rows
    columns = begin_e + tl.arange(0, BLOCK_E)
    tl.store(out + row[:, None] * E + columns[None, :], (acc / total[:, None]).to(out.dtype.element_ty),
             mask=inside[:, None] & (columns < E)[None, :])
    if begin_e == 0:
        tl.store(lse + row, LN_2 * (maximum + tl.log2(total)), mask=inside)


@triton.jit
def _logits_backward_kernel(row_x, row_y, column_x, column_y, lse, delta, out, scale, logit_scale,
                            num_b, num_rows, num_columns,
                            row_xa, row_xb, row_xr, row_xd, row_ya, row_yb, row_yr, row_ye,
                            column_xa, column_xb, column_xc, column_xd, column_ya, column_yb, column_yc, column_ye,
                            D: tl.constexpr, E: tl.constexpr, EXCLUDE_ITSELF: tl.constexpr, PRECISION: tl.constexpr,
                            ROWS_ARE_QUERIES: tl.constexpr, ROWS: tl.constexpr, STEP: tl.constexpr,
                            BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_OUT: tl.constexpr):
    """out_r = scale sum_c P_rc (row_y_r . column_y_c - delta) column_x_c with P = exp(scale row_x_r . column_x_c - lse).

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
    x_tile = _tile(row_x, inside, row_xd, 0, D, BLOCK_D)
    y_tile = _tile(row_y, inside, row_ye, 0, E, BLOCK_E)
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
        logits = logit_scale * _products(x_tile, row_x, inside, row_xd, x, columns_inside, column_xd,
                                         D, BLOCK_D, PRECISION)
        logits = _visible(logits, rows, columns, num_columns, EXCLUDE_ITSELF)
        grads = _products(y_tile, row_y, inside, row_ye, y, columns_inside, column_ye, E, BLOCK_E, PRECISION)
        if not ROWS_ARE_QUERIES:
            lses = _lse_in_powers_of_two(lse, columns, num_columns)[None, :]
            deltas = tl.load(delta + columns, mask=columns_inside, other=0.0)[None, :]
        grads = tl.exp2(logits - lses) * (grads - deltas)
        # With one block of D, these are the columns that the logits were made of, and the compiler loads them once.
        x_out = _tile(x, columns_inside, column_xd, begin_out, D, BLOCK_OUT)
        acc = tl.dot(grads.to(x_out.dtype), x_out, acc, input_precision=PRECISION)

    row = batch.to(tl.int64) * num_rows + rows
    columns = begin_out + tl.arange(0, BLOCK_OUT)
    tl.store(out + row[:, None] * D + columns[None, :], (scale * acc).to(out.dtype.element_ty),
             mask=inside[:, None] & (columns < D)[None, :])


@triton.jit
def _value_backward_kernel(query, key, grad, lse, out, logit_scale, num_b, num_queries, num_keys,
                           query_a, query_b, query_n, query_d, key_a, key_b, key_m, key_d, grad_a, grad_b, grad_n, grad_e,
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
    key_tile = _tile(key, inside, key_d, 0, D, BLOCK_D)

    acc = tl.zeros((ROWS, BLOCK_E), tl.float32)
    for start in range(0, num_queries, STEP):
        queries = start + tl.arange(0, STEP)
        queries_inside = queries < num_queries
        logits = logit_scale * _products(key_tile, key, inside, key_d, _rows(query, queries, query_n), queries_inside,
                                         query_d, D, BLOCK_D, PRECISION)
        logits = _visible(logits, rows, queries, num_queries, EXCLUDE_ITSELF)
        weights = tl.exp2(logits - _lse_in_powers_of_two(lse, queries, num_queries)[None, :])
        grads = _tile(_rows(grad, queries, grad_n), queries_inside, grad_e, begin_e, E, BLOCK_E)
        acc = tl.dot(weights.to(grads.dtype), grads, acc, input_precision=PRECISION)

    row = batch.to(tl.int64) * num_keys + rows
    columns = begin_e + tl.arange(0, BLOCK_E)
    tl.store(out + row[:, None] * E + columns[None, :], acc.to(out.dtype.element_ty),
             mask=inside[:, None] & (columns < E)[None, :])
