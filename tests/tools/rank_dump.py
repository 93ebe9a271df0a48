"""A hook that saves the model of every process after every iteration."""

import os

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS


@HOOKS.register_module()
class RankDumpHook(Hook):
    priority = 'LOWEST'

    def before_train(self, runner) -> None:
        self._save(runner, 0)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._save(runner, batch_idx + 1)

    def _save(self, runner, iteration: int) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        torch.save(model.state_dict(), os.path.join(os.environ['RANK_DUMP'], f'rank{get_rank()}_iter{iteration}.pth'))
