"""Every block of Python in the documentation: compiled, and loaded as a config or run."""

import re
import shutil
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from mmseg_attn.checkpoints.model import build_empty
from mmseg_attn.common.config_checks import check_config
from tests.backbones import require_backbone
from tests.tools.command import ROOT

from .coverage import SHOWN, how_block
from .pages import WRITTEN, Block, all_blocks, blocks
from .small import run, write_files

ALL = all_blocks()
# What a block takes as given.
BEFORE = {('README.md', 1): 'import torch\nx, points = torch.randn(1, 512, 5, 6), torch.tensor([[0, 0], [4, 5]])\n'}


def _is_config(block: Block) -> bool:
    return '_base_ =' in block.code or ('model = dict(' in block.code and 'import ' not in block.code) or (
        block.code.startswith('custom_imports'))


# The head of that page exists in a copy only, where test_commands.py trains it.
CONFIGS = [block for block in ALL if _is_config(block) and how_block(block) is None
           and block.page != 'docs/adding_a_method.md']
PROGRAMS = [block for block in ALL if not _is_config(block) and not block.file and how_block(block) is None]


def test_blocks_are_found():
    text = '```python\n# a/b.py, before C\nd\n```\n\n```bash\n# e.py\n```\n```python\n# just a comment.py here\n```\n'
    text += '```markdown\n<!-- f/g.md -->\n# h\n```\n'
    python, written = [('a/b.py', 'before C'), (None, None)], [('f/g.md', None)]
    assert [(block.file, block.where) for block in blocks('page.md', text)] == python
    assert [(block.file, block.where) for block in blocks('page.md', text, WRITTEN)] == python + written


@pytest.mark.parametrize('block', ALL, ids=str)
def test_compiles(block):
    compile(block.code, str(block), 'exec')


@pytest.mark.parametrize('block', [block for block in ALL if how_block(block) not in (None, SHOWN)], ids=str)
def test_the_tests_that_are_named_exist(block):
    file, _, name = how_block(block).partition('::')
    assert re.search(rf'^def {name}\(', (ROOT / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize('block', CONFIGS, ids=str)
def test_a_config_can_be_loaded(block, tmp_path):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    write_files(tmp_path, block.page)
    if not block.file:
        (tmp_path / 'config.py').write_text(block.code)
    cfg = Config.fromfile(tmp_path / (block.file or 'config.py'))
    if 'backbone' in cfg.get('model', {}):
        init_default_scope('mmseg')
        require_backbone(cfg.model.backbone)
        check_config(cfg)
        cfg.model.pretrained = None
        model = build_empty(cfg.model)
        if model.with_auxiliary_head:
            assert model.decode_head.num_classes == model.auxiliary_head.num_classes


# What the programs of these pages look at: a photograph, by a network of this config.
STREETS = {'docs/seeing_attention.md': 'emanet_r18_camvid', 'docs/multi_scale.md': 'emanet_r18_mscale_shapes'}


@pytest.fixture
def street(repository, trained) -> Callable[[str], None]:
    """`street(page)` writes config.py, checkpoint.pth and street.jpg where the page is followed."""
    def write(page: str) -> None:
        folder, config = repository(page), f'{STREETS[page]}.py'
        made = trained(page, f'configs/{config}')
        shutil.copy(made / config, folder / 'config.py')
        shutil.copy(made / 'iter_2.pth', folder / 'checkpoint.pth')
        picture = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
        Image.fromarray(picture).save(folder / 'street.jpg')
    return write


@pytest.mark.slow
@pytest.mark.parametrize('block', PROGRAMS, ids=str)
def test_runs(block, repository, street):
    code = BEFORE.get((block.page, block.number), '') + block.code
    if block.page in STREETS:
        street(block.page)
        if find_spec('pytorch_grad_cam') is None:
            code = re.sub(r'^grad_cam\(.*\n', '', code, flags=re.MULTILINE)
    run(['python', '-c', code], repository(block.page))
