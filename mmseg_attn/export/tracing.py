"""From a network to a graph, for images of any size or of one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.export import Dim, ExportedProgram

from .backbones import swin_of_any_batch
from .network import Network

# Its module is private.
OpOverload = type(torch.ops.aten.relu.default)
AXES = {0: 'batch', 2: 'height', 3: 'width'}
# More than one, which a graph would take for the only possible number.
EXAMPLE_BATCH = 2
# What PyTorch itself registers operators in.
TORCH_NAMESPACES = {'aten', 'prim', 'prims', 'higher_order', '_operator'}


def trace(network: Network, size: tuple[int, int], free_size: bool, channels: int = 3) -> ExportedProgram:
    """The graph of ``network`` for any number of images of ``channels``, of any size or of ``size`` only."""
    axes = AXES if free_size else AXES.keys() & {0}
    image = torch.zeros(EXAMPLE_BATCH, channels, *size)
    with torch.no_grad(), without_stack_traces(), swin_of_any_batch():
        program = torch.export.export(network, (image, ), strict=False,
                                      dynamic_shapes=dict(image={axis: Dim.AUTO for axis in axes}))
    for node in nodes_of(program):
        # Of PyTorch before 2.13, with the paths of the machine.
        node.meta.pop('stack_trace', None)
    return program


@contextmanager
def without_stack_traces() -> Iterator[None]:
    """Inside, PyTorch notes no stack trace for every node of a graph and every size in it: a fourth of the time."""
    config, name = getattr(torch.fx, 'config', None), 'do_not_emit_stack_traces'
    if not hasattr(config, name):  # before PyTorch 2.13
        yield
        return
    before = getattr(config, name)
    setattr(config, name, True)
    try:
        yield
    finally:
        setattr(config, name, before)


def nodes_of(program: ExportedProgram) -> list[torch.fx.Node]:
    """The nodes of the graph and of those within it, such as what runs without autocast."""
    return [node for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)
            for node in module.graph.nodes]


def free_axes(program: ExportedProgram) -> list[str]:
    """The names of the axes of the image that have any size."""
    name, = program.graph_signature.user_inputs
    shape = next(node for node in program.graph.nodes if node.name == name).meta['val'].shape
    expressions = {axis: str(shape[axis]) for axis in AXES}
    # An axis that is tied to another has its symbol, one tied to multiples of a number has no symbol of its own.
    return [AXES[axis] for axis, expression in expressions.items()
            if expression.isidentifier() and list(expressions.values()).count(expression) == 1]


def foreign_operators(program: ExportedProgram) -> set[str]:
    """Operators in the graph that are not PyTorch's own."""
    targets = {node.target for node in nodes_of(program) if isinstance(node.target, OpOverload)}
    return {str(target) for target in targets if target.namespace not in TORCH_NAMESPACES}
