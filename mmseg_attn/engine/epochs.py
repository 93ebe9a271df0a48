"""A checkpoint from the middle of an epoch."""

from collections.abc import Iterator
from itertools import islice

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import BatchSampler, Sampler


class ResumeEpochHook(Hook):
    """Goes on behind the batches of an epoch that were trained before the checkpoint; mmengine would repeat them."""

    # After mmengine's DistSamplerSeedHook has told the sampler which epoch it is.
    priority = 'LOW'

    def before_train_epoch(self, runner) -> None:
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return
        loader = runner.train_dataloader
        done = runner.iter - runner.epoch * len(loader)
        if done <= 0:
            return
        batches = loader.batch_sampler
        if type(batches) is not BatchSampler:
            runner.logger.warning('The epoch is repeated: its batch sampler cannot begin in the middle.')
            return
        batches.sampler = _SkipOnce(batches.sampler, done * batches.batch_size)


class _SkipOnce:
    """A sampler that leaves out its first samples when it is first gone through."""

    def __init__(self, sampler: Sampler, samples: int):
        self.sampler = sampler
        self.samples = samples

    def __iter__(self) -> Iterator[int]:
        samples, self.samples = self.samples, 0
        return islice(iter(self.sampler), samples, None)

    def __len__(self) -> int:
        return len(self.sampler)
