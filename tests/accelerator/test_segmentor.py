"""A whole network on the accelerator: losses, and inference on whole images and in sliding windows."""

from collections.abc import Callable

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_attn.registry import MODELS
from tests.accelerator.fake_device import DEVICE, Waited, moved, on_fake_device

pytestmark = pytest.mark.slow

SIZE = (64, 96)
SLIDE = dict(mode='slide', crop_size=(32, 48), stride=(20, 30))
INFERENCES = {
    'whole': dict(mode='whole'),
    'slide': SLIDE,
    'slide-crops_per_batch': SLIDE | dict(crops_per_batch=3),
    'slide-keep_logits=False': SLIDE | dict(keep_logits=False),
    'slide-logits_device=cpu': SLIDE | dict(logits_device='cpu'),
    'slide-logits_device=cpu-keep_logits=False': SLIDE | dict(logits_device='cpu', keep_logits=False),
}
LOSSES = {
    'PixelCrossEntropyLoss': dict(type='mmseg_attn.PixelCrossEntropyLoss'),
    'PixelCrossEntropyLoss-class_weight': dict(type='mmseg_attn.PixelCrossEntropyLoss', class_weight=[1, 1, 1, 1, 2]),
}
# What makes the host wait today: for what, and why. Who mends one takes its row out: the test says so.
WAITS = {
    'slide-logits_device=cpu': ('a copy from fakegpu to cpu', 'only of CUDA it knows how not to'),
    'slide-logits_device=cpu-keep_logits=False': ('a copy from fakegpu to cpu', 'the same'),
}


def _network(test_cfg: dict, **head) -> torch.nn.Module:
    # Of four stages of one channel each: what it computes does not matter.
    return moved(MODELS.build(dict(
        type='mmseg_attn.EncoderDecoder', data_preprocessor=dict(type='SegDataPreProcessor', size=SIZE),
        backbone=dict(type='mmseg.ResNetV1c', depth=18, base_channels=4, stem_channels=4, num_stages=1, strides=(1, ),
                      dilations=(1, ), out_indices=(0, ), norm_cfg=dict(type='BN')),
        decode_head=dict(type='mmseg_attn.NLHead', in_channels=4, in_index=0, channels=8, num_classes=5,
                         norm_cfg=dict(type='BN')) | head, test_cfg=ConfigDict(test_cfg))))


def _samples(*original_sizes: tuple[int, int]) -> list[SegDataSample]:
    metas = [dict(img_shape=SIZE, pad_shape=SIZE, ori_shape=size, padding_size=(0, 0, 0, 0)) for size in original_sizes]
    labels = moved(torch.zeros(1, *SIZE, dtype=torch.long))
    return [SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=labels)) for meta in metas]


@pytest.mark.parametrize('name', INFERENCES)
def test_prediction(name):
    test_cfg = INFERENCES[name]
    network, images, samples = _network(test_cfg).eval(), moved(torch.randn(2, 3, *SIZE)), _samples(SIZE, (80, 100))

    def predict():
        with torch.no_grad():
            network.predict(images, samples)

    if _waits(name, predict):
        return
    for sample, size in zip(samples, (SIZE, (80, 100)), strict=True):
        assert sample.pred_sem_seg.data.shape == (1, *size)
        assert str(sample.pred_sem_seg.data.device) == DEVICE


@pytest.mark.parametrize('name', LOSSES)
def test_loss(name, monkeypatch):
    # mmseg's own, which waits; tests/accelerator/test_heads.py says why.
    monkeypatch.setattr('mmseg.models.decode_heads.decode_head.accuracy', lambda logits, *_, **__: logits.new_zeros(1))
    network, images = _network(dict(mode='whole'), loss_decode=LOSSES[name]).train(), moved(torch.randn(2, 3, *SIZE))
    samples = _samples(SIZE, SIZE)

    def step():
        losses = network.loss(images, samples)
        sum(value for key, value in losses.items() if 'loss' in key).backward()

    if not _waits(name, step):
        assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def _waits(name: str, function: Callable[[], None]) -> bool:
    """Whether the host waits in it, which must be so just where the table says it."""
    with on_fake_device():
        if name not in WAITS:
            function()
            return False
        with pytest.raises(Waited, match=WAITS[name][0]):
            function()
    return True
