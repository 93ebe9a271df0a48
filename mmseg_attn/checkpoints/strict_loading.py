"""Replaces mmengine's loaders, which read a file once more with its code running when the safe way has failed."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, get_rank
from mmengine.fileio import get_file_backend
from mmengine.runner.checkpoint import (
    CheckpointLoader,
    _get_mmengine_home,
    _process_mmcls_checkpoint,
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)

from mmseg_attn.common.errors import UserError

from .reading import read_content
from .safe_globals import allow_mmengine_checkpoints

# As OpenMMLab and PyTorch name their files: the first digits of the SHA-256.
CHECKSUM = re.compile(r'-([0-9a-f]{8,64})\.')
FORCE, FORBID = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'


def use_strict_loading() -> None:
    """Makes mmengine and mmseg read checkpoints without running code from them, wherever they come from.

    For programs; the commands of this package call it. It holds for this process: ``init_model``, ``Runner``,
    ``MMSegInferencer``, ``init_cfg=dict(type='Pretrained')``, downloads, and files of safetensors. What reads by
    ``torch.load`` itself is bound by ``TORCH_FORCE_WEIGHTS_ONLY_LOAD=1`` in the environment, which PyTorch obeys.

    A file that needs code is refused with a :class:`UserError` that names the object.
    """
    allow_mmengine_checkpoints()
    for prefix in list(CheckpointLoader._schemes):
        if prefix in LOADERS:
            CheckpointLoader.register_scheme(prefix, LOADERS[prefix], force=True)


@contextmanager
def weights_only() -> Iterator[None]:
    """Has every ``torch.load`` within, in this process and those that it starts, read weights only."""
    before = {name: os.environ.pop(name, None) for name in (FORCE, FORBID)}
    os.environ[FORCE] = '1'
    try:
        yield
    finally:
        del os.environ[FORCE]
        os.environ.update({name: value for name, value in before.items() if value is not None})


# mmengine prints the names of these functions from the eleventh letter on.
def load_from_local(filename: str, map_location: Any = None) -> object:
    return _without_code(read_content(filename, map_location))


def load_from_http(filename: str, map_location: Any = None) -> object:
    return load_from_local(str(_downloaded(filename)), map_location)


def load_from_s3(filename: str, map_location: Any = None) -> object:
    content = get_file_backend(filename, backend_args=dict(backend='petrel')).get(filename)
    try:
        return _without_code(torch.load(BytesIO(content), map_location=map_location, weights_only=True))
    except Exception as error:  # as with files
        raise UserError(f'{filename} cannot be read ({type(error).__name__}: {error}); download it, and give the file '
                        'to find out more') from error


def load_from_torchvision(filename: str, map_location: Any = None) -> object:
    return load_from_http(_address(filename, get_torchvision_models()), map_location)


def load_from_openmmlab(filename: str, map_location: Any = None) -> object:
    scheme, _, name = filename.partition('://')
    name = get_deprecated_model_names().get(name, name)
    address = _address(f'{scheme}://{name}', get_external_models())
    if address.startswith(('http://', 'https://')):
        return load_from_http(address, map_location)
    return load_from_local(os.path.join(_get_mmengine_home(), address), map_location)


def load_from_mmcls(filename: str, map_location: Any = None) -> object:
    return _process_mmcls_checkpoint(load_from_http(_address(filename, get_mmcls_models()), map_location))


def load_from_pavi(filename: str, map_location: Any = None) -> object:
    raise UserError(f'{filename}: files are not read from pavi here; download it, and give its path')


LOADERS: dict[str, Callable[..., object]] = {
    '': load_from_local, 'http://': load_from_http, 'https://': load_from_http, 'pavi://': load_from_pavi,
    r'(\S+\:)?s3://': load_from_s3, r'(\S+\:)?petrel://': load_from_s3,
    'modelzoo://': load_from_torchvision, 'torchvision://': load_from_torchvision,
    'open-mmlab://': load_from_openmmlab, 'openmmlab://': load_from_openmmlab, 'mmcls://': load_from_mmcls}


def _without_code(content: object) -> object:
    """``content`` less the text in ``meta`` that mmengine runs as a config when it resumes."""
    if isinstance(content, dict) and isinstance(content.get('meta'), dict):
        content['meta'].pop('config', None)
    return content


def _address(filename: str, addresses: dict[str, str]) -> str:
    name = filename.partition('://')[2]
    if name not in addresses:
        raise UserError(f'{filename} names no checkpoint that mmengine knows; there are '
                        f'{", ".join(sorted(addresses)[:5])} ...')
    return addresses[name]


def _downloaded(address: str) -> Path:
    """The file of an address, downloaded by one process where PyTorch keeps such files."""
    path = Path(torch.hub.get_dir(), 'checkpoints', os.path.basename(urlparse(address).path))
    if get_rank() == 0:
        _download(address, path)
    barrier()
    # Another machine has its own folder.
    _download(address, path)
    return path


def _download(address: str, path: Path) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    checksum = CHECKSUM.search(path.name)
    torch.hub.download_url_to_file(address, str(path), checksum[1] if checksum else None,
                                   progress=sys.stderr.isatty() and get_rank() == 0)
