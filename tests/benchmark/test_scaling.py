from pathlib import Path

import pytest
from mmengine.registry import init_default_scope
from torch import nn

from benchmarks import scaling
from benchmarks.scaling import Iteration, count, efficiency
from mmseg_attn.benchmark.parts import build_model
from mmseg_attn.common.config import load_config


def test_what_is_counted():
    init_default_scope('mmseg')
    config = Path('configs/emanet_r18_shapes.py')
    it, model = count(config), build_model(load_config(str(config)))
    assert it.gradients == 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert it.bases == 3 * model.decode_head.attention.bases.numel()
    assert it.channels == [m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    # The convolutions alone, of a forward and a backward of every image.
    assert it.operations > 3 * 2 * 16 * sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize('num_gpus', [8, 64])
def test_efficiency_by_hand(num_gpus):
    bandwidth, latency = scaling.WITHIN_A_MACHINE if num_gpus == 8 else scaling.BETWEEN_MACHINES
    it = Iteration(operations=scaling.RATE * 0.1, gradients=0, channels=[], bases=0)
    bucket = latency + 2 * (num_gpus - 1) / num_gpus * scaling.BUCKET / bandwidth
    assert efficiency(it, num_gpus) == pytest.approx(0.1 / (0.1 + bucket))
    it.channels = [256] * 100
    gathered = 100 * (latency + num_gpus * 513 * 4 / bandwidth)
    summed = 100 * (latency + 2 * (num_gpus - 1) / num_gpus * 512 * 4 / bandwidth)
    assert efficiency(it, num_gpus) == pytest.approx(0.1 / (0.1 + bucket + gathered + summed))
    # Gradients that take longer than the backward, which is two thirds of the computation.
    it.channels, it.gradients = [], 10 * bandwidth
    waited = latency + 2 * (num_gpus - 1) / num_gpus * it.gradients / bandwidth - 0.2 / 3
    assert efficiency(it, num_gpus) == pytest.approx(0.1 / (0.1 + waited))
