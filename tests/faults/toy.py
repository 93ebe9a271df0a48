"""A training of seconds whose checkpoints are as large as one likes, and whose score rises at every validation."""

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmseg_attn.registry import DATASETS, METRICS, MODELS

CONFIG = '''
custom_imports = dict(imports=['mmseg_attn.registered', 'tests.faults.toy'], allow_failed_imports=False)
default_scope = 'mmseg'
model = dict(type='mmseg_attn.ToyModel', megabytes={megabytes}, data_preprocessor=dict(type='BaseDataPreprocessor'))
loader = dict(batch_size=2, num_workers=0, dataset=dict(type='mmseg_attn.ToyDataset'))
train_dataloader = dict(sampler=dict(type='InfiniteSampler', shuffle=True), **loader)
val_dataloader = dict(sampler=dict(type='DefaultSampler', shuffle=False), **loader)
val_evaluator = dict(type='mmseg_attn.ToyMetric')
val_cfg = dict(type='ValLoop')
train_cfg = dict(type='IterBasedTrainLoop', max_iters={max_iters}, val_interval={interval})
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
param_scheduler = [dict(type='PolyLR', power=0.9, end={max_iters}, by_epoch=False)]
default_hooks = dict(logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False), checkpoint=dict(
    type='CheckpointHook', by_epoch=False, interval={interval}, max_keep_ckpts=2, save_best='score', rule='greater'))
custom_hooks = [dict(type='mmseg_attn.ExactResumeHook'), dict(type='mmseg_attn.CheckInvalidLossHook')]
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
log_level = 'WARNING'
'''


@DATASETS.register_module()
class ToyDataset(Dataset):
    METAINFO = metainfo = dict(classes=('a', 'b'), palette=[[0, 0, 0], [255, 255, 255]])

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict:
        # Random numbers, as of augmentation.
        return dict(inputs=torch.rand(8) + index)

    @classmethod
    def config_problem(cls, settings: dict) -> str | None:
        return None


@MODELS.register_module()
class ToyModel(BaseModel):
    def __init__(self, megabytes: float, data_preprocessor: dict):
        super().__init__(data_preprocessor)
        self.weight = nn.Parameter(torch.linspace(0, 1, 8))
        self.register_buffer('ballast', torch.randn(int(megabytes * 2**18), generator=torch.Generator().manual_seed(0)))
        self.register_buffer('steps', torch.zeros((), dtype=torch.int64))

    def forward(self, inputs: Tensor, mode: str = 'tensor') -> dict | list:
        inputs = torch.stack(list(inputs))
        if mode == 'loss':
            self.steps += 1
            return dict(loss=(nn.functional.dropout(inputs) @ self.weight / 32 - 1).square().mean())
        return [self.steps.item()] * len(inputs)


@METRICS.register_module()
class ToyMetric(BaseMetric):
    def process(self, data_batch: dict, data_samples: list) -> None:
        self.results += data_samples

    def compute_metrics(self, results: list) -> dict[str, float]:
        return dict(score=float(results[0]))
