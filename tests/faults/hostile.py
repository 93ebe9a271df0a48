"""Checkpoints with code in them: a good one, and beside its weights a call that makes a folder when it is run."""

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn


class Call:
    """``os.mkdir(victim)`` when it is unpickled."""

    def __init__(self, victim: Path):
        self.victim = victim

    def __reduce__(self):
        return os.mkdir, (str(self.victim), )


class _Module(nn.Linear):
    """A module of a class of its own, whose state is restored by a call."""

    def __reduce__(self):
        return os.mkdir, (self.victim, )


def _inside(*keys: str) -> Callable[[dict, Path, Path], None]:
    def write(content: dict, path: Path, victim: Path) -> None:
        inner = content
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = Call(victim)
        torch.save(content, path)
    return write


def _old_format(content: dict, path: Path, victim: Path) -> None:
    torch.save(content | dict(extra=Call(victim)), path, _use_new_zipfile_serialization=False)


def _bare_pickle(content: dict, path: Path, victim: Path) -> None:
    path.write_bytes(pickle.dumps(Call(victim)))


def _whole_module(content: dict, path: Path, victim: Path) -> None:
    module = _Module(1, 1)
    module.victim = str(victim)
    torch.save(module, path)


def _text(string: str) -> bytes:
    return b'X' + struct.pack('<I', len(string)) + string.encode()


def _by_getattr(module: str) -> Callable[[dict, Path, Path], None]:
    """getattr(getattr, '__self__') is the module of builtins, and a HistoryBuffer calls what it is restored with."""
    def write(content: dict, path: Path, victim: Path) -> None:
        get = b'c' + module.encode() + b'\ngetattr\n'
        execute = get + get + get + _text('__self__') + b'\x86R' + _text('exec') + b'\x86R'
        history = b'cmmengine.logging.history_buffer\nHistoryBuffer\n)\x81}' + _text('__setstate__') + execute + b'sb'
        data = b'\x80\x02' + history + _text(f'import os; os.mkdir({str(victim)!r})') + b'b.'
        buffer = io.BytesIO()
        torch.save(content, buffer)
        with zipfile.ZipFile(buffer) as file, zipfile.ZipFile(path, 'w') as new:
            for name in file.namelist():
                new.writestr(name, data if name.endswith('data.pkl') else file.read(name))
    return write


def _under_the_name_of_safetensors(content: dict, path: Path, victim: Path) -> None:
    torch.save(content | dict(extra=Call(victim)), path)


# Name -> (how it is written, the suffix of the file).
DISGUISES = {
    'in meta': (_inside('meta', 'extra'), '.pth'), 'in the message hub': (_inside('message_hub', 'extra'), '.pth'),
    'in the optimizer': (_inside('optimizer', 'extra'), '.pth'),
    'among the weights': (_inside('state_dict', 'x'), '.pth'),
    'beside the weights': (_inside('extra'), '.pt'), 'old format': (_old_format, '.pth'),
    'bare pickle': (_bare_pickle, '.pth'), 'whole module': (_whole_module, '.pth'),
    'builtins.getattr': (_by_getattr('builtins'), '.pth'), '__builtin__.getattr': (_by_getattr('__builtin__'), '.pth'),
    'named safetensors': (_under_the_name_of_safetensors, '.safetensors')}
