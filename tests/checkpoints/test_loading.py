import pytest
import torch

from mmseg_attn.common.errors import UserError
from mmseg_attn.explain import load_model
from tests.explain.models import config, model


@pytest.fixture
def files(tmp_path):
    """A config, and weights of its model as mmengine saves them."""
    cfg = config()
    cfg.dump(tmp_path / 'config.py')
    torch.save(dict(state_dict=model().state_dict(), meta=dict(
        dataset_meta=dict(classes=tuple('abcde'), palette=[[i, i, i] for i in range(5)]))), tmp_path / 'weights.pth')
    return tmp_path


def _change(files, change):
    content = torch.load(files / 'weights.pth', weights_only=True)
    change(content)
    torch.save(content, files / 'weights.pth')
    return files / 'config.py', files / 'weights.pth'


def test_weights_classes_and_colours_are_the_checkpoints(files):
    loaded = load_model(files / 'config.py', files / 'weights.pth')
    weights = torch.load(files / 'weights.pth', weights_only=True)['state_dict']
    assert all(torch.equal(value, weights[name]) for name, value in loaded.state_dict().items())
    assert loaded.dataset_meta == dict(classes=list('abcde'), palette=[(i, i, i) for i in range(5)])
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_classes_of_the_configs_data(files):
    loaded = load_model(*_change(files, lambda content: content.pop('meta')))
    assert loaded.dataset_meta['classes'][-1] == 'key'


def test_classes_that_the_config_gives_its_data(files):
    cfg = config()
    cfg.test_dataloader.dataset.metainfo = dict(classes=tuple('vwxyz'))
    cfg.dump(files / 'config.py')
    loaded = load_model(*_change(files, lambda content: content.pop('meta')))
    assert loaded.dataset_meta['classes'] == list('vwxyz')


def test_classes_that_do_not_fit_are_numbered(files):
    loaded = load_model(*_change(files, lambda content: content['meta']['dataset_meta'].update(classes=('a', 'b'))))
    assert loaded.dataset_meta['classes'][1:3] == ['class 1', 'class 2']


def test_the_auxiliary_head_does_not_matter(files):
    def change(content):
        content['state_dict']['auxiliary_head.conv.weight'] = torch.zeros(1)
    load_model(*_change(files, change))


@pytest.mark.parametrize(('change', 'message'), [
    (lambda weights: weights.pop('decode_head.attention.query.weight'), '1 missing: decode_head.attention.query'),
    (lambda weights: weights.update(other=torch.zeros(1)), '1 unexpected: other'),
    (lambda weights: weights.update({'decode_head.conv_seg.bias': torch.zeros(3)}),
     r'decode_head.conv_seg.bias \(3,\) instead of \(5,\)')])
def test_weights_of_another_model(files, change, message):
    with pytest.raises(UserError, match=message):
        load_model(*_change(files, lambda content: change(content['state_dict'])))


def test_missing_files(files):
    with pytest.raises(UserError, match='there is no config file'):
        load_model(files / 'no.py', files / 'weights.pth')
    with pytest.raises(UserError, match='there is no checkpoint'):
        load_model(files / 'config.py', files / 'no.pth')


def test_a_model_that_cannot_be_built(files):
    with pytest.raises(UserError, match='cannot be built'):
        load_model(files / 'config.py', files / 'weights.pth', options={'model.decode_head.mode': 'nonsense'})


def test_options(files):
    loaded = load_model(files / 'config.py', files / 'weights.pth', options={'model.decode_head.dropout_ratio': 0.25})
    assert loaded.decode_head.dropout_ratio == 0.25
