"""The commands: ``mmseg-attn COMMAND ...``, ``python -m mmseg_attn COMMAND ...`` or ``tools/COMMAND.py ...``.

One module for each, with its help as the docstring, ``add_arguments(parser)`` and ``main(args)``. Its top imports
nothing that is slow, so that help is fast.
"""

import argparse
import difflib
import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import NoReturn

from mmseg_attn import __version__
from mmseg_attn.common.errors import EXIT_CODE, readable_errors

COMMANDS = (
    'train', 'test', 'infer', 'explore_attention', 'explore_dataset', 'export', 'compare', 'benchmark', 'get_flops',
    'check_data', 'prepare_data', 'convert_checkpoint', 'configs')
WITHOUT_OPENMMLAB = 'prepare_data', 'configs'
WITHOUT_CHECKPOINTS = *WITHOUT_OPENMMLAB, 'check_data', 'get_flops'


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console command ``mmseg-attn``."""
    with readable_errors():
        _dispatch(sys.argv[1:] if arguments is None else arguments)


def _dispatch(arguments: Sequence[str]) -> NoReturn:
    name, *rest = arguments or ['--help']
    if name in ('-h', '--help'):
        print(_help(), flush=True)
        sys.exit()
    if name == '--version':
        print(f'mmseg_attn {__version__}')
        sys.exit()
    command = name.replace('-', '_')
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f'did you mean {close[0]}?' if close else f'there are {", ".join(COMMANDS)}'
        print(f'error: there is no command {name!r}: {hint}', file=sys.stderr)
        sys.exit(EXIT_CODE)
    run_command(command, rest, prog=f'mmseg-attn {command}')


def run_command(name: str, arguments: Sequence[str] | None = None, prog: str | None = None) -> NoReturn:
    """Runs a command and ends the process with its exit code.

    Args:
        name: one of :data:`COMMANDS`.
        arguments: those of the process by default.
        prog: what its usage calls it; the script by default.
    """
    # A log that cannot be written, because the disk is full, is told once, where something else is written.
    logging.raiseExceptions = False
    with readable_errors():
        args = parse(name, arguments, prog)
        if name not in WITHOUT_OPENMMLAB:
            from mmseg_attn.environment import require_openmmlab
            require_openmmlab()
        with nullcontext() if name in WITHOUT_CHECKPOINTS else _loading_without_code(args):
            sys.exit(import_module(f'{__name__}.{name}').main(args) or 0)


@contextmanager
def _loading_without_code(args: argparse.Namespace) -> Iterator[None]:
    from mmseg_attn.checkpoints.pretrained import check_pretrained_weights
    from mmseg_attn.checkpoints.strict_loading import use_strict_loading, weights_only
    use_strict_loading()
    check_pretrained_weights()
    with nullcontext() if getattr(args, 'allow_pickle', False) else weights_only():
        yield


def parse(name: str, arguments: Sequence[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    """The arguments of a command; ``command`` among them is what can be typed to run it again."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    args = parser_of(name, prog).parse_args(arguments)
    args.command = shlex.join(['mmseg-attn', name, *arguments])
    return args


def parser_of(name: str, prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of a command. See :func:`run_command`."""
    command = import_module(f'{__name__}.{name}')
    parser = argparse.ArgumentParser(prog, description=command.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_arguments(parser)
    return parser


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f'  {name:{width}}  {import_module(f"{__name__}.{name}").__doc__.splitlines()[0]}' for name in COMMANDS]
    return '\n'.join([
        'usage: mmseg-attn COMMAND ...\n', 'Attention heads for MMSegmentation.\n', *lines,
        '\nmmseg-attn COMMAND --help tells about a command, mmseg-attn --version the version.'])
