"""Hooks for every training run, registered as `mmseg_attn.<Name>`."""

import math
import random

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_reduce_params, get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor
from torch.utils.data import get_worker_info

from mmseg_attn.common.errors import UserError
from mmseg_attn.datasets.reading_errors import item_of
from mmseg_attn.registry import HOOKS


@HOOKS.register_module()
class CheckLabelsHook(Hook):
    """Stops with the file and the value when a label map holds a value that is no class.

    The loss would fail without either, on a GPU with a device-side assertion.

    Raises:
        UserError: the data set and the head differ in the number of classes, a softmax is taken of one channel, or a
            label is out of range.
    """

    def before_train(self, runner) -> None:
        classes = (getattr(runner.train_dataloader.dataset, 'metainfo', None) or {}).get('classes')
        head = _decode_head(runner.model)
        # One output channel may stand for two classes.
        if classes is not None and len(classes) != head.num_classes and head.out_channels > 1:
            raise UserError(f'the training data set has {len(classes)} classes and the head {head.num_classes}: '
                            f'set model.decode_head.num_classes={len(classes)} (and that of the auxiliary head)')
        losses = head.loss_decode if isinstance(head.loss_decode, torch.nn.ModuleList) else [head.loss_decode]
        if head.out_channels == 1 and any(getattr(loss, 'use_sigmoid', None) is False for loss in losses):
            raise UserError('the head has one output channel, of which a softmax makes 1 everywhere, so nothing would '
                            'be learned: set num_classes=2, or num_classes=2, out_channels=1 and use_sigmoid=True in '
                            'loss_decode')

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        _check_labels(runner.model, data_batch)

    def before_val_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        _check_labels(runner.model, data_batch)

    def before_test_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        _check_labels(runner.model, data_batch)


def _decode_head(model):
    model = model.module if is_model_wrapper(model) else model
    model = getattr(model, 'module', model)  # test-time augmentation wraps once more
    head = model.decode_head
    return head[-1] if isinstance(head, torch.nn.ModuleList) else head


def _check_labels(model, data_batch: dict) -> None:
    head = _decode_head(model)
    num_classes = max(head.num_classes, 2 if head.out_channels == 1 else 1)
    for sample in _flatten(data_batch.get('data_samples') or []):
        if 'gt_sem_seg' not in sample:
            continue
        label = sample.gt_sem_seg.data
        wrong = label[((label >= num_classes) | (label < 0)) & (label != head.ignore_index)]
        if len(wrong):
            values = wrong.unique().tolist()
            raise UserError(
                f'{sample.get("seg_map_path", "a label map")} holds the values {values[:10]}, which are no classes: '
                f'the head has {num_classes} (0 to {num_classes - 1}), and {head.ignore_index} is ignored.\n'
                '  Masks of 0 and 255, colours, or the ids of another data set: convert them to 0, 1, 2, ...\n'
                '  Classes counted from 1: reduce_zero_label=True in the data set. More classes: raise num_classes.')


def _flatten(samples: list) -> list:
    """Test-time augmentation hands a list of samples for each image."""
    return [s for sample in samples for s in (sample if isinstance(sample, (list, tuple)) else [sample])]


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
