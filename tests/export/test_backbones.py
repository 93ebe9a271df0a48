"""Backbones as graphs."""

import torch
from mmengine.registry import init_default_scope
from mmseg.models.backbones import MobileNetV3
from mmseg.models.backbones.swin import ShiftWindowMSA, SwinTransformer
from torch import nn

from mmseg_attn.export.backbones import swin_of_any_batch, why_fixed
from mmseg_attn.export.tracing import free_axes, trace
from tests.helpers import randomize


class _Swin(nn.Module):
    """Both kinds of windows, on maps that are padded to whole ones."""

    def __init__(self):
        super().__init__()
        init_default_scope('mmseg')
        self.swin = randomize(SwinTransformer(embed_dims=8, depths=(2,), num_heads=(2,), strides=(4,), window_size=3,
                                              out_indices=(0,)), std=0.2)

    def forward(self, image):
        return self.swin(image)[0]


def test_takes_any_number_of_images_and_computes_the_same():
    network, plain = _Swin().eval(), ShiftWindowMSA.window_reverse
    program = trace(network, (40, 52), free_size=False)
    assert free_axes(program) == ['batch']
    for batch in 1, 3:
        x = torch.randn(batch, 3, 40, 52)
        torch.testing.assert_close(program.module()(x), network(x))
        expected = network(x)
        with swin_of_any_batch():
            assert torch.equal(network(x), expected)
    assert ShiftWindowMSA.window_reverse is plain


def test_what_is_of_one_size_is_not_traced_for_any():
    assert 'Swin pads to whole windows, in another way for every size' in why_fixed(_Swin())
    assert 'MobileNetV3' in why_fixed(MobileNetV3(arch='small'))
    assert why_fixed(nn.Conv2d(3, 3, 1)) is None
