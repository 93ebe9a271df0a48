"""Lists the configs that come with mmseg_attn, or copies some.

    mmseg-attn configs                          all that can be trained
    mmseg-attn configs 'emanet*voc*'            those whose name matches
    mmseg-attn configs emanet_r101_voc --copy my_configs

A name serves wherever a command takes a config: mmseg-attn train emanet_r18_shapes.
"""

import argparse
import ast
import shutil
from fnmatch import fnmatch
from pathlib import Path

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.shipped import config_names, configs_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('pattern', nargs='?', default='*', metavar='PATTERN',
                        help="names with *, ? and [...], or a part of them; all if not given")
    parser.add_argument('--copy', type=Path, metavar='DIR',
                        help='copy the configs there, with those they are based on, for editing')


def main(args: argparse.Namespace) -> None:
    names = matching(args.pattern)
    if not names:
        raise UserError(f'no config matches {args.pattern!r}; mmseg-attn configs lists all')
    if args.copy is None:
        print('\n'.join(name.removesuffix('.py') for name in names))
        return
    copied = copy_configs(names, args.copy)
    print(f'Copied {len(copied)} files: {", ".join(str(args.copy / name) for name in names)}'
          f'{" and what they are based on" if len(copied) > len(names) else ""}')


def matching(pattern: str) -> list[str]:
    """Names of shipped configs that match a pattern, or have it in them where it has no wildcards."""
    pattern = pattern.removeprefix('configs/').removesuffix('.py')
    names = [name.removesuffix('.py') for name in config_names()]
    found = [name for name in names if fnmatch(name, pattern)] or [name for name in names if pattern in name]
    return [f'{name}.py' for name in found]


def copy_configs(names: list[str], folder: Path) -> list[Path]:
    """Copies shipped configs and their bases, at the same places relative to each other. Returns what was copied.

    Raises:
        UserError: a file exists with another content.
    """
    from mmseg_attn.common.files import atomic_write, require_writable
    source = configs_folder().resolve()
    wanted, pending = [], [source / name for name in names]
    while pending:
        path = pending.pop()
        if path not in wanted:
            wanted.append(path)
            pending += bases_of(path)
    targets = {path: folder / path.relative_to(source) for path in wanted}
    for path, target in targets.items():
        if target.exists() and target.read_bytes() != path.read_bytes():
            raise UserError(f'{target} exists with another content: choose another folder')
    require_writable(folder)
    for path, target in targets.items():
        if not target.exists():
            with atomic_write(target) as partial:
                shutil.copyfile(path, partial)
    return list(targets.values())


def bases_of(path: Path) -> list[Path]:
    """The files that ``_base_`` of a config names."""
    for statement in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], 'id', None) == '_base_':
            names = ast.literal_eval(statement.value)
            return [(path.parent / name).resolve() for name in ([names] if isinstance(names, str) else names)]
    return []
