"""APCHead against the official code, which is mmseg's head, and against mmseg's head with copied weights."""

import pytest
import torch
from mmseg.models import APCHead as MMSegAPCHead

from mmseg_attn.checkpoints.sources.mmseg import apcnet_names
from mmseg_attn.models.heads import APCHead
from tests.helpers import assert_matches_golden, randomize, rename

OFFICIAL = apcnet_names(4)
COMMON = dict(num_classes=5, in_index=0, dropout_ratio=0, norm_cfg=dict(type='BN'))


@pytest.mark.parametrize('fusion', [True, False])
def test_official_output_and_gradients(golden, fusion):
    official = golden('apcnet_head' if fusion else 'apcnet_head_nofusion')
    head = APCHead(24, 12, fusion=fusion, **COMMON)
    assert_matches_golden(head, official, OFFICIAL, call=lambda head, x: head([x]))


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('arguments', [dict(), dict(pool_scales=(2, 5), fusion=False), dict(norm_cfg=None),
                                       dict(act_cfg=dict(type='LeakyReLU', negative_slope=0.01))], ids=str)
def test_head_of_mmseg(arguments, training):
    arguments = COMMON | arguments
    theirs = randomize(MMSegAPCHead(in_channels=12, channels=8, **arguments)).double().train(training)
    ours = APCHead(12, 8, **arguments).double().train(training)
    names = {k: v for k, v in OFFICIAL.items() if arguments['norm_cfg'] or '.bn' not in k}
    ours.load_state_dict(rename(theirs.state_dict(), names))
    x = torch.randn(3, 12, 5, 9, dtype=torch.float64)  # fewer rows than the 6 of the largest pool scale
    outputs = [head([x]) for head in (ours, theirs)]
    torch.testing.assert_close(*outputs)
    for out in outputs:
        out.square().mean().backward()
    gradients = rename({k: p.grad for k, p in theirs.named_parameters()}, names)
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], msg=lambda m, n=name: f'{n}: {m}')
    statistics = rename(theirs.state_dict(), names)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, statistics[name])


def test_attention_map_is_the_mean_of_the_scales():
    head = randomize(APCHead(12, 8, **COMMON)).eval()
    x, points = torch.randn(2, 12, 9, 7), torch.tensor([[0, 0], [8, 6]])
    expected = sum(block.attention_map(x, points) for block in head.attention) / 4
    torch.testing.assert_close(head.attention_map([x], points), expected)


@pytest.mark.parametrize('pool_scales', [(), 1, (2, 0), '12'])
def test_wrong_arguments(pool_scales):
    with pytest.raises(ValueError, match='pool_scales must be a sequence of positive integers'):
        APCHead(12, 8, pool_scales=pool_scales, **COMMON)
