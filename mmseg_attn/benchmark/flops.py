"""Operations of a forward, counted by PyTorch, the fused attention included.

PyTorch counts matrix products, convolutions, scaled dot products and the operators that register a formula with
``torch.utils.flop_counter``; norms, activations, pooling and interpolation are not counted. It counts a multiply-add as
two, whereas the field, with mmengine and fvcore, counts it as one: so do the numbers here.
"""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

try:
    from torch._subclasses.fake_tensor import FakeTensorMode
except ImportError:  # it is private; then everything is computed
    FakeTensorMode = None

CONVENTION = ('multiply-adds of a forward in evaluation, each counted as one, of matrix products, convolutions and '
              'attention; not of norms, activations, pooling and interpolation')


def count_flops(module: nn.Module, shapes: list[tuple[int, ...]]) -> dict[str, int]:
    """Multiply-adds of a forward in evaluation, without computing it where that is possible.

    Args:
        module: takes one tensor of each of ``shapes``; its mode is left as it is.
        shapes: of the inputs.

    Returns:
        The path of each submodule that was called -> its multiply-adds; '' is the path of the module itself.
    """
    training = module.training
    module.eval()
    try:
        if FakeTensorMode and not is_compiled(module):
            try:
                with FakeTensorMode():
                    return _count(module, shapes, {k: torch.empty(v.shape, dtype=v.dtype) for k, v in _state(module)})
            except (RuntimeError, TypeError):
                pass  # an operator that has no rule for its output's shape, or whose shape depends on the numbers
        return _count(module, shapes, {k: v.detach().cpu() for k, v in _state(module)})
    finally:
        module.train(training)


def is_compiled(module: nn.Module) -> bool:
    """Whether mmcv's compiled operators are in it.

    On the CPU they read tensors pixel by pixel, each time as a tensor: for hours where these have no data, and with
    a record of every one under PyTorch's profiler.
    """
    return any(type(m).__module__.startswith('mmcv.ops.') for m in module.modules())


def _state(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _count(module: nn.Module, shapes: list[tuple[int, ...]], state: dict[str, Tensor]) -> dict[str, int]:
    inputs = tuple(torch.rand(shape) for shape in shapes)
    with torch.no_grad(), _counter() as counter:
        torch.func.functional_call(module, state, inputs)
    root = type(module).__name__
    found = {'': counter.get_total_flops() // 2}
    for name, counts in counter.get_flop_counts().items():
        if name.startswith(f'{root}.'):
            found[name.removeprefix(f'{root}.')] = sum(counts.values()) // 2
    return found


def _counter() -> FlopCounterMode:
    # The fused attention of the CPU is the only one that PyTorch has no formula for. Where it has another name it is
    # not counted.
    fused = getattr(torch.ops.aten, '_scaled_dot_product_flash_attention_for_cpu', None)
    return FlopCounterMode(display=False, custom_mapping={fused: _sdpa_flops} if fused else {})


def _sdpa_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_, out_shape=None, **__) -> int:
    batch, heads, num_queries, width = query
    return 2 * batch * heads * num_queries * key[2] * (width + value[3])
