"""Arguments that commands share. Imports nothing that is slow, so that ``--help`` is fast."""

import argparse
from typing import Any

from .errors import UserError


class SettingsAction(argparse.Action):
    """Reads ``--cfg-options`` as mmengine's DictAction does, with an error that says what is wrong."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
                 option_string: str | None = None) -> None:
        from mmseg_attn.environment import require_openmmlab
        require_openmmlab()
        from mmengine.config import DictAction
        for value in values:
            key, equals, _ = value.partition('=')
            if not equals or not key:
                raise UserError(f'{option_string} takes KEY=VALUE, got {value!r}')
        try:
            DictAction(self.option_strings, self.dest, nargs='+')(parser, namespace, values, option_string)
        except (ValueError, AssertionError, SyntaxError, IndexError) as error:
            raise UserError(f'{option_string} {" ".join(values)}: the value cannot be read: {error}') from error


def add_cfg_options(parser: argparse.ArgumentParser, of: str = 'the config') -> None:
    parser.add_argument(
        '--cfg-options', nargs='+', action=SettingsAction, metavar='KEY=VALUE',
        help=f'override settings of {of}: key.sub_key=value; lists as key="[a,b]" or key=a,b, nested lists and tuples '
        'as key="[(a,b),(c,d)]", quoted and without blanks')


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Arguments of the commands that run in several processes."""
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    # torchrun sets the environment variable, older launchers pass the argument.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def add_amp(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--amp', action='store_true', help='automatic mixed precision: float16 on a GPU, bfloat16 on a CPU, or '
        'optim_wrapper.dtype of the config')


def add_fuse_conv_bn(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--fuse-conv-bn', action='store_true',
                        help='fold every BN into the convolution before it; predictions are the same but for rounding')


def add_channels_last(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--channels-last', action='store_true',
                        help='keep maps in memory with channels last, which suits some CPUs, and GPUs with --amp')


def add_device(parser: argparse.ArgumentParser, help: str = 'where the model runs') -> None:
    parser.add_argument('--device', help=f'{help}: cpu, cuda, cuda:1, ...; the CUDA GPU if there is one, or the CPU')


def add_bands(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--bands', type=int, nargs='+', metavar='N',
                        help='channels of the image that are shown as red, green and blue, or one in grey, counted '
                        'from 0 as they are loaded (default: 2 1 0 of three or more)')


def check_bands(bands: list[int] | None) -> tuple[int, ...] | None:
    """
    Raises:
        UserError: they are not one or three numbers from 0 on.
    """
    if bands and (len(bands) not in (1, 3) or min(bands) < 0):
        raise UserError(f'--bands takes one or three numbers from 0 on, got {" ".join(map(str, bands))}')
    return tuple(bands) if bands else None


def check_device(name: str | None) -> str:
    """The device of ``--device``, or of this machine if none is given.

    Raises:
        UserError: PyTorch cannot compute on it.
    """
    import torch
    if name is None:
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        torch.zeros(1, device=name).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        reason = str(error).splitlines()[0].partition('. ')[0]
        working = ', '.join(['cpu', *(f'cuda:{i}' for i in range(torch.cuda.device_count()))])
        raise UserError(f'--device {name} does not work here: {reason[:200]}.\n  These work: {working}') from error
    return name


def check_at_least(minimum: int, **values: int | None) -> None:
    """
    Raises:
        UserError: the value of an option is smaller. None is an option that is not given.
    """
    for name, value in values.items():
        if value is not None and value < minimum:
            raise UserError(f'--{name.replace("_", "-")} must be at least {minimum}, got {value}')
