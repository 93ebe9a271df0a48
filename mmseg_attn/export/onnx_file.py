"""Programs as ONNX files."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram

from mmseg_attn.common.errors import UserError

from .decompositions import DECOMPOSITIONS
from .tracing import AXES, nodes_of, without_stack_traces

SUFFIX = '.onnx'
# Old enough for the runtimes of several years, new enough for PyTorch to need no conversion.
OPSET = 18
NEEDS = 'onnx', 'onnxscript', 'onnxruntime'
STANDARD_DOMAINS = {'', 'ai.onnx'}


def write(program: ExportedProgram, path: Path, output: str, metadata: dict) -> None:
    """Writes ``program`` with an input 'image' and an output of the name ``output``.

    Raises:
        UserError: the file would hold operators that are not ONNX's own.
    """
    import onnx
    with _silence(), without_stack_traces():
        if DECOMPOSITIONS.keys() & {node.target for node in nodes_of(program)}:
            program = program.run_decompositions(DECOMPOSITIONS)
        converted = torch.onnx.export(program, (), input_names=['image'], output_names=[output], opset_version=OPSET,
                                      dynamic_shapes=dict(image=AXES), dynamo=True, external_data=False, verbose=False)
    model = converted.model_proto
    _strip(model)
    foreign = _foreign_operators(model)
    if foreign:
        raise UserError(f"the graph needs operators that are not ONNX's own: {', '.join(sorted(foreign))}")
    model.producer_name = 'mmseg_attn'
    model.producer_version = metadata['mmseg_attn']
    for name, value in metadata.items():
        model.metadata_props.add(key=name, value=value if isinstance(value, str) else json.dumps(value))
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The function that a file holds, run by ONNX Runtime on the CPU."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    return lambda image: session.run(None, dict(image=image))[0]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Without what the converter tells of its own progress and of deprecations inside it."""
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'onnxscript')]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _graphs(model) -> Iterator:
    """The graph of a model, those of its functions, and those within their nodes."""
    found = [model.graph, *model.functions]
    while found:
        graph = found.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                found += [attribute.g] if attribute.HasField('g') else []
                found += attribute.graphs


def _strip(model) -> None:
    """Takes out notes for the converter's developers, which have the paths of the machine."""
    for graph in _graphs(model):
        del graph.metadata_props[:]
        for part in (*graph.node, *graph.value_info):
            del part.metadata_props[:]
            part.doc_string = ''
    for part in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del part.metadata_props[:]
    del model.metadata_props[:]


def _foreign_operators(model) -> set[str]:
    nodes = [node for graph in _graphs(model) for node in graph.node]
    return {f'{node.domain}::{node.op_type}' for node in nodes if node.domain not in STANDARD_DOMAINS}
