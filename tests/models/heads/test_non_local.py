"""NLHead against mmseg's head with copied weights."""

import pytest
import torch
from mmseg.models import NLHead as MMSegNLHead

from mmseg_attn.checkpoints.sources.mmseg import NON_LOCAL as MMSEG
from mmseg_attn.models.heads import NLHead
from tests.helpers import GOLDEN, randomize, rename

COMMON = dict(num_classes=4, in_index=0, dropout_ratio=0, norm_cfg=dict(type='BN'))


@pytest.mark.parametrize('concat_input', [False, True])
@pytest.mark.parametrize('mode', ['embedded_gaussian', 'dot_product'])
@pytest.mark.parametrize('use_scale', [False, True])
def test_non_local_of_mmseg(concat_input, mode, use_scale):
    arguments = dict(mode=mode, use_scale=use_scale, concat_input=concat_input, **COMMON)
    theirs = randomize(MMSegNLHead(in_channels=12, channels=8, **arguments)).eval()
    ours = NLHead(12, 8, **arguments).eval()
    torch.nn.init.zeros_(ours.attention.out_conv.bias)  # mmcv has none before its norm
    ours.load_state_dict(rename(theirs.state_dict(), MMSEG)
                         | {'attention.out_conv.bias': ours.attention.out_conv.bias.data})
    x = [torch.randn(2, 12, 9, 13)]
    torch.testing.assert_close(ours(x), theirs(x), **GOLDEN)
