"""The config of docs/your_own_data.md, with other classes than CamVid's."""

from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmseg_attn.data_tools.settings_check import check_settings
from mmseg_attn.registry import MODELS
from tests.docs.pages import blocks

ROOT = Path(__file__).parents[2]


def test_a_config_for_data_of_your_own(tmp_path):
    example = next(block.code for block in blocks('', (ROOT / 'docs' / 'your_own_data.md').read_text())
                   if block.file == 'street.py')
    names = example[example.index('classes = ('):example.index('\nignored')]
    for old, new in ((names, "classes = ('road', 'car', 'other')"), ('ignored = 11', 'ignored = 255'),
                     ('configs/', f'{ROOT}/configs/')):
        assert old in example
        example = example.replace(old, new)
    (tmp_path / 'street.py').write_text(example)
    cfg = Config.fromfile(tmp_path / 'street.py')
    assert cfg.train_dataloader.dataset.pipeline[3].ignore_index == 255
    assert cfg.test_dataloader.dataset.data_prefix.img_path == 'test'
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.type == 'BaseSegDataset'
        assert dataset.ignore_index == 255
        assert dataset.metainfo.classes == ('road', 'car', 'other')
    assert check_settings(cfg, [], []) == []  # heads, padding and evaluators ignore the same
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model)
    assert model.decode_head.num_classes == model.auxiliary_head.num_classes == 3
    assert model.decode_head.ignore_index == model.auxiliary_head.ignore_index == 255
