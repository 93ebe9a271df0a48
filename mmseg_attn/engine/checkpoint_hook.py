"""Saves checkpoints so that a training can be killed at any moment and go on from what lies on the disk."""

import hashlib
import math
import os
from collections import deque
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import is_main_process, master_only
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.logging import MessageHub
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.runner import Runner

from mmseg_attn.checkpoints.fit import check_finite
from mmseg_attn.checkpoints.reading import read_content
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import atomic_write, write_text
from mmseg_attn.registry import HOOKS

from .batch_size import has_updated
from .checkpoint_files import files_like, name_pattern

POINTER = 'last_checkpoint'
DIVERGED = 'the training has diverged: lower the learning rate, or clip gradients (optim_wrapper.clip_grad)'
# In the message hub, and so in the checkpoint: after which iteration or epoch the last validation ended.
VALIDATED = 'last_validation'
# NaN only where nothing was measured.
MEANS = 'aAcc', 'mIoU', 'mDice', 'mFscore'


def use_safe_checkpoints(cfg: Config) -> None:
    """Puts :class:`CheckpointHook` in the place of mmengine's in a config, and of the one that is the default.

    Raises:
        UserError: its arguments are wrong.
    """
    if not isinstance(cfg.get('default_hooks'), dict):
        cfg.default_hooks = {}
    cfg.default_hooks.setdefault('checkpoint', dict(type='CheckpointHook'))
    for hook in (cfg.default_hooks.checkpoint, *(cfg.get('custom_hooks') or [])):
        if isinstance(hook, dict) and _class_of(hook.get('type')) is MMEngineCheckpointHook:
            hook['type'] = 'mmseg_attn.CheckpointHook'
            _check_template(hook.get('filename_tmpl'))
            try:
                CheckpointHook(**{key: value for key, value in hook.items() if key not in ('type', 'priority')})
            except (ValueError, KeyError, TypeError, AssertionError) as error:
                raise UserError(f'the CheckpointHook of the config cannot be built: {error}') from error


def _check_template(template: str | None) -> None:
    """
    Raises:
        UserError: names made of it do not tell checkpoints apart.
    """
    try:
        made = template is None or name_pattern(template).fullmatch(os.path.basename(template.format(7)))
        made = made and (template is None or template.format(7) != template.format(8))
    except (ValueError, IndexError, KeyError, AttributeError, TypeError):
        made = None
    if not made:
        raise UserError(f'filename_tmpl={template!r} of the CheckpointHook must have one place for a number, such as '
                        "'iter_{}.pth'")


def _class_of(name: object) -> object:
    # In mmengine's own registry, since in ours the name without a scope is that of our hook.
    return MMENGINE_HOOKS.get(name) if isinstance(name, str) else name


