"""What is recognised, what is refused, and what is written."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict

from mmseg_attn.checkpoints import Checkpoint, convert_checkpoint
from mmseg_attn.common.errors import UserError
from mmseg_attn.models.upsample import CARAFE
from mmseg_attn.registry import MODELS
from tests.checkpoints.test_official import build
from tests.checkpoints.weights import small_weights


@pytest.fixture
def small(golden):
    """An official network with an eighth of the channels."""
    def make(name, **kwargs):
        official = golden(f'whole_{name}')
        return Checkpoint(Path(f'{name}.pth'), small_weights(official['keys'], official['aliases']), **kwargs)
    return make


NETWORKS = {
    'emanet_r101_voc': ('emanet', 'official'), 'psanet_r50_voc': ('psanet', 'official'),
    'ccnet_r101_cityscapes': ('ccnet', 'official'), 'danet_r101_cityscapes': ('danet', 'official'),
    'ocnet_asp_r101_cityscapes': ('ocnet', 'official'), 'ocnet_base_r101_cityscapes': ('ocnet', 'official'),
    'ocnet_pyramid_r101_cityscapes': ('ocnet', 'official'), 'openseg_isanet_r101_cityscapes': ('isanet', 'openseg')}


@pytest.mark.parametrize('name', NETWORKS)
def test_sizes_are_read_off_the_weights(small, name):
    conversion = convert_checkpoint(small(name))
    assert (conversion.source.method, conversion.source.names[0]) == NETWORKS[name]
    assert conversion.overrides['model.backbone.base_channels'] == 8
    assert conversion.overrides['model.decode_head.channels'] == conversion.state_dict[
        'decode_head.conv_seg.weight'].shape[1]
    assert build(conversion).decode_head([torch.randn(1, 1, 9, 13)] * 3 + [torch.randn(1, 256, 9, 13)]).isfinite().all()


def test_the_source_can_be_said(small):
    for source in ('official', 'openseg'):
        conversion = convert_checkpoint(small('openseg_isanet_r101_cityscapes'), 'isanet', source)
        assert conversion.source.names[0] == 'openseg'


@pytest.mark.parametrize(('method', 'source', 'message'), [
    ('ccnet', None, r'not a checkpoint of ccnet .*: it looks like emanet of XiaLiPKU/EMANet'),
    (None, 'mmseg', r'not a checkpoint of .*: it looks like emanet'),
    ('emanett', None, r"no conversion for method 'emanett'.*there are .*emanet from official"),
    ('apcnet', 'official', r"no conversion for method 'apcnet' from source 'official'")])
def test_another_method_than_asked_for(small, method, source, message):
    with pytest.raises(UserError, match=message):
        convert_checkpoint(small('emanet_r101_voc'), method, source)


def test_nothing_known():
    with pytest.raises(UserError, match=r'not a checkpoint of any source known here: its 1 keys are fc\.weight'):
        convert_checkpoint(Checkpoint(Path('resnet.pth'), {'fc.weight': torch.ones(2, 2)}))


@pytest.mark.parametrize(('change', 'message'), [
    (dict(remove='layer4.2.conv3.weight'), r'1 missing: backbone\.layer4\.2\.conv3\.weight'),
    (dict(remove='head.convb.0.weight'), r'1 missing: decode_head\.out_conv\.conv\.weight'),
    (dict(add='head.another.weight'), r'1 keys that are not known: head\.another\.weight; is it a modified network'),
    (dict(add='layer3.23.conv1.weight'), r'no ResNet known here: it has \(3, 4, 24, 3\) blocks'),
    (dict(reshape='head.cca.key_conv.weight'), r'1 of another shape: decode_head\.attention\.key\.weight \(1, 1\)'),
    (dict(reshape='head.bottleneck.3.weight'), 'the classifier of the decode head is missing')])
def test_weights_that_are_not_the_networks(small, change, message):
    checkpoint = small('ccnet_r101_cityscapes')
    state = checkpoint.state_dict
    if 'remove' in change:
        del state[change['remove']]
    else:
        state[change.get('add') or change['reshape']] = torch.ones(1, 1)
    with pytest.raises(UserError, match=message):
        convert_checkpoint(checkpoint)


def test_a_query_that_is_not_the_key(small):
    checkpoint = small('ocnet_base_r101_cityscapes')
    checkpoint.state_dict['context.2.stages.0.f_query.0.weight'] += 1
    with pytest.raises(UserError, match=r'f_query\.0\.weight differs .* openseg'):
        convert_checkpoint(checkpoint)


def test_norms_of_pytorch_in_openseg(small):
    """A network of openseg's newer branch: a norm and ReLU in the place of InPlaceABN."""
    checkpoint = small('openseg_isanet_r101_cityscapes')
    norms = r'^((?:isa_head|dsn_head)\.1|.*(?:f_key|f_query)\.[13]|.*\.W\.1|.*conv_bn\.1)\.(\w+)$'
    state = {re.sub(norms, r'\1.0.\2', k): v for k, v in checkpoint.state_dict.items()}
    conversion = convert_checkpoint(Checkpoint(Path('file'), state))
    for head in 'decode_head', 'auxiliary_head':
        assert conversion.model[head]['act_cfg'] == dict(type='ReLU')
    assert torch.equal(conversion.state_dict['decode_head.in_conv.bn.weight'], state['isa_head.1.0.weight'])


