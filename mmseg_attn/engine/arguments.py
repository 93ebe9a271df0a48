"""Arguments that the tools share."""

import argparse
import os

import torch
from mmengine.config import DictAction

from .errors import UserError


class SettingsAction(DictAction):
    """mmengine's, for ``--cfg-options``, with an error that tells what is wrong."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: list[str],
                 option_string: str | None = None) -> None:
        try:
            super().__call__(parser, namespace, values, option_string)
        except ValueError as error:
            raise UserError(f'{option_string} takes KEY=VALUE: {error}') from error


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of train.py and test.py."""
    parser.add_argument(
        '--cfg-options', nargs='+', action=SettingsAction, metavar='KEY=VALUE',
        help='override settings of the config: key.sub_key=value; lists as key="[a,b]" or key=a,b, nested lists and '
        'tuples as key="[(a,b),(c,d)]", quoted and without blanks')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    # torchrun sets the environment variable, older launchers pass the argument.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def check_device(name: str) -> None:
    """
    Raises:
        UserError: PyTorch cannot compute on the device of ``--device`` here.
    """
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f'--device {name} does not work here: {str(error).splitlines()[0]}') from error
