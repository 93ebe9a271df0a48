"""Looks at the labels that training and evaluation are given, registered as `mmseg_attn.CheckLabelsHook`."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from mmseg_attn.common.errors import UserError
from mmseg_attn.registry import HOOKS

from .labels import SeenClasses, has_other_labels, padding_problem, refuse_single_class
from .wrapping import unwrapped

# Of a training, to see whether its labels hold more than one class.
LOOKED_AT = 50


@HOOKS.register_module()
class CheckLabelsHook(Hook):
    """Stops with the file and the value when a label map holds a value that is no class, or padding adds one.

    The loss would fail without either, on a GPU with a device-side assertion. Labels of a single class, of which
    nothing can be learnt, are warned of: those of the first iterations, and those of an evaluation.

    Raises:
        UserError: the data set and the head differ in the number of classes, a softmax is taken of one channel, or a
            label is out of range.
    """

    def __init__(self):
        self.seen: dict[str, SeenClasses | None] = {}
        self.is_padding_told = False

    def before_train(self, runner) -> None:
        classes = _classes_of(runner, 'train')
        head = _decode_head(runner.model)
        # One output channel may stand for two classes.
        if classes and len(classes) != head.num_classes and head.out_channels > 1:
            raise UserError(f'the training data set has {len(classes)} classes and the head {head.num_classes}: '
                            f'set model.decode_head.num_classes={len(classes)} (and that of the auxiliary head)')
        losses = head.loss_decode if isinstance(head.loss_decode, torch.nn.ModuleList) else [head.loss_decode]
        if head.out_channels == 1 and any(getattr(loss, 'use_sigmoid', None) is False for loss in losses):
            raise UserError('the head has one output channel, of which a softmax makes 1 everywhere, so nothing would '
                            'be learned: set num_classes=2, or num_classes=2, out_channels=1 and use_sigmoid=True in '
                            'loss_decode')

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        self._look(runner, 'train', data_batch)
        self._check_padding(runner, data_batch)
        seen = self.seen['train']
        if seen and seen.count == LOOKED_AT:
            self._tell(runner, 'train', f'The labels of the first {LOOKED_AT} iterations')

    def after_train(self, runner) -> None:
        self._tell(runner, 'train', 'The labels of all iterations')

    def before_val_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        self._look(runner, 'val', data_batch)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        self._tell(runner, 'val', 'The labels of the validation')

    def before_test_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        self._look(runner, 'test', data_batch)

    def after_test_epoch(self, runner, metrics: dict | None = None) -> None:
        self._tell(runner, 'test', 'The labels of the test')

    def _look(self, runner, mode: str, data_batch: dict | None) -> None:
        head, labels = _decode_head(runner.model), _labels_in(data_batch)
        num_classes = _num_classes(head)
        _check_labels(labels, num_classes, head.ignore_index)
        if mode != 'train':
            refuse_single_class(labels, _classes_of(runner, mode), head.ignore_index)
        seen = self.seen.setdefault(mode, SeenClasses(num_classes, head.ignore_index))
        if seen and labels:
            seen.add([label for _, label in labels])

    def _tell(self, runner, mode: str, whose: str) -> None:
        """Warns once of labels of a single class."""
        seen = self.seen.get(mode)
        self.seen[mode] = None
        problem = seen.problem(_classes_of(runner, mode)) if seen else None
        if problem:
            runner.logger.warning(f'{whose} {problem}.')

    def _check_padding(self, runner, data_batch: Any) -> None:
        head, preprocessor = _decode_head(runner.model), getattr(unwrapped(runner.model), 'data_preprocessor', None)
        value = getattr(preprocessor, 'seg_pad_val', head.ignore_index)
        if value == head.ignore_index or self.is_padding_told:
            return
        problem = padding_problem(preprocessor, data_batch['inputs'])
        if problem is None:
            return
        place, sizes = problem
        is_class = 0 <= value < _num_classes(head)
        meaning = 'trained on as a class' if is_class else 'neither a class nor ignored'
        text = (f'{data_batch["data_samples"][place].get("img_path", "an image")} has {sizes}, and its label map is '
                f'padded with {value}, which is {meaning}.\n  Set model.data_preprocessor.seg_pad_val='
                f'{head.ignore_index}, which the head ignores')
        if not is_class:
            raise UserError(text)
        self.is_padding_told = True
        runner.logger.warning(f'{text}.')


def _decode_head(model):
    head = unwrapped(model).decode_head
    return head[-1] if isinstance(head, torch.nn.ModuleList) else head


def _num_classes(head) -> int:
    """One output channel tells two classes apart."""
    return max(head.num_classes, 2 if head.out_channels == 1 else 1)


def _classes_of(runner, mode: str) -> Sequence[str]:
    dataset = getattr(getattr(runner, f'{mode}_dataloader', None), 'dataset', None)
    return (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()


def _labels_in(data_batch: dict | None) -> list[tuple[str, Tensor]]:
    """The label maps of a batch, with their paths."""
    return [(sample.get('seg_map_path', 'a label map'), sample.gt_sem_seg.data)
            for sample in _flatten((data_batch or {}).get('data_samples') or []) if 'gt_sem_seg' in sample]


def _check_labels(labels: list[tuple[str, Tensor]], num_classes: int, ignored: int | None) -> None:
    for path, label in labels:
        if has_other_labels(label.long().cpu().numpy(), num_classes, ignored):
            values = [v for v in label.unique().tolist() if not 0 <= v < num_classes and v != ignored]
            raise UserError(
                f'{path} holds the values {values[:10]}, which are no classes: '
                f'the head has {num_classes} (0 to {num_classes - 1}), and {ignored} is ignored.\n'
                '  Masks of 0 and 255, colours, or the ids of another data set: convert them to 0, 1, 2, ...\n'
                '  Classes counted from 1: reduce_zero_label=True in the data set. More classes: raise num_classes.')


def _flatten(samples: list) -> list:
    """Test-time augmentation hands a list of samples for each image."""
    return [s for sample in samples for s in (sample if isinstance(sample, (list, tuple)) else [sample])]
