"""What docs/data_preparation.md shows besides commands, which tests/docs runs."""

import re
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


def test_options_that_are_named_exist():
    files = [ROOT / 'mmseg_attn' / f'{name}.py' for name in ('cli/prepare_data', 'cli/check_data', 'common/arguments')]
    sources = ''.join(file.read_text() for file in files)
    named = set(re.findall(r'`(--[a-z-]+)', PAGE)) - {'--help'}
    assert len(named) >= 6
    assert all(f"'{option}'" in sources for option in named)
