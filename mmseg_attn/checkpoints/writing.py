"""Writes weights and what is known of them, as files of PyTorch or of safetensors."""

import json
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from mmseg_attn.common.errors import UserError

# Under which name a file of safetensors, whose metadata are texts, has ``meta`` as JSON.
META = 'meta'


def write_checkpoint(state_dict: dict[str, Tensor], meta: dict, path: Path) -> None:
    """Writes ``dict(state_dict=..., meta=...)``; the suffix of ``path`` chooses the format.

    Raises:
        UserError: ``path`` ends with .safetensors, and safetensors is not installed.
    """
    if path.suffix != '.safetensors':
        # Into a file that Python opens: the errors of the operating system stay what they are.
        with open(path, 'wb') as file:
            torch.save(dict(state_dict=state_dict, meta=meta), file)
        return
    require_safetensors(path)
    from safetensors.torch import save
    path.write_bytes(save({name: value.contiguous() for name, value in state_dict.items()},
                          dict(format='pt', **{META: json.dumps(meta)})))


def require_safetensors(path: Path) -> None:
    """
    Raises:
        UserError: safetensors is not installed.
    """
    if find_spec('safetensors') is None:
        raise UserError(f'{path.name} needs safetensors, which is not installed: pip install safetensors')
