"""How a GPU runs it: where the host waits, CUDA graphs, streams, deterministic algorithms, torch.compile."""

import copy
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from benchmarks.gpu.checks_of_heads import all_heads, samples, total
from benchmarks.gpu.comparing import distance
from benchmarks.gpu.recording import Record
from mmseg_attn.registry import MODELS
from tests.attention.blocks import BLOCKS, first_of_each_class
from tests.attention.variants import CHANNELS
from tests.helpers import randomize
from tests.models.heads.variants import stage_features

SIZE = (33, 40)


def syncs(record: Record) -> None:
    """Whether a step of training makes the host wait for the GPU. On a CPU the steps run, and nobody looks."""
    for name, make in BLOCKS.items():
        block = make().to(record.device).train()
        x = torch.randn(2, CHANNELS, *SIZE, device=record.device, requires_grad=True)
        record.check(f'no wait: block {name}', lambda block=block, x=x: _require_no_wait(
            record, lambda: block(x).sum().backward()))
    for label, head in all_heads():
        head = head.to(record.device).train()
        head.loss_decode = MODELS.build(dict(type='mmseg_attn.PixelCrossEntropyLoss'))
        data, features = samples(record.device), [x.to(record.device) for x in stage_features()]
        record.check(f'no wait: head {label}', lambda head=head, data=data, features=features: _require_no_wait(
            record, lambda: total(head.loss(features, data, None)).backward()))


def _require_no_wait(record: Record, function: Callable[[], object]) -> None:
    function()  # the first time kernels are compiled and handles are made, which waits
    if not record.on_gpu:
        return
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        try:
            function()
        finally:
            torch.cuda.set_sync_debug_mode('default')
    places = {f'{"/".join(Path(w.filename).parts[-3:])}:{w.lineno}' for w in caught if 'synchroniz' in str(w.message)}
    if places:
        raise RuntimeError(f'waits for the GPU: {", ".join(sorted(places))}')


def graphs(record: Record) -> None:
    """One block of each class: captured into a CUDA graph, twice the same gradients, a batch of nothing, a stream."""
    for name in first_of_each_class(BLOCKS):
        torch.manual_seed(0)
        block = randomize(BLOCKS[name]()).to(record.device).eval()
        x = torch.randn(2, CHANNELS, *SIZE, device=record.device)
        if record.on_gpu:
            record.check(f'CUDA graph {name}', lambda block=block, x=x: _graph_error(block, x), 1e-5)
            record.check(f'side stream {name}', lambda block=block, x=x: _side_stream_error(block, x), 1e-5)
        record.check(f'deterministic algorithms {name}', lambda block=block, x=x: _require_determinism(block, x))
        record.check(f'empty batch {name}', lambda block=block, x=x: _require_empty(block, x))


@torch.no_grad()
def _graph_error(block: nn.Module, x: torch.Tensor) -> float:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            block(x)
    torch.cuda.current_stream().wait_stream(stream)
    graph, captured = torch.cuda.CUDAGraph(), x.clone()
    with torch.cuda.graph(graph):
        out = block(captured)
    captured.copy_(2 * x)
    graph.replay()
    return distance(out, block(2 * x))


@torch.no_grad()
def _side_stream_error(block: nn.Module, x: torch.Tensor) -> float:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        out = block(x)
    torch.cuda.current_stream().wait_stream(stream)
    return distance(out, block(x))


def _require_determinism(block: nn.Module, x: torch.Tensor) -> None:
    x = x.clone().requires_grad_()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (torch.autograd.grad(block(x).square().sum(), x)[0] for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    if not torch.equal(first, second):
        raise RuntimeError(f'two backwards differ by {distance(second, first):.1e}')


def _require_empty(block: nn.Module, x: torch.Tensor) -> None:
    shape = block(x[:0]).shape
    if shape != x[:0].shape:
        raise RuntimeError(f'gave {tuple(shape)}')


def compiled(record: Record) -> None:
    """One block of each class by torch.compile as one graph, beside itself as it is: output and gradient."""
    names = first_of_each_class(BLOCKS)
    for name in names if record.on_gpu else names[:1]:
        for training in (False, True) if record.on_gpu else (False, ):
            record.check(f'torch.compile {name} {"training" if training else "evaluation"}',
                         lambda name=name, training=training: _compiled_error(record, name, training), 5e-3)


def _compiled_error(record: Record, name: str, training: bool) -> float:
    torch._dynamo.reset()
    block = randomize(BLOCKS[name]()).to(record.device).train(training)
    other = torch.compile(copy.deepcopy(block), fullgraph=True)
    x = torch.randn(2, CHANNELS, *SIZE, device=record.device, requires_grad=True)
    expected, out = block(x), other(x)
    gradients = [torch.autograd.grad(y.square().mean(), x)[0] for y in (expected, out)]
    return max(distance(out, expected), distance(gradients[1], gradients[0]))
