"""docs/data_preparation.md, followed word for word."""

import importlib.util
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.tools.command import ROOT, environment, succeeds

PAGE = (ROOT / 'docs' / 'data_preparation.md').read_text()
LABEL = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
COLOURS = np.array([(128, 64, 128), (0, 0, 142)], np.uint8)


@pytest.mark.parametrize(('title', 'picture'), [
    ('Masks of 0 and 255', LABEL * np.uint8(255)),
    ('Colour masks', COLOURS[LABEL]),
    ('Several channels', np.stack([LABEL] * 3, axis=-1))])
def test_mending(tmp_path, title, picture):
    labels = tmp_path / 'data' / 'mine' / 'labels'
    labels.mkdir(parents=True)
    Image.fromarray(picture).save(labels / 'a.png')
    program = re.search(rf'### {title}\n+```python\n(.*?)```', PAGE, re.DOTALL)[1]
    succeeds(subprocess.run([sys.executable, '-c', program], cwd=tmp_path, capture_output=True, text=True,
                            env=environment()))
    mended = Image.open(tmp_path / 'data' / 'mine' / 'mended' / 'a.png')
    np.testing.assert_array_equal(np.array(mended), LABEL)


def _commands(tool: str) -> list[str]:
    lines = re.findall(rf'python tools/{tool} ([^\n`]*)', PAGE)
    return sorted({line.split('  ')[0].split('&&')[0].strip() for line in lines if '|' not in line})


@pytest.mark.parametrize(('tool', 'most'), [('prepare_data.py', 3), ('check_data.py', 2)])
def test_commands_and_options_exist(monkeypatch, tool, most):
    spec = importlib.util.spec_from_file_location(tool.removesuffix('.py'), ROOT / 'tools' / tool)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    commands = _commands(tool)
    assert len(commands) >= most
    for command in commands:
        monkeypatch.setattr(sys, 'argv', [tool, *shlex.split(command)])
        assert program.parse_args()


def test_options_that_are_named_exist():
    sources = ''.join((ROOT / 'tools' / tool).read_text() for tool in ('prepare_data.py', 'check_data.py'))
    named = set(re.findall(r'`(--[a-z-]+)', PAGE)) - {'--help'}
    assert len(named) >= 6
    assert all(f"'{option}'" in sources for option in named)
