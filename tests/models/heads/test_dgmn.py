"""DGMNHead passes its arguments on; there is no other head to compare with."""

import pytest
import torch

from mmseg_attn.attention import DynamicGraphMessagePassing
from mmseg_attn.models.heads import DGMNHead
from tests.helpers import randomize

COMMON = dict(num_classes=4, in_index=0, dropout_ratio=0, norm_cfg=dict(type='GN', num_groups=2))


@pytest.mark.parametrize('arguments', [
    dict(rates=(1, 2), groups=2, mode='deform'), dict(released_fourth_rate=True),
    dict(rates=(3,), groups=2, reduction=2, rigorous=False)], ids=str)
@pytest.mark.parametrize('concat_input', [False, True])
def test_is_made_of_its_parts(arguments, concat_input):
    head = randomize(DGMNHead(12, 8, concat_input=concat_input, **arguments, **COMMON)).eval()
    x = torch.randn(2, 12, 5, 7)
    block = DynamicGraphMessagePassing(8, norm_layer=head.norm_layer, **arguments).eval()
    block.load_state_dict(head.attention.state_dict())
    out = head.out_conv(block(head.in_conv(x)))
    if concat_input:
        out = head.cat_conv(torch.cat([x, out], dim=1))
    torch.testing.assert_close(head([x]), head.conv_seg(out))
