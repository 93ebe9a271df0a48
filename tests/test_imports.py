"""Imports point one way: configs --strings--> heads -> attention -> ops -> torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / 'mmseg_attn'
OPENMMLAB = {'mmcv', 'mmengine', 'mmseg'}


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = '.'.join(('mmseg_attn', *path.relative_to(ROOT).parent.parts)) + '.' if node.level else ''
            found.add(package + (node.module or ''))
    return found


def _files(folder: str) -> list[Path]:
    return [path for path in sorted((ROOT / folder).glob('*.py')) if path.name != '__init__.py']


@pytest.mark.parametrize('path', _files('ops') + _files('attention'), ids=lambda p: f'{p.parent.name}/{p.name}')
def test_operations_and_blocks_know_only_torch(path):
    allowed = {'ops': {'mmseg_attn.ops'}, 'attention': {'mmseg_attn.ops', 'mmseg_attn.attention'}}[path.parent.name]
    for name in _imports(path):
        assert name.split('.')[0] not in OPENMMLAB, name
        if name.startswith('mmseg_attn'):
            assert '.'.join(name.split('.')[:2]) in allowed, name


@pytest.mark.parametrize('folder', ['attention', 'heads'])
def test_siblings_share_only_the_common_file(folder):
    common = {'attention': 'layers', 'heads': 'base'}[folder]
    for path in _files(folder):
        siblings = {name for name in _imports(path) if name.startswith(f'mmseg_attn.{folder}.')}
        assert siblings <= {f'mmseg_attn.{folder}.{common}'}, path.name


@pytest.mark.parametrize('module', ['mmseg_attn', 'mmseg_attn.ops', 'mmseg_attn.attention'])
def test_blocks_load_without_openmmlab(module):
    code = f'import sys, {module}; print(sorted({OPENMMLAB!r} & set(sys.modules)))'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == '[]\n'
