"""From a file to the weights in it, whatever they are wrapped in, without running code from the file."""

import json
import re
import sys
import textwrap
import zipfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import require_file

from .safe_globals import allow_mmengine_checkpoints
from .writing import META, require_safetensors

# Under which names the trainings of the literature keep the weights, the usual ones first.
CONTAINERS = ('state_dict', 'model', 'net', 'model_state_dict', 'model_state', 'network', 'weights')
# DataParallel and DDP, torch.compile.
PREFIXES = ('module.', '_orig_mod.')
# What torch.load says of a file that is not only numbers.
NEEDS_CODE = re.compile(r'GLOBAL (\S+) (?:was not an allowed|whose module)|unrecognized function (.*)'
                        r'|Can only (?:create new object|build) .* got (.*)')


@dataclass
class Checkpoint:
    """Weights as a file names them, less the prefixes of wrappers.

    ``other_entries`` names what else the file holds; ``meta`` is mmengine's, which tells of the config.
    """

    path: Path
    state_dict: dict[str, Tensor]
    meta: dict = field(default_factory=dict)
    other_entries: list[str] = field(default_factory=list)


def read_checkpoint(path: str | Path, allow_pickle: bool = False) -> Checkpoint:
    """Reads weights from a file of torch.save, old format or new, bare or in a container, or of safetensors.

    Args:
        path: the file.
        allow_pickle: also read files that cannot be read without running code they contain.

    Raises:
        UserError: no such file; an empty or damaged file, or one of another kind; a file that needs ``allow_pickle``;
            no weights in it, or weights that are not finite.
    """
    path = Path(path)
    content = read_content(path, allow_pickle=allow_pickle)
    weights, other_entries = unwrap(content, path)
    meta = content.get('meta') if isinstance(content, dict) else None
    weights = {name: _checked(value, name, path) for name, value in weights.items()}
    return Checkpoint(path, weights, meta if isinstance(meta, dict) else {},
                      [ascii(name)[1:-1] for name in other_entries])


def read_content(path: str | Path, map_location: Any = 'cpu', allow_pickle: bool = False) -> object:
    """What a file holds, as torch.load gives it; of safetensors ``dict(state_dict=..., meta=...)``.

    Raises:
        UserError: no such file; an empty or damaged file, or one of another kind; a file that needs ``allow_pickle``.
    """
    path = Path(path).expanduser()
    require_file(path, 'checkpoint')
    if path.stat().st_size == 0:
        raise UserError(f'{path} is empty: the download or the saving was cut off')
    if _is_safetensors(path):
        return _load_safetensors(path, map_location)
    return _load(path, map_location, allow_pickle)


def _is_safetensors(path: Path) -> bool:
    """By its content, which may have been renamed: the length of a header in JSON, and the header."""
    with open(path, 'rb') as file:
        begin = file.read(10)
    return begin[8:9] == b'{' and int.from_bytes(begin[:8], 'little') <= path.stat().st_size


def is_finite(value: Tensor) -> bool:
    if value.is_floating_point() and value.element_size() == 1:
        value = value.float()  # PyTorch does not ask this of float8
    return not (value.is_floating_point() or value.is_complex()) or bool(value.isfinite().all())


def check_dense(value: Tensor, name: str, what: str | Path) -> None:
    """
    Raises:
        UserError: a weight has no plain array of values.
    """
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        raise UserError(f'{what}: {name} is a sparse, quantised or meta tensor, not one of weights')
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise UserError(f'{what}: {name} claims {value.numel()} values and holds fewer: the file is damaged')


def _checked(value: Tensor, name: str, path: Path) -> Tensor:
    """The values of a weight in float32, or of a buffer of integers as they are."""
    if not name.isprintable():
        raise UserError(f'{path} has a weight of the name {name!r}: the file is damaged')
    check_dense(value, name, path)
    value = value.detach()
    if value.is_floating_point():
        value = value.float()
    if not is_finite(value):
        raise UserError(f'{path}: {name} holds values that are not finite: the training had diverged, or the file '
                        'is damaged')
    return value


def _load_safetensors(path: Path, map_location: Any) -> dict:
    require_safetensors(path)
    from safetensors import SafetensorError, safe_open
    device = map_location if isinstance(map_location, str | torch.device) else 'cpu'
    try:
        with safe_open(path, framework='pt', device=str(device)) as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
            meta = _read_meta((file.metadata() or {}).get(META, ''))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    return dict(state_dict=weights, meta=meta)


