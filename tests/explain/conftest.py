import pytest

from mmseg_attn.attention.danet import ChannelAttention
from mmseg_attn.models.heads.base import AttentionHead
from mmseg_attn.registry import MODELS


@pytest.fixture
def channel_head():
    """A head whose attention is over channels."""
    class ChannelHead(AttentionHead):

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.in_conv = self.conv(self.in_channels, self.channels)
            self.attention = ChannelAttention(self.channels)

        def forward_feature(self, x):
            return self.attention(self.in_conv(x))
    MODELS.register_module('ChannelHead', module=ChannelHead)
    yield dict(type='mmseg_attn.ChannelHead')
    MODELS.module_dict.pop('ChannelHead')
