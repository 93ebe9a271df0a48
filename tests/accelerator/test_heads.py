"""Every head on the accelerator: forward, loss, backward and prediction."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from tests.accelerator.fake_device import DEVICE, PRECISIONS, moved, on_fake_device
from tests.accelerator.test_blocks import MAPS_THAT_NEED_NUMBERS
from tests.attention.blocks import HEADS as SMALL
from tests.attention.blocks import HEADS_OF
from tests.models.heads.variants import VARIANTS, build_head, stage_features

pytestmark = pytest.mark.slow

WITHOUT_MAP = {name for stem in MAPS_THAT_NEED_NUMBERS for name in HEADS_OF[stem]}
FIRST = [(name, SMALL[name][0]) for name in SMALL]
# As the blocks: all under autocast, one of each head in float32.
CASES = [(*case, precision) for precision, cases in (('autocast', VARIANTS), ('float32', FIRST)) for case in cases]


def _samples() -> list[SegDataSample]:
    labels = moved(torch.randint(0, 5, (1, 72, 104)))
    return [SegDataSample(gt_sem_seg=PixelData(data=labels)) for _ in range(2)]


@pytest.mark.parametrize(('name', 'variant', 'precision'), CASES, ids=str)
def test_a_step_of_training_and_a_prediction(name, variant, precision, monkeypatch):
    # It counts right pixels by an index of booleans. mmseg's heads all do.
    monkeypatch.setattr('mmseg.models.decode_heads.decode_head.accuracy', lambda logits, *_, **__: logits.new_zeros(1))
    head, features, samples = moved(build_head(name, variant)), [moved(x) for x in stage_features()], _samples()
    metas = [dict(img_shape=(70, 100), pad_shape=(72, 104))] * 2
    with on_fake_device():
        with PRECISIONS[precision]():
            losses = head.train().loss(features, samples, None)
        sum(value for key, value in losses.items() if 'loss' in key).backward()
        with torch.no_grad(), PRECISIONS[precision]():
            logits = head.eval().predict(features, metas, None)
    assert (str(logits.device), logits.shape) == (DEVICE, (2, 5, 72, 104))
    for key, parameter in head.named_parameters():
        assert parameter.grad is not None or not parameter.requires_grad, key


@pytest.mark.parametrize(('name', 'variant'), [case for case in FIRST if case[0] not in WITHOUT_MAP], ids=str)
def test_attention_map(name, variant):
    head, features = moved(build_head(name, variant)).eval(), [moved(x) for x in stage_features()]
    with on_fake_device(may_wait=True):
        weights = head.attention_map(features, torch.tensor([[0, 0], [8, 12]]))
    assert (str(weights.device), weights.shape, weights.dtype) == (DEVICE, (2, 2, 9, 13), torch.float32)
