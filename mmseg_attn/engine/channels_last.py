"""``--channels-last`` of training."""

import torch
from mmengine.runner import Runner
from torch import nn


class ChannelsLastRunner(Runner):
    """A Runner that brings the weights of its model into this order, and so the maps that they make.

    DistributedDataParallel lays out gradients as the weights lie when it is made, so they must lie so before.
    """

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        return super().build_model(model).to(memory_format=torch.channels_last)
