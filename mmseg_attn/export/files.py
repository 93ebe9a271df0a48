"""From a model to a file that is known to compute the same."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from mmseg.models import BaseSegmentor

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import atomic_write

from . import backbones, onnx_file, pt2_file
from .check import EQUAL_LABELS, Agreement, check_sizes, compare_with_model
from .metadata import metadata_of
from .network import Network
from .preparation import preparation_of
from .tracing import free_axes, trace

FORMATS = {'onnx': onnx_file, 'torch-export': pt2_file}
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Export:
    """A file that was written.

    Attributes:
        path: of the file.
        metadata: what the file says of itself.
        free: those of 'batch', 'height', 'width' that may have any size.
        why_fixed: what kept height and width from being free; None where they are, or were to be fixed.
        agreements: with the model, one for each size that was tried.
    """

    path: Path
    metadata: dict
    free: list[str]
    why_fixed: str | None
    agreements: list[Agreement]


def check_requirements(file_format: str) -> None:
    """
    Raises:
        ImportError: a package is missing that a format needs, or PyTorch is too old.
    """
    if not hasattr(torch.export.Dim, 'AUTO'):
        raise ImportError(f'exporting needs PyTorch 2.6 or newer, this is {torch.__version__}')
    missing = [name for name in FORMATS[file_format].NEEDS if find_spec(name) is None]
    if missing:
        raise ImportError(f'--format {file_format} needs {", ".join(missing)}: pip install {" ".join(missing)}')


def export(model: BaseSegmentor, path: Path, file_format: str, size: tuple[int, int], *, name: str = '',
           normalize: bool = False, argmax: bool = False, fixed_size: bool = False, tolerance: float = TOLERANCE,
           stage: Callable[[str], None] = lambda text: None) -> Export:
    """Writes a file, and checks it against the model before it gets its name.

    Height and width are free, unless the method does not allow it.

    Args:
        model: from :func:`mmseg_attn.checkpoints.load_model`.
        path: of the file.
        file_format: a key of :data:`FORMATS`.
        size: height and width of the images it is traced with. Any will do where they are free.
        name: of the config, for the metadata.
        normalize: take RGB pictures from 0 to 255, and prepare them inside.
        argmax: give labels instead of logits.
        fixed_size: only images of ``size``.
        tolerance: the relative error of the logits that is accepted.
        stage: is told what is being done.

    Raises:
        UserError: the model cannot be exported, or the file does not compute what the model does. Then there is none.
        ImportError: a package is missing.
    """
    check_requirements(file_format)
    preparation = preparation_of(model.cfg)
    network = Network(model, preparation if normalize else None, argmax).eval()

    def attempt(free_size: bool, why_fixed: str | None = None) -> Export:
        what = 'of any size' if free_size else 'of {} x {}'.format(*size)
        stage(f'tracing for images {what}')
        program = trace(network, size, free_size, preparation.channels)
        free = free_axes(program)
        _check_free(free, free_size)
        metadata = metadata_of(model, name, preparation, normalize, argmax, free, size)
        with atomic_write(path) as unchecked:
            stage(f'writing for images {what}')
            FORMATS[file_format].write(program, unchecked, metadata['output'], metadata)
            run = FORMATS[file_format].load(unchecked)
            agreements = []
            for batch_size in check_sizes(size, free):
                stage('checking {} images of {} x {}'.format(*batch_size))
                agreements.append(compare_with_model(run, model, batch_size, not normalize, argmax))
                _check_agreement(agreements[-1], tolerance)
        return Export(path, metadata, free, why_fixed, agreements)

    why_fixed = None if fixed_size else backbones.why_fixed(network)
    if not fixed_size and why_fixed is None:
        try:
            return attempt(free_size=True)
        except Exception as error:  # tracing, converting and running raise anything
            why_fixed = _first_line(error)
    try:
        return attempt(free_size=False, why_fixed=why_fixed)
    except Exception as error:
        raise UserError(f'{name or type(model).__name__} cannot be exported for images of {size[0]} x {size[1]}: '
                        f'{_first_line(error)}') from error


def _check_free(free: list[str], free_size: bool) -> None:
    wanted = ['batch', 'height', 'width'] if free_size else ['batch']
    tied = [axis for axis in wanted if axis not in free]
    if tied:
        raise UserError(f'the graph is tied to one {" and one ".join(tied)}')


def _check_agreement(agreement: Agreement, tolerance: float) -> None:
    near = agreement.error is None or agreement.error <= tolerance
    if not near or not agreement.equal_labels >= EQUAL_LABELS:
        raise UserError(f'the file does not compute what the model does: images of {agreement} '
                        f'(allowed: {tolerance:g}, {100 * EQUAL_LABELS:g} %)')


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
