"""The configs that the documentation shows."""

import re
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmseg_attn.registry import MODELS

ROOT = Path(__file__).parents[2]


def test_a_config_for_data_of_your_own(tmp_path):
    example = re.search(r'## Your own.*?```python\n(.*?)```', (ROOT / 'docs' / 'datasets.md').read_text(), re.DOTALL)[1]
    path = tmp_path / 'mine.py'
    path.write_text(example.replace('/path/to/mmseg_attn', str(ROOT)))
    cfg = Config.fromfile(path)
    init_default_scope('mmseg')
    assert MODELS.build(cfg.model).decode_head.num_classes == len(cfg.train_dataloader.dataset.metainfo.classes)
    assert cfg.train_dataloader.dataset.pipeline[3].ignore_index == 255
    assert cfg.test_dataloader.dataset.data_prefix.img_path == 'images/val'