def _read_meta(text: str) -> dict:
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError):  # of another program
        return {}
    return meta if isinstance(meta, dict) else {}


def _load(path: Path, map_location: Any, allow_pickle: bool) -> object:
    allow_mmengine_checkpoints()
    try:
        # By its content: new releases of PyTorch go by this suffix.
        with open(path, 'rb') if path.suffix == '.safetensors' else nullcontext(path) as source:
            content = torch.load(source, map_location=map_location, weights_only=not allow_pickle)
        _check_sums(path)
        return content
    except Exception as error:  # hostile and damaged files raise anything, from KeyError to OverflowError
        code = _code_in(str(error))
        if code and not allow_pickle:
            raise UserError(
                f'{path} can only be read by running code that it contains ({code}), so it was not read.\n  If you '
                f'trust where it comes from, convert it once: mmseg-attn convert_checkpoint {path} NEW.pth '
                '--allow-pickle\n  Weights of no method known here: torch.save(torch.load(FILE, weights_only=False)'
                '["state_dict"], NEW)') from error
        if 'TorchScript' in str(error):
            raise UserError(f'{path} is a file of TorchScript; save its weights with '
                            'torch.save(torch.jit.load(FILE).state_dict(), NEW) first') from error
        raise _damaged(path, error) from error


def _check_sums(path: Path) -> None:
    """PyTorch writes checksums into its files, and does not look at them."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            if damaged := file.testzip():
                raise ValueError(f'the checksum of {damaged} in it is wrong')


def _damaged(path: Path, error: Exception) -> UserError:
    if kind := _kind_of_text(path):
        return UserError(f'{path} is {kind}')
    reason = textwrap.shorten(next((line for line in str(error).splitlines()
                                    if line.strip() and 'weights_only' not in line), 'no reason given'), 200)
    return UserError(f'{path} is not a checkpoint of PyTorch, or is damaged ({type(error).__name__}: {reason}); '
                     'compare its size or checksum with that of the source, and fetch it again')


def _kind_of_text(path: Path) -> str | None:
    """What lies under the name of a checkpoint when a download has not given the file itself."""
    with open(path, 'rb') as file:
        begin = file.read(200).lstrip().lower()
    if begin.startswith((b'<!doctype html', b'<html', b'<?xml')):
        return 'a web page, not a checkpoint: the address leads to a page about the file; download the file itself'
    if begin.startswith(b'version https://git-lfs'):
        return 'a pointer of Git LFS, not the file itself: git lfs pull'
    return None


def _code_in(reason: str) -> str | None:
    found = NEEDS_CODE.search(reason)
    if not found:
        return None
    module, _, name = (found[1] or '').rpartition('.')
    if module in sys.modules and not hasattr(sys.modules[module], name):
        return None  # a name that was cut off with the file
    return next(filter(None, found.groups()))


def unwrap(content: object, path: str | Path) -> tuple[dict[str, Tensor], list[str]]:
    """The weights without the prefixes of wrappers, and the names of what lies beside them and the path to them.

    Raises:
        UserError: there are none.
    """
    other_entries: list[str] = []
    for _ in range(3):
        if isinstance(content, nn.Module):
            return _strip_prefixes(content.state_dict()), other_entries
        if not isinstance(content, dict):
            break
        named = {k: v for k, v in content.items() if isinstance(k, str)}
        tensors = {k: v for k, v in named.items() if isinstance(v, Tensor)}
        inner = next((name for name in CONTAINERS if isinstance(named.get(name), dict | nn.Module)), None)
        if inner is None:
            if not tensors:
                break
            return _strip_prefixes(tensors), other_entries + [str(k) for k in content if k not in tensors]
        beside = next((name for name in tensors if '.' in name), None)
        if beside is not None:
            raise UserError(f'{path} holds weights twice: {beside} and others, and a dictionary under {inner!r} beside '
                            'them; save the one that is meant')
        other_entries += [str(k) for k in content if k != inner]
        content = content[inner]
    raise UserError(f'{path} holds no weights: neither tensors nor a dictionary of tensors under one of '
                    f'{", ".join(CONTAINERS)} (found {_describe(content)})')


def _describe(content: object) -> str:
    if isinstance(content, dict):
        keys = [str(key)[:40] for key in content]
        return f'a dictionary with {", ".join(keys[:6]) or "nothing in it"}{" ..." if len(keys) > 6 else ""}'
    return f'a {type(content).__name__}'


def _strip_prefixes(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in weights)), None):
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights
