"""Imports point one way: a room imports only from the rooms below it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / 'mmseg_attn'
OPENMMLAB = {'mmcv', 'mmengine', 'mmseg'}
# From the ground up. A name is a folder or a file of the package; the package itself holds nothing but the version.
FLOORS = ['ops', 'attention', 'environment', 'registry', 'common', 'models', 'datasets', 'checkpoints', 'engine',
          'registered', 'analysis', 'explain', 'inference', 'context', 'export', 'data_tools', 'benchmark',
          'comparison', 'cli', '__main__']


def _room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix('.py')


def _imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = ('mmseg_attn', *path.relative_to(ROOT).parent.parts)
            package = '.'.join(parents[:len(parents) - node.level + 1]) + '.' if node.level else ''
            module = package + (node.module or '')
            found |= {f'{module}.{alias.name}' if module == 'mmseg_attn' else module for alias in node.names}
    return found


def _files(folder: str) -> list[Path]:
    return [path for path in sorted((ROOT / folder).rglob('*.py'))]


ALL = [path for path in sorted(ROOT.rglob('*.py')) if path != ROOT / '__init__.py' and '.mim' not in path.parts]


def test_a_room_imports_only_from_rooms_below_it():
    assert len(ALL) > 100
    for path in ALL:
        floor = FLOORS.index(_room(path))
        for name in _imports(path):
            parts = name.split('.')
            if parts[0] == 'mmseg_attn' and len(parts) > 1 and parts[1] != '__version__':
                assert FLOORS.index(parts[1]) <= floor, f'{name} lies above {path.relative_to(ROOT)}'


def test_operations_and_blocks_know_no_openmmlab():
    for path in _files('ops') + _files('attention'):
        assert not {name.split('.')[0] for name in _imports(path)} & OPENMMLAB, path


@pytest.mark.parametrize(('folder', 'common'), [('attention', 'layers'), ('models/heads', 'base')])
def test_siblings_share_only_the_common_file(folder, common):
    package = f'mmseg_attn.{folder.replace("/", ".")}'
    for path in _files(folder):
        siblings = {name for name in _imports(path) if name.startswith(f'{package}.')}
        assert path.name == '__init__.py' or siblings <= {f'{package}.{common}'}, path.name


def test_blocks_load_without_openmmlab():
    code = f'import sys, mmseg_attn.ops, mmseg_attn.attention; print(sorted({OPENMMLAB!r} & set(sys.modules)))'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == '[]\n'


def test_data_sets_are_prepared_without_openmmlab():
    code = ('import pkgutil, sys, mmseg_attn.data_tools.annotations as annotations\n'
            'for name in "camvid", "cityscapes", "voc": __import__(f"mmseg_attn.data_tools.{name}")\n'
            'for module in pkgutil.iter_modules(annotations.__path__, annotations.__name__ + "."): '
            '__import__(module.name)\n'
            'print(sorted({"torch", "mmcv", "mmengine", "mmseg"} & set(sys.modules)))')
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == '[]\n'


def test_help_loads_nothing_slow():
    code = ('import sys, mmseg_attn.cli as cli\n'
            'for name in cli.COMMANDS: __import__(f"mmseg_attn.cli.{name}")\n'
            'print(sorted({"torch", "numpy", "mmengine", "rich"} & set(sys.modules)))')
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == '[]\n'
