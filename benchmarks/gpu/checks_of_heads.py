"""Every head of the tests with its loss, and a whole network: losses, and inference in all its modes."""

import copy
from collections.abc import Iterator

import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

import mmseg_attn.registered  # noqa: F401
from benchmarks.gpu.comparing import distance, without_dropout
from benchmarks.gpu.recording import Record
from mmseg_attn.registry import MODELS
from tests.helpers import randomize
from tests.models.heads.variants import VARIANTS, build_head, stage_features

SIZE = (64, 96)
SLIDE = dict(mode='slide', crop_size=(32, 48), stride=(20, 30))
INFERENCES = [dict(mode='whole'), SLIDE, SLIDE | dict(crops_per_batch=3), SLIDE | dict(logits_device='cpu'),
              SLIDE | dict(logits_device='cpu', keep_logits=False)]
SAMPLERS = [None, dict(type='OHEMPixelSampler', thresh=0.7, min_kept=100)]
CLASS_WEIGHTS = [None, [1.0, 2.0, 1.0, 1.0, 3.0]]
FLOAT64_LIMIT, FLOAT32_LIMIT = 1e-7, 2e-2


def all_heads() -> Iterator[tuple[str, nn.Module]]:
    init_default_scope('mmseg')
    for name, variant in VARIANTS:
        torch.manual_seed(0)
        yield f'{name} {variant}', build_head(name, variant)


def samples(device: torch.device | str, height: int = 72, width: int = 104) -> list[SegDataSample]:
    generator = torch.Generator().manual_seed(3)
    labels = [torch.randint(0, 5, (1, height, width), generator=generator) for _ in range(2)]
    labels[0][0, :20] = 255
    return [SegDataSample(gt_sem_seg=PixelData(data=label.to(device))) for label in labels]


def total(losses: dict[str, Tensor]) -> Tensor:
    return sum(value for key, value in losses.items() if 'loss' in key)


def heads(record: Record) -> None:
    """Loss, gradient of the features, and the logits of a prediction, in float64 and float32."""
    for label, head in all_heads():
        if record.out_of_time():
            return
        torch.manual_seed(0)
        features = stage_features()
        expected = _step(head, features, 'cpu', torch.float64)
        for dtype, limit in (torch.float64, FLOAT64_LIMIT), (torch.float32, FLOAT32_LIMIT):
            record.check(
                f'head {str(dtype)[6:]} {label}',
                lambda head=head, features=features, expected=expected, dtype=dtype: max(
                    distance(value, expected[key])
                    for key, value in _step(head, features, record.device, dtype).items()), limit)


def _step(head: nn.Module, features: list[Tensor], device: torch.device | str, dtype: torch.dtype) -> dict[str, Tensor]:
    head = without_dropout(copy.deepcopy(head).to(device, dtype).train())
    features = [f.to(device, dtype).requires_grad_() for f in features]
    loss = total(head.loss(features, samples(device), None))
    loss.backward()
    metas = [dict(img_shape=(70, 100), pad_shape=(72, 104))] * 2
    with torch.no_grad():
        logits = head.eval().predict([f.detach() for f in features], metas, None)
    return {'loss': loss, 'logits': logits, 'input': features[1].grad}


def losses(record: Record) -> None:
    """The loss of the configs, with weights and OHEM; and the labels that every mode of inference predicts."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    images = torch.randn(2, 3, *SIZE)
    for class_weight in CLASS_WEIGHTS:
        for sampler in SAMPLERS:
            network = _network(dict(mode='whole'), sampler=sampler, loss_decode=dict(
                type='mmseg_attn.PixelCrossEntropyLoss', class_weight=class_weight))
            expected = _loss(network, images, 'cpu', torch.float64)
            record.check(f'PixelCrossEntropyLoss class_weight={class_weight} sampler={sampler}',
                         lambda network=network, expected=expected: distance(
                             _loss(network, images, record.device, torch.float32), expected), 1e-3)
    for test_cfg in INFERENCES:
        network = randomize(_network(test_cfg), 0.05).eval()
        expected = _labels(network, images, 'cpu', torch.float64)
        record.check(f'share of other labels {test_cfg}', lambda network=network, expected=expected: max(
            (a.cpu() != b).float().mean().item() for a, b in zip(
                _labels(network, images, record.device, torch.float32), expected, strict=True)), 0.01)


def _network(test_cfg: dict, **head) -> nn.Module:
    return MODELS.build(dict(
        type='mmseg_attn.EncoderDecoder', data_preprocessor=dict(type='SegDataPreProcessor', size=SIZE),
        backbone=dict(type='mmseg.ResNetV1c', depth=18, base_channels=16, stem_channels=16, num_stages=4,
                      out_indices=(0, 1, 2, 3), dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), norm_cfg=dict(type='BN')),
        decode_head=dict(type='mmseg_attn.DAHead', in_channels=128, in_index=3, channels=32, num_classes=5,
                         norm_cfg=dict(type='BN')) | head, test_cfg=ConfigDict(test_cfg)))


def _loss(network: nn.Module, images: Tensor, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    network = without_dropout(copy.deepcopy(network).to(device, dtype).train())
    return total(network.loss(images.to(device, dtype), samples(device, *SIZE)))


@torch.no_grad()
def _labels(network: nn.Module, images: Tensor, device: torch.device | str, dtype: torch.dtype) -> list[Tensor]:
    network = copy.deepcopy(network).to(device, dtype)
    metas = [dict(img_shape=SIZE, pad_shape=SIZE, ori_shape=size, padding_size=(0, 0, 0, 0))
             for size in (SIZE, (80, 100))]
    found = network.predict(images.to(device, dtype), [SegDataSample(metainfo=meta) for meta in metas])
    return [sample.pred_sem_seg.data for sample in found]
