"""Programs as files of torch.export."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram

from mmseg_attn.common.errors import UserError

from .tracing import foreign_operators

SUFFIX = '.pt2'
NEEDS = ()
METADATA = 'metadata.json'


def write(program: ExportedProgram, path: Path, output: str, metadata: dict) -> None:
    """Writes ``program``, and ``metadata`` beside it under :data:`METADATA`.

    Raises:
        UserError: the graph needs operators that are not PyTorch's own.
    """
    foreign = foreign_operators(program)
    if foreign:
        raise UserError(f"the graph needs operators that are not PyTorch's own: {', '.join(sorted(foreign))}")
    # The images it was traced with, which would be the larger part of a small file.
    program._example_inputs = None
    # PyTorch ends the whole process when it cannot write.
    buffer = BytesIO()
    torch.export.save(program, buffer, extra_files={METADATA: json.dumps(metadata)})
    path.write_bytes(buffer.getbuffer())


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The function that a file holds."""
    module = torch.export.load(path).module()
    return lambda image: module(torch.from_numpy(image)).numpy()