@torch.no_grad()
@pytest.mark.parametrize('name', ['ccnet_r101_cityscapes', 'ocnet_base_r101_cityscapes'])
def test_the_auxiliary_head_is_the_official_convolution_with_a_bias_before_inplace_abn(small, name):
    checkpoint = small(name)
    theirs = checkpoint.state_dict
    # Weights beside which 1e-5, which the norm adds, is no small number.
    theirs['dsn.1.weight'] = 1e-5 * torch.randn_like(theirs['dsn.1.weight'])
    conversion = convert_checkpoint(checkpoint)
    head = MODELS.build(ConfigDict(conversion.model['auxiliary_head'], norm_cfg=dict(type='BN'))).eval()
    head.load_state_dict({key.removeprefix('auxiliary_head.'): value for key, value in conversion.state_dict.items()
                          if key.startswith('auxiliary_head.')})
    conv, norm, classifier = ({key.removeprefix(f'dsn.{i}.'): value.double() for key, value in theirs.items()
                               if key.startswith(f'dsn.{i}.')} for i in (0, 1, 3))
    x = torch.randn(2, conv['weight'].shape[1], 5, 7, dtype=torch.float64)
    expected = F.batch_norm(F.conv2d(x, conv['weight'], conv['bias'], padding=1), norm['running_mean'],
                            norm['running_var'], norm['weight'].abs() + 1e-5, norm['bias'], eps=1e-5)
    expected = F.conv2d(F.leaky_relu(expected, 0.01), **classifier)
    torch.testing.assert_close(head.double()([x] * 4), expected, rtol=0, atol=1e-9)


def test_a_model_without_the_auxiliary_head(small):
    conversion = convert_checkpoint(small('ccnet_r101_cityscapes'))
    model = dict(conversion.model, auxiliary_head=None)
    assert conversion.check(model, 'mine.py') == {}
    assert not any(key.startswith('auxiliary_head') for key in conversion.state_dict)
    assert any('mine.py has no auxiliary head' in why for _, why in conversion.dropped)


def test_a_model_that_does_not_fit(small):
    conversion = convert_checkpoint(small('ccnet_r101_cityscapes'))
    wrong = dict(conversion.model, backbone=dict(conversion.model['backbone'], depth=50))
    with pytest.raises(UserError, match=(
            r'mine\.py: the weights are not those of the model(.|\n)*unexpected: backbone\.layer3\.10(.|\n)*'
            r'They fit configs/official/ccnet_r101_cityscapes\.py')):
        conversion.check(wrong, 'mine.py')