def check_measured(metrics: dict, what: str, names: Sequence[str] = ()) -> None:
    """
    Raises:
        UserError: a mean over the classes, or a metric of ``names``, is NaN.
    """
    for key, value in metrics.items():
        is_nan = isinstance(value, float | np.floating) and math.isnan(value)
        if is_nan and (key in names or key.rpartition('/')[2] in MEANS):
            raise UserError(f'{key} of the {what} is nan: all pixels of its labels are ignored (255), or none of its '
                            'classes is in a label or a prediction. mmseg-attn check_data shows the values')


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """mmengine's hook, whose files are whole under their final names at every moment. Its arguments are the same.

    A file is written under another name and renamed; ``last_checkpoint`` is written after the checkpoint that it names.
    A new best checkpoint is saved before the old one is removed. The names in ``last_checkpoint`` and in the
    checkpoints are relative to the work dir, so that it can be copied and moved. A validation that was cut off is
    repeated when the training is resumed. Weights that are not finite are not saved.

    With a remote ``out_dir`` or a runner that saves in several processes, mmengine writes the files as always.

    Raises:
        UserError: a file cannot be written, a weight is not finite, or a metric of ``save_best`` is missing or NaN.
    """

    def before_train(self, runner) -> None:
        super().before_train(runner)
        self._find_best_of_resumed(runner)
        step = runner.epoch if self.by_epoch else runner.iter
        self.saved_step = step if step and self._path(step).is_file() else None
        if self._was_cut_off(runner, step):
            # Its best checkpoint may be there already, and stays: the scores of the one before are those that resume.
            runner.logger.info('The validation of this checkpoint was cut off, and is repeated.')
            runner.val_loop.run()
        else:
            self._remove_stale_best_checkpoints(before=step)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        self._check_metrics(metrics or {})
        super().after_val_epoch(runner, metrics or {})
        step = runner.epoch if self.by_epoch else runner.iter
        runner.message_hub.update_info(VALIDATED, step)
        if self.saved_step == step:
            # With the scores, and the mark that this validation needs no repetition.
            self._save_checkpoint_with_step(runner, step, dict(epoch=runner.epoch, iter=runner.iter))
        self._remove_stale_best_checkpoints(before=step)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        check_finite(checkpoint['state_dict'],
                     f'the model after iteration {checkpoint["meta"]["iter"]}, which is not saved', DIVERGED)

    def _save_checkpoint_with_step(self, runner, step: int | str, meta: dict) -> None:
        outdated: list[int | str] = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            kept = [*self.keep_ckpt_ids, step]
            outdated = kept[:-self.max_keep_ckpts]
            self.keep_ckpt_ids = deque(kept[-self.max_keep_ckpts:], self.max_keep_ckpts)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        if not has_updated(runner.optim_wrapper):
            runner.logger.warning(f'{name} lies between two updates of accumulated gradients: a training resumed from '
                                  'it loses those since the last one. Let the interval be a multiple of '
                                  'accumulative_counts.')
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        self.saved_step = step
        runner.message_hub.update_info('last_ckpt', name)
        self._write(runner, name, save_optimizer=self.save_optimizer, save_param_scheduler=self.save_param_scheduler,
                    meta=meta, by_epoch=self.by_epoch, **self.args)
        if not is_main_process():
            return
        path = os.path.relpath(self.last_ckpt, runner.work_dir) if self._is_local() else self.last_ckpt
        write_text(Path(runner.work_dir, POINTER), str(path))
        for old in outdated:
            self._remove(self.filename_tmpl.format(old))

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        if not self.save_best:
            return
        if 'auto' in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        step, unit = (runner.epoch, 'epoch') if self.by_epoch else (runner.iter, 'iter')
        for key in self.key_indicators:
            score_info, best_info = self._infos(key)
            best = runner.message_hub.runtime_info.get(score_info)
            score = metrics[key]
            if score is None or (best is not None and not self.is_better_than[key](score, best)):
                continue
            runner.message_hub.update_info(score_info, score)
            runner.message_hub.update_info(best_info, self._best_name(key, step))
            self._set_best(key, self._best_name(key, step))
            self._write(runner, self._best_name(key, step), save_optimizer=False, save_param_scheduler=False,
                        meta=dict(epoch=runner.epoch, iter=runner.iter), by_epoch=False)
            runner.logger.info(f'The best checkpoint with {score:0.4f} {key} at {step} {unit} is saved to '
                               f'{self._best_name(key, step)}.')

    def _check_metrics(self, metrics: dict) -> None:
        wanted = [key for key in self.key_indicators if key != 'auto'] if self.save_best and metrics else []
        missing = [key for key in wanted if key not in metrics]
        if missing:
            raise UserError(f'save_best={missing[0]!r} is none of the metrics of the validation: {", ".join(metrics)}')
        check_measured(metrics, 'validation', wanted)

    @master_only
    def _publish_model(self, runner, ckpt_path: str | None) -> None:
        if ckpt_path is None:
            return
        path = Path(self.out_dir, os.path.basename(ckpt_path))
        content = read_content(path)
        buffer = BytesIO()
        torch.save({key: content[key] for key in self.published_keys if key in content}, buffer)
        published = path.with_name(f'{path.stem}-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth')
        with atomic_write(published) as partial:
            partial.write_bytes(buffer.getvalue())
        runner.logger.info(f'{path.name} is published as {published.name}.')

    def _write(self, runner, name: str, **kwargs) -> None:
        kwargs |= dict(file_client_args=self.file_client_args, backend_args=self.backend_args)
        if not self._is_local() or not isinstance(runner, Runner):
            runner.save_checkpoint(self.out_dir, name, **kwargs)
        elif is_main_process():
            with atomic_write(Path(self.out_dir, name)) as partial:
                runner.save_checkpoint(str(partial.parent), partial.name, **kwargs)

    def _is_local(self) -> bool:
        return isinstance(self.file_backend, LocalBackend)

    def _path(self, step: int) -> Path:
        return Path(self.out_dir, self.filename_tmpl.format(step))

    def _was_cut_off(self, runner, step: int) -> bool:
        loop = runner.train_loop
        if not step or runner.val_loop is None or runner.message_hub.runtime_info.get(VALIDATED) == step:
            return False
        last = loop.max_epochs if self.by_epoch else loop.max_iters
        return step >= loop.val_begin and (step % loop.val_interval == 0 or step == last)

    def _best_template(self, key: str) -> str:
        return f'best_{key}_{self.filename_tmpl}'.replace('/', '_')

    def _best_name(self, key: str, step: int) -> str:
        return self._best_template(key).format(step)

    def _infos(self, key: str) -> tuple[str, str]:
        """Under which names the message hub keeps the best score and its checkpoint."""
        suffix = '' if len(self.key_indicators) == 1 else f'_{key}'
        return f'best_score{suffix}', f'best_ckpt{suffix}'

    def _set_best(self, key: str, name: str | None) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = name
        else:
            self.best_ckpt_path_dict[key] = name

    def _best(self, key: str) -> str | None:
        return self.best_ckpt_path if len(self.key_indicators) == 1 else self.best_ckpt_path_dict.get(key)

    def _find_best_of_resumed(self, runner) -> None:
        """The best score so far and its checkpoint, for each metric of ``save_best``, whatever that was before.

        mmengine writes whole paths: those of a run that was copied are the files of another run. Where there is one
        metric it does not name it, so that the score of one would be compared with another's.
        """
        keys = self.key_indicators if self.save_best else ()
        for key, (score, name) in {key: self._best_of(runner.message_hub, key) for key in keys}.items():
            self._set_best(key, name)
            for info in (info for pair in self._all_infos(key) for info in pair):
                runner.message_hub.pop_info(info)
            if name is not None:
                for info, value in zip(self._infos(key), (score, name), strict=True):
                    runner.message_hub.update_info(info, value)

    def _best_of(self, hub: MessageHub, key: str) -> tuple[float, str] | tuple[None, None]:
        for score_info, best_info in self._all_infos(key):
            score, name = hub.get_info(score_info), os.path.basename(hub.get_info(best_info) or '')
            if score is not None and (key == 'auto' or name_pattern(self._best_template(key)).fullmatch(name)):
                return score, name
        return None, None

    def _all_infos(self, key: str) -> list[tuple[str, str]]:
        """:meth:`_infos` of this number of metrics, and of another."""
        named = f'best_score_{key}', f'best_ckpt_{key}'
        return list(dict.fromkeys([self._infos(key), named, ('best_score', 'best_ckpt')]))

    def _remove_stale_best_checkpoints(self, before: int) -> None:
        """Best checkpoints of earlier validations that a kill has left beside a better one."""
        if not self.save_best or not self._is_local():
            return
        for key in self.key_indicators:
            kept = self._best(key)
            if kept and Path(self.out_dir, kept).is_file():
                for step, path in files_like(self.out_dir, self._best_template(key)):
                    if path.name != kept and step[0] <= before:
                        self._remove(path.name)

    @master_only
    def _remove(self, name: str) -> None:
        path = self.file_backend.join_path(self.out_dir, name)
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            self.file_backend.rmtree(path)  # as DeepSpeed saves them
