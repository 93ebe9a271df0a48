"""EMAHead against the official code and mmseg's head with copied weights."""

import pytest
import torch
from mmseg.models import EMAHead as MMSegEMAHead

from mmseg_attn.checkpoints.sources.emanet import HEAD as OFFICIAL
from mmseg_attn.checkpoints.sources.mmseg import EMANET as MMSEG
from mmseg_attn.models.heads import EMAHead
from tests.helpers import GOLDEN, assert_matches_golden, randomize, rename


def _official_head(golden):
    config = golden['config']
    return EMAHead(
        config['in_channels'], config['channels'], num_classes=config['num_classes'], in_index=0, dropout_ratio=0,
        ema_channels=config['ema_channels'], num_bases=config['num_bases'],
        norm_cfg=dict(type='BN', momentum=config['bn_momentum']))


def test_emanet_output_and_gradients(golden):
    official = golden('emanet_head')
    assert_matches_golden(_official_head(official), official, OFFICIAL, call=lambda head, x: head([x]))


def test_emanet_training_step(golden):
    official = golden('emanet_head')
    step = official['train_step']
    head = _official_head(official)
    head.load_state_dict(rename(official['state_dict'], OFFICIAL))
    torch.testing.assert_close(head.train()([step['input']]), step['output'], **GOLDEN)
    torch.testing.assert_close(head.attention.bases, step['mu_after'], **GOLDEN)
    for name, value in rename(step['bn_running_after'], OFFICIAL).items():
        torch.testing.assert_close(head.state_dict()[name], value, **GOLDEN)


COMMON = dict(num_classes=4, in_index=0, dropout_ratio=0, norm_cfg=dict(type='BN'))


@pytest.mark.parametrize('concat_input', [False, True])
def test_emanet_of_mmseg(concat_input):
    arguments = dict(ema_channels=8, num_bases=6, num_stages=3, concat_input=concat_input, **COMMON)
    theirs = randomize(MMSegEMAHead(in_channels=12, channels=8, **arguments))
    ours = EMAHead(12, 8, renormalize_bases=True, **arguments)
    ours.load_state_dict(rename(theirs.state_dict(), MMSEG))
    x = [torch.randn(2, 12, 9, 13)]
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), **GOLDEN)
    for _ in range(2):
        outputs = [head.train()(x) for head in (ours, theirs)]
        torch.testing.assert_close(*outputs, **GOLDEN)
        for out in outputs:
            out.square().mean().backward()
        torch.testing.assert_close(ours.attention.bases, theirs.ema_module.bases, **GOLDEN)
    gradients = rename({k: p.grad for k, p in theirs.named_parameters() if p.grad is not None}, MMSEG)
    assert gradients.keys() == {k for k, p in ours.named_parameters() if p.grad is not None}
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours.get_parameter(name).grad, gradient, **GOLDEN, msg=name)
