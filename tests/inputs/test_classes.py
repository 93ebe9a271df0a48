"""Classes of data sets and of heads that do not go together, and those that do."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_attn.common.errors import UserError
from mmseg_attn.datasets.class_checks import SPLITS, check_classes, classes_of_dataset

FOLDER = Path(__file__).parents[2] / 'configs'
METRIC = dict(type='IoUMetric')


@DATASETS.register_module()
class NamesOfItsOwn(BaseSegDataset):
    """Knows its classes only when it is built."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs, metainfo=dict(classes=('a', 'b')))


def _config(train=('a', 'b'), val=('a', 'b'), test=('a', 'b'), **head) -> Config:
    init_default_scope('mmseg')
    loaders = {f'{split}_dataloader': dict(dataset=dict(type='BaseSegDataset', metainfo=dict(classes=classes)))
               for split, classes in zip(SPLITS, (train, val, test), strict=True)}
    return Config(dict(model=dict(decode_head=dict(dict(type='FCNHead', num_classes=2), **head)), **loaders,
                       val_evaluator=METRIC, test_evaluator=METRIC))


# The others share their data sets; the full run takes all.
@pytest.mark.parametrize('path', [
    pytest.param(path, marks=() if path.parent != FOLDER or path.stem.startswith('emanet') else pytest.mark.slow)
    for pattern in ('*.py', 'official/*.py', 'recipes/*.py') for path in sorted(FOLDER.glob(pattern))],
    ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_false_alarm(path, tmp_path):
    cfg = Config.fromfile(path, import_custom_modules=False)
    if not cfg.get('model'):
        pytest.skip('a recipe is laid over a config')
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    for split in SPLITS:
        if str(cfg[f'{split}_dataloader'].dataset.get('type')).endswith('ContextShapesDataset'):
            # In a folder of other content it draws no images. Its class says what the classes are.
            (tmp_path / 'shapes').mkdir(exist_ok=True)
            (tmp_path / 'shapes' / 'other.txt').touch()
            cfg[f'{split}_dataloader'].dataset.data_root = str(tmp_path / 'shapes')
        assert classes_of_dataset(cfg[f'{split}_dataloader'].dataset)
    check_classes(cfg, 'train_dataloader', 'val_dataloader')
    check_classes(cfg, 'test_dataloader')


@pytest.mark.parametrize('cfg', [
    _config(num_classes=2, out_channels=1), _config(num_classes=1), _config(('a',), ('a',), ('a',), num_classes=1),
    _config(val=('c', 'd'), test=['a', 'b']), _config(num_classes=None)])
def test_what_goes_together(cfg):
    check_classes(cfg, 'train_dataloader', 'val_dataloader')


def test_classes_of_a_data_set_class_of_ones_own():
    cfg = _config()
    for split in SPLITS:
        cfg[f'{split}_dataloader'].dataset = dict(type='NamesOfItsOwn')
    check_classes(cfg, 'train_dataloader', 'val_dataloader')


@pytest.mark.parametrize(('cfg', 'loaders', 'message'), [
    (_config(num_classes=3), ['train'], r'num_classes=3, and train_dataloader.dataset has 2 classes.\n  Set model'),
    (_config(val='abc'), ['train', 'val'], r'val_dataloader.dataset has 3 classes.\n  Predictions are numbers'),
    (_config(test='abc'), ['train', 'val'], 'test_dataloader.dataset has 3 classes'),
    (_config(test='abc'), ['test'], 'test_dataloader.dataset has 3 classes'),
    (_config(val='ba'), ['train', 'val'], 'val_dataloader.dataset has the classes of .* order: 0 is b in this, and a'),
    (_config(test='ba'), ['test'], 'test_dataloader.dataset has the classes of .* in another order'),
    (_config(test=None), ['test'], 'test_dataloader.dataset has no classes, which test_evaluator counts by')])
def test_what_does_not(cfg, loaders, message):
    for split in SPLITS:
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.metainfo = {key: list(value) for key, value in dataset.metainfo.items() if value}
    with pytest.raises(UserError, match=message):
        check_classes(cfg, *(f'{name}_dataloader' for name in loaders))
