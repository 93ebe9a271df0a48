"""Hooks for every training run, registered as `mmseg_attn.<Name>`."""

import math
import random

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_reduce_params, get_rank
from mmengine.hooks import Hook
from torch import Tensor
from torch.utils.data import get_worker_info

from mmseg_attn.common.errors import UserError
from mmseg_attn.datasets.reading_errors import item_of
from mmseg_attn.registry import HOOKS


@HOOKS.register_module()
class CheckInvalidLossHook(Hook):
    """Stops when the loss is not finite, or exactly 0 for as long as an interval.

    Looks every ``interval`` iterations, before every checkpoint and validation, and at the end.

    Args:
        interval: iterations between two looks; a look waits for the GPU.

    Raises:
        UserError: the loss is NaN, infinite or 0.
    """

    def __init__(self, interval: int = 50):
        self.interval = interval
        self._begin()

    def before_train(self, runner) -> None:
        self._begin()

    def after_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        # Summed where the loss is, so that the GPU need not be waited for.
        self.total += outputs['loss'].detach().double()
        self.count += 1
        if self.every_n_train_iters(runner, self.interval):
            self._look(runner.iter + 1, is_whole_interval=True)
            self._begin()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        self._look(runner.iter)

    def before_val(self, runner) -> None:
        self._look(runner.iter)

    def after_train(self, runner) -> None:
        self._look(runner.iter, is_whole_interval=runner.iter <= self.interval)

    def _begin(self) -> None:
        self.total: Tensor | float = 0.0
        self.count = 0

    def _look(self, iteration: int, is_whole_interval: bool = False) -> None:
        if not self.count:
            return
        total = float(self.total)
        if not math.isfinite(total):
            raise UserError(f'the loss is {total} in iteration {iteration} or shortly before: lower the learning rate, '
                            'clip gradients (optim_wrapper.clip_grad), or train with bfloat16 instead of float16')
        if total == 0 and is_whole_interval:
            raise UserError(f'the loss was exactly 0 in the last {self.count} iterations, so nothing is learned: are '
                            'all labels ignored (255)? mmseg-attn check_data shows the values')


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Makes a resumed training continue as if it had not been interrupted.

    mmengine resumes weights, optimizer and the order of the images, not the random numbers of dropout and augmentation.
    Here both follow from the seed and the number of the iteration alone, in any number of workers; the augmentation
    only with mmengine's InfiniteSampler, which iteration-based training uses.
    """

    def before_train(self, runner) -> None:
        loader = runner.train_dataloader
        if not isinstance(loader.sampler, InfiniteSampler):
            return  # other samplers start their workers anew in every epoch, which would repeat the count
        # The original mmengine resumes by loading everything once more, so there the count starts at 0.
        skips = hasattr(runner.train_loop.dataloader_iterator, 'skip_iter')
        loader.dataset.__getitems__ = _SeededFetch(
            loader.dataset, (runner.seed, get_rank()), first=runner.iter if skips else 0)

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        torch.manual_seed(_mix(runner.seed, get_rank(), runner.iter))


@HOOKS.register_module()
class AverageBuffersHook(Hook):
    """Keeps the running statistics of BN equal on all processes, where SyncBN cannot.

    Otherwise every process would validate a slightly different model.
    """

    priority = 'VERY_HIGH'

    def after_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        all_reduce_params([b for b in runner.model.buffers() if b.is_floating_point()], op='mean')


class _SeededFetch:
    """Loads the images of one batch with random numbers that follow from the number of the batch.

    Worker w of W gets the batches w, w + W, w + 2 W, ..., so each can count for itself.
    """

    def __init__(self, dataset, seeds: tuple[int, int], first: int):
        self.dataset = dataset
        self.seeds = seeds
        self.first = first
        self.fetched = 0

    def __call__(self, indices: list[int]) -> list[dict]:
        info = get_worker_info()
        worker, num_workers = (info.id, info.num_workers) if info else (0, 1)
        seed = _mix(*self.seeds, self.first + self.fetched * num_workers + worker)
        self.fetched += 1
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        return [item_of(self.dataset, index) for index in indices]


def _mix(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
