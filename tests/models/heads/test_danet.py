"""DAHead against the official code and mmseg's head with copied weights."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models import DAHead as MMSegDAHead
from mmseg.structures import SegDataSample

from mmseg_attn.checkpoints.sources.danet import HEAD as OFFICIAL
from mmseg_attn.checkpoints.sources.mmseg import DANET as MMSEG
from mmseg_attn.models.heads import DAHead
from tests.helpers import GOLDEN, assert_matches_golden, randomize, rename

COMMON = dict(num_classes=4, in_index=0, pam_channels=3, norm_cfg=dict(type='BN'))


def test_danet_output_and_gradients(golden):
    official = golden('danet_head')
    official['output'] = torch.cat(official['output'])
    official['grad']['cotangent'] = torch.cat(official['grad']['cotangent'])
    config = official['config']
    head = DAHead(config['in_channels'], config['inter_channels'], num_classes=config['out_channels'], in_index=0,
                  norm_cfg=dict(type='BN'))
    assert_matches_golden(head, official, OFFICIAL, call=lambda head, x: torch.cat(head.all_logits([x])))
    x = [official['input'].double()]
    assert torch.equal(head(x), head.all_logits(x)[0])


def _of_mmseg(**kwargs):
    theirs = randomize(MMSegDAHead(in_channels=12, channels=8, **COMMON, **kwargs))
    weights = {k: v.reshape(1) if k.endswith('gamma.scale') else v for k, v in theirs.state_dict().items()}
    ours = DAHead(12, 8, **COMMON, **kwargs)
    ours.load_state_dict(rename(weights, MMSEG))
    return ours, theirs


@pytest.mark.parametrize('training', [False, True])
def test_danet_of_mmseg(training):
    ours, theirs = (head.train(training) for head in _of_mmseg(dropout_ratio=0))
    x = [torch.randn(2, 12, 9, 13)]
    torch.testing.assert_close(ours.all_logits(x), theirs(x), **GOLDEN)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 4, (1, 36, 52)))) for _ in range(2)]
    losses = [head.loss(x, samples, None) for head in (ours, theirs)]
    assert losses[0].keys() == {f'{output}.{name}' for output in ('pam_cam', 'pam', 'cam')
                                for name in ('loss_ce', 'acc_seg')}
    torch.testing.assert_close(*losses, **GOLDEN)
    for loss in losses:
        sum(value for name, value in loss.items() if 'loss' in name).backward()
    gradients = rename({k: p.grad for k, p in theirs.named_parameters()}, MMSEG)
    assert gradients.keys() == {k for k, _ in ours.named_parameters()}
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours.get_parameter(name).grad, gradient.reshape_as(ours.get_parameter(name)),
                                   **GOLDEN, msg=name)
    metas = [dict(img_shape=(36, 52))] * 2
    torch.testing.assert_close(*(head.predict(x, metas, None) for head in (ours, theirs)), **GOLDEN)


def test_every_classifier_has_dropout():
    head = DAHead(12, 8, dropout_ratio=1.0, **COMMON)
    for logits, conv in zip(head([torch.randn(2, 12, 9, 13)]),
                            (head.conv_seg, head.position_conv_seg, head.channel_conv_seg), strict=True):
        torch.testing.assert_close(logits, conv.bias[:, None, None].expand_as(logits))


def test_side_classifiers_rest_in_evaluation():
    head = DAHead(12, 8, **COMMON).eval()
    for conv in (head.position_conv_seg, head.channel_conv_seg):
        conv.register_forward_hook(lambda *_: pytest.fail('a side classifier was called'))
    x = [torch.randn(2, 12, 9, 13)]
    assert head(x).shape == (2, 4, 9, 13)
    assert head.predict(x, [dict(img_shape=(36, 52))] * 2, None).shape == (2, 4, 36, 52)


@pytest.mark.parametrize('where', ['upsample_features', 'upsample_logits'])
def test_all_three_outputs_are_upsampled(where):
    up = dict(type='bilinear', scale_factor=2)
    head = DAHead(12, 8, **COMMON, out_channels=4, dropout_ratio=0, **{where: up})
    plain = DAHead(12, 8, **COMMON, dropout_ratio=0)
    plain.load_state_dict(head.state_dict())
    x = [torch.randn(2, 12, 9, 13)]
    for logits, low in zip(head(x), plain(x), strict=True):
        assert logits.shape == (2, 4, 18, 26)
        # Bilinear interpolation and a 1 x 1 convolution can change places.
        expected = torch.nn.functional.interpolate(low, scale_factor=2, mode='bilinear', align_corners=False)
        torch.testing.assert_close(logits, expected, **GOLDEN)