def test_a_model_that_fits_but_computes_something_else(small):
    conversion = convert_checkpoint(small('ccnet_r101_cityscapes'))
    head = dict(conversion.model['decode_head'], recurrence=1, act_cfg=dict(type='ReLU'), align_corners=False)
    assert conversion.check(dict(conversion.model, decode_head=head), 'mine.py') == {
        'model.decode_head.recurrence': 2, 'model.decode_head.align_corners': True,
        'model.decode_head.act_cfg': dict(type='LeakyReLU', negative_slope=0.01)}


def test_what_is_written(small, tmp_path):
    conversion = convert_checkpoint(small('emanet_r101_voc', other_entries=['optimizer']))
    conversion.save(tmp_path / 'new' / 'out.pth', dict(classes=('a', 'b')))
    written = torch.load(tmp_path / 'new' / 'out.pth', weights_only=True)
    assert written['meta']['method'] == 'emanet'
    assert written['meta']['config'] == 'official/emanet_r101_voc.py'
    assert written['meta']['overrides'].keys() == conversion.overrides.keys()
    assert written['meta']['dataset_meta'] == dict(classes=('a', 'b'))
    assert written['state_dict'].keys() == conversion.state_dict.keys()
    build(conversion).load_state_dict(written['state_dict'])


def test_a_view_is_written_without_what_it_is_a_view_of(small, tmp_path):
    checkpoint = small('emanet_r101_voc')
    checkpoint.state_dict['fc2.bias'] = torch.zeros(10**7)[:21]
    convert_checkpoint(checkpoint).save(tmp_path / 'out.pth')
    assert (tmp_path / 'out.pth').stat().st_size < 10 * 2**20


def test_a_mask_of_another_crop(small):
    checkpoint = small('psanet_r50_voc')
    for name in 'psa.attention.3.weight', 'psa.attention_p.3.weight':
        checkpoint.state_dict[name] = torch.randn(65 * 65, *checkpoint.state_dict[name].shape[1:])
    conversion = convert_checkpoint(checkpoint)
    assert conversion.overrides['model.decode_head.mask_size'] == (65, 65)
    assert conversion.overrides['model.decode_head.crop_size'] is None


def test_several_sizes_of_an_object_context(small):
    checkpoint = small('ocnet_base_r101_cityscapes')
    state = checkpoint.state_dict
    state |= {key.replace('.stages.0.', '.stages.1.'): value for key, value in state.items() if '.stages.0.' in key}
    with pytest.raises(UserError, match=r'contexts of 2 sizes: give them as .*context_cfg\.sizes'):
        convert_checkpoint(checkpoint)
    conversion = convert_checkpoint(checkpoint, settings={'model.decode_head.context_cfg.sizes': (1, 2)})
    assert conversion.overrides['model.decode_head.context_cfg'] == dict(sizes=(1, 2))


def test_nothing_half_written(small, tmp_path, monkeypatch):
    conversion = convert_checkpoint(small('emanet_r101_voc'))
    out = tmp_path / 'out.pth'
    out.write_text('what was there')

    def full_disk(content, file):
        file.write(b'half')
        raise OSError('no space left on device')

    monkeypatch.setattr(torch, 'save', full_disk)
    with pytest.raises(OSError, match='no space left'):
        conversion.save(out)
    assert [path.name for path in tmp_path.iterdir()] == ['out.pth']
    assert out.read_text() == 'what was there'


def test_carafe_of_mmcv():
    """mmcv's CARAFEPack has these parameters, wherever it stands in a network."""
    theirs = {f'neck.upsample_modules.0.{k}': v for k, v in CARAFE(8, 2).state_dict().items()}
    theirs['neck.lateral_convs.0.conv.weight'] = torch.randn(8, 4, 1, 1)
    conversion = convert_checkpoint(Checkpoint(Path('file'), theirs))
    assert conversion.source.method == 'carafe'
    assert conversion.model is None
    assert all(torch.equal(conversion.state_dict[k], v) for k, v in theirs.items())
