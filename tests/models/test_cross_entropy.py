"""The loss of the official codes is PyTorch's mean."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.structures.sampler import OHEMPixelSampler

from mmseg_attn.models import PixelCrossEntropyLoss


def _pixels(num_classes=4, ignored=255):
    logits = (3 * torch.randn(2, num_classes, 9, 7, dtype=torch.float64)).requires_grad_()
    label = torch.randint(0, num_classes, (2, 9, 7))
    label[:, 2:5, 1:4] = ignored
    return logits, label


@pytest.mark.parametrize('ignored', [255, 1, -100])
@pytest.mark.parametrize('class_weight', [None, [0.5, 1.0, 2.0, 0.1]])
def test_is_the_mean_of_pytorch(class_weight, ignored):
    logits, label = _pixels(ignored=ignored)
    expected = F.cross_entropy(logits, label, class_weight and logits.new_tensor(class_weight), ignore_index=ignored)
    loss = PixelCrossEntropyLoss(class_weight, loss_weight=0.4)(logits, label, ignore_index=ignored)
    torch.testing.assert_close(loss, 0.4 * expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, logits)[0] for value in (loss, 0.4 * expected)))


def test_is_the_mean_of_the_hard_pixels():
    """OHEM as in CCNet's loss: at least ``kept`` pixels, all below the threshold, and their mean."""
    logits, label = _pixels()
    kept = 30
    probability = logits.softmax(1).gather(1, label.where(label != 255, 0)[:, None])[:, 0][label != 255]
    losses = F.cross_entropy(logits, label, reduction='none', ignore_index=255)[label != 255]
    threshold = max(probability.sort().values[kept].item(), 0.3)
    expected = losses[probability < threshold].mean()
    head = type('Head', (), dict(ignore_index=255, loss_decode=PixelCrossEntropyLoss()))
    weight = OHEMPixelSampler(head, thresh=0.3, min_kept=kept // 2).sample(logits, label[:, None])
    torch.testing.assert_close(PixelCrossEntropyLoss()(logits, label, weight), expected)


@pytest.mark.parametrize('ignored', [255, 1])
def test_dropped_pixels_count_as_little_as_ignored_ones(ignored):
    logits, label = _pixels(ignored=ignored)
    kept = torch.rand(2, 9, 7) < 0.6
    losses = F.cross_entropy(logits, label, reduction='none', ignore_index=ignored)
    loss = PixelCrossEntropyLoss()(logits, label, kept.float(), ignore_index=ignored)
    torch.testing.assert_close(loss, losses[kept & (label != ignored)].mean())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('autocast', [True, False])
def test_half_precision_counts_many_pixels(dtype, autocast):
    """float16 ends at 65,504, and bfloat16 keeps eight bits of a count."""
    logits, label = torch.randn(1, 4, 301, 303).to(dtype), torch.randint(0, 4, (1, 301, 303))
    with torch.autocast('cpu', dtype, enabled=autocast):
        loss = PixelCrossEntropyLoss([0.3, 1.0, 2.0, 0.1])(logits, label)
    expected = F.cross_entropy(logits.double(), label, torch.tensor([0.3, 1.0, 2.0, 0.1], dtype=torch.float64))
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)


def test_no_pixel_counts():
    logits, label = _pixels()
    loss = PixelCrossEntropyLoss()(logits, torch.full_like(label, 255))
    assert loss == 0
    loss.backward()
    assert not logits.grad.any()


def test_class_weights_move_with_the_model_and_stay_out_of_checkpoints():
    loss = PixelCrossEntropyLoss([0.3, 1.0])
    assert not loss.state_dict()
    with torch.device('meta'):
        logits, label = torch.empty(1, 2, 3, 3), torch.empty(1, 3, 3, dtype=torch.long)
    assert loss.to('meta')(logits, label).device.type == 'meta'
