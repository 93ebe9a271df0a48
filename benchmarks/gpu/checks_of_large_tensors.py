"""Tensors of more than 2^31 numbers, whose offsets int32 does not hold. Only the last pixels are compared.

They take up to 30 GiB. On a CPU they are small.
"""

import torch
from torch import Tensor

from benchmarks.gpu.comparing import distance
from benchmarks.gpu.recording import Record
from mmseg_attn.ops.carafe import carafe
from mmseg_attn.ops.criss_cross import criss_cross_attention
from mmseg_attn.ops.message_passing import pass_messages
from mmseg_attn.ops.pixel_attention import tiled_softmax_attention

LIMIT = 0.03  # of bfloat16


def huge(record: Record) -> None:
    pixels, side, cross = (4_300_000, 5904, 2112) if record.on_gpu else (3000, 64, 40)
    kind = dict(device=record.device, dtype=torch.bfloat16)
    for name, function in {
            f'attention of {pixels} queries': lambda: _attention(pixels, 256, kind),
            f'attention to {pixels} keys': lambda: _attention(256, pixels, kind),
            f'carafe to {side} x {side}': lambda: _carafe(side, kind),
            f'messages on {side} x {side}': lambda: _messages(side, kind),
            f'criss-cross on {cross} x {cross}': lambda: _criss_cross(cross, kind)}.items():
        record.check(name, function, LIMIT)
        if record.on_gpu:
            torch.cuda.empty_cache()


def _attention(queries: int, keys: int, kind: dict) -> float:
    q, k, v = (torch.randn(1, n, width, **kind).requires_grad_()
               for n, width in ((queries, 64), (keys, 64), (keys, 512)))
    out, _ = tiled_softmax_attention(q, k, v, 0.125)
    # Only the last rows have a gradient, so that the reference is small.
    last = torch.randn(1, 64, 512, **kind)
    gradient = torch.zeros_like(out)
    gradient[:, -64:] = last
    out.backward(gradient)
    exact = [t.detach().float().requires_grad_() for t in (q[:, -64:], k, v)]
    expected = (0.125 * exact[0] @ exact[1].mT).softmax(-1) @ exact[2]
    expected.backward(last.float())
    pairs = [(out[:, -64:], expected), (q.grad[:, -64:], exact[0].grad), (k.grad[:, -4096:], exact[1].grad[:, -4096:]),
             (v.grad[:, -4096:], exact[2].grad[:, -4096:])]
    return max(distance(found, value) for found, value in pairs)


def _carafe(side: int, kind: dict) -> float:
    x = torch.randn(1, 64, side // 2, side // 2, **kind).requires_grad_()
    masks = torch.rand(1, 25, side, side, **kind).requires_grad_()
    out = _last(carafe(x, masks, 5, 1, 2), 32)
    out.float().square().sum().backward()
    # The border where the crop ends is another: so less of it is compared.
    exact = [_last(t, size).detach().double().cpu().requires_grad_() for t, size in ((x, 30), (masks, 60))]
    expected = _last(carafe(*exact, 5, 1, 2), 32)
    expected.square().sum().backward()
    return max(distance(out, expected), distance(_last(x.grad, 12), _last(exact[0].grad, 12)),
               distance(_last(masks.grad, 24), _last(exact[1].grad, 24)))


@torch.no_grad()
def _messages(side: int, kind: dict) -> float:
    x, device = torch.randn(1, 64, side, side, **kind), kind['device']
    place = torch.arange(side, device=device, dtype=torch.float32)
    positions = torch.stack([place[:, None].expand(side, side), place.expand(side, side)])
    # Two samples near every pixel.
    positions = positions.repeat(1, 2, 1, 1, 1)
    positions -= 0.5 + torch.rand_like(positions)
    weights = torch.rand(1, 1, 2, side, side, device=device)
    out = pass_messages(x, positions, weights)
    exact = [_last(t, 32).double().cpu() for t in (x, positions - (side - 32), weights)]
    return distance(_last(out, 16), _last(pass_messages(*exact), 16))


@torch.no_grad()
def _criss_cross(side: int, kind: dict) -> float:
    q, k, v = (torch.randn(1, width, side, side, **kind).contiguous(memory_format=torch.channels_last)
               for width in (64, 64, 512))
    out = criss_cross_attention(0.3 * q, k, v)
    last = side - 1
    keys, values = (torch.cat([t[0, :, :last, last], t[0, :, last]], dim=1).double() for t in (k, v))
    weights = ((0.3 * q)[0, :, last, last].double() @ keys).softmax(0)
    return distance(out[0, :, last, last], values @ weights)


def _last(x: Tensor, size: int) -> Tensor:
    return x[..., -size:, -size:]
