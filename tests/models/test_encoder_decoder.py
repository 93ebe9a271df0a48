"""The predictions of mmseg's own EncoderDecoder, and what they cost."""

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.models.segmentors import EncoderDecoder as MMSegEncoderDecoder
from mmseg.structures import SegDataSample
from torch.utils._python_dispatch import TorchDispatchMode

from mmseg_attn.models import EncoderDecoder, encoder_decoder
from mmseg_attn.registry import MODELS
from tests.helpers import randomize

SLIDE = dict(mode='slide', crop_size=(16, 24), stride=(11, 16))
WHOLE = dict(mode='whole')
CLASSES = 9  # more than twice what keep_logits=False takes at once, and no multiple of it


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmseg')


def _model(name: str, test_cfg: dict, tta: bool = False, padding: dict | None = None, **head) -> torch.nn.Module:
    torch.manual_seed(0)
    model = dict(
        type=name,
        data_preprocessor=dict(type='SegDataPreProcessor', test_cfg=padding),
        backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4, num_stages=1, strides=(1, ),
                      dilations=(1, ), out_indices=(0, )),
        decode_head=dict(type='FCNHead', in_channels=4, in_index=0, channels=4, num_convs=1, num_classes=CLASSES,
                         norm_cfg=None, act_cfg=None) | head,
        test_cfg=test_cfg)
    if tta:
        model = dict(type='SegTTAModel', module=model)
    return randomize(MODELS.build(ConfigDict(model)), std=1.0).eval()


def _pair(test_cfg: dict, options: dict | None = None, **kwargs) -> tuple[torch.nn.Module, torch.nn.Module]:
    """mmseg's and ours, with the same weights."""
    return (_model('EncoderDecoder', test_cfg, **kwargs),
            _model('mmseg_attn.EncoderDecoder', test_cfg | (options or {}), **kwargs))


def _data(images: int = 1, size: tuple[int, int] = (37, 53), **meta) -> dict:
    meta = dict(ori_shape=size, img_shape=size, img_path='image.png') | meta
    return dict(inputs=[torch.randn(3, *size) for _ in range(images)],
                data_samples=[SegDataSample(metainfo=meta) for _ in range(images)])


def test_both_names_are_found():
    theirs, ours = _pair(SLIDE)
    assert type(theirs) is MMSegEncoderDecoder
    assert type(ours) is EncoderDecoder


@pytest.mark.parametrize('crops_per_batch', [1, 2, 3, 100])
@pytest.mark.parametrize(('size', 'crop_size', 'stride'), [
    ((37, 53), (16, 24), (11, 16)),
    ((37, 53), (16, 24), (16, 24)),
    ((32, 48), (16, 24), (16, 24)),
    ((32, 47), (32, 24), (1, 7)),
    ((20, 53), (32, 17), (32, 9)),
    ((20, 30), (32, 64), (5, 5)),
])
@torch.no_grad()
def test_logits_of_sliding_windows_equal_those_of_mmseg(size, crop_size, stride, crops_per_batch):
    theirs, ours = _pair(dict(mode='slide', crop_size=crop_size, stride=stride),
                         dict(crops_per_batch=crops_per_batch))
    images = torch.randn(3, 3, *size, dtype=torch.float64)
    metas = [dict(ori_shape=size, img_shape=size, pad_shape=size) for _ in images]
    expected = theirs.double().inference(images, [dict(meta) for meta in metas])
    logits = ours.double().inference(images, metas)
    torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)
    assert all(meta['img_shape'] == size for meta in metas)


@pytest.mark.parametrize('crops_per_batch', [1, 4, 100])
@torch.no_grad()
def test_logits_on_their_way_from_a_gpu(monkeypatch, crops_per_batch):
    """The next crops go through the network before the last ones are asked for; they are added in the same order."""
    model = _model('mmseg_attn.EncoderDecoder', SLIDE | dict(crops_per_batch=crops_per_batch))
    images, meta = torch.randn(2, 3, 37, 53), dict(ori_shape=(37, 53), img_shape=(37, 53), pad_shape=(37, 53))
    expected, most = model.inference(images, [dict(meta)] * 2), []

    class Slow:
        under_way = 0
        is_under_way = True

        def __init__(self, tensor, device):
            self.tensor = tensor
            Slow.under_way += 1
            most.append(Slow.under_way)

        def result(self):
            Slow.under_way -= 1
            return self.tensor

    monkeypatch.setattr(encoder_decoder, 'Transfer', Slow)
    assert torch.equal(model.inference(images, [dict(meta)] * 2), expected)
    assert Slow.under_way == 0
    assert max(most) == min(len(most), 2)


@torch.no_grad()
def test_a_head_that_goes_by_the_padded_size(monkeypatch):
    """As Mask2FormerHead does, with which mmseg's sliding windows fail where the data preprocessor pads."""
    model = _model('mmseg_attn.EncoderDecoder', SLIDE, padding=dict(size=(40, 60)))
    torch.manual_seed(1)
    data = _data()
    expected = model.test_step(data)[0].seg_logits.data
    monkeypatch.setattr(model.decode_head, 'predict_by_feat', lambda logits, metas: torch.nn.functional.interpolate(
        logits, metas[0]['pad_shape'], mode='bilinear'))
    torch.testing.assert_close(model.test_step(data)[0].seg_logits.data, expected)


def test_gradients_equal_those_of_mmseg():
    gradients = []
    for model in _pair(SLIDE, dict(crops_per_batch=2)):
        torch.manual_seed(0)
        image = torch.randn(1, 3, 20, 30, dtype=torch.float64, requires_grad=True)
        model.double().slide_inference(image, [dict(ori_shape=(20, 30), img_shape=(20, 30))]).square().sum().backward()
        gradients.append(image.grad)
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('options', [dict(), dict(crops_per_batch=2), dict(keep_logits=False)], ids=str)
@pytest.mark.parametrize('mode', [SLIDE, WHOLE], ids=lambda mode: mode['mode'])
@pytest.mark.parametrize(('meta', 'padding', 'head'), [
    (dict(), None, dict()),
    (dict(), None, dict(align_corners=True)),
    (dict(ori_shape=(51, 80)), None, dict()),
    (dict(ori_shape=(21, 33)), dict(size_divisor=16), dict(align_corners=True)),
    (dict(), dict(size=(40, 60)), dict()),
    (dict(flip=True, flip_direction='horizontal'), dict(size=(40, 60)), dict()),
    (dict(flip=True, flip_direction='vertical', ori_shape=(51, 80)), None, dict()),
    (dict(flip=False, flip_direction=None), None, dict()),
    (dict(ori_shape=(51, 80)), None, dict(num_classes=2, out_channels=1, threshold=0.4)),
    (dict(), None, dict(num_classes=3)),
], ids=str)
@torch.no_grad()
def test_predictions_equal_those_of_mmseg(meta, padding, head, mode, options):
    theirs, ours = _pair(mode, options, padding=padding, **head)
    data = _data(images=2, **meta)
    copies = dict(inputs=data['inputs'], data_samples=[sample.clone() for sample in data['data_samples']])
    for expected, sample in zip(theirs.test_step(data), ours.test_step(copies), strict=True):
        assert torch.equal(sample.pred_sem_seg.data, expected.pred_sem_seg.data)
        assert sample.pred_sem_seg.data.dtype == expected.pred_sem_seg.data.dtype
        assert expected.pred_sem_seg.data.unique().numel() > 1
        if options.get('keep_logits', True):
            torch.testing.assert_close(sample.seg_logits.data, expected.seg_logits.data)
        else:
            assert 'seg_logits' not in sample


@pytest.mark.parametrize('options', [dict(), dict(keep_logits=False)], ids=str)
@pytest.mark.parametrize('direction', ['horizontal', 'vertical'])
@pytest.mark.parametrize('padding', [dict(padding_size=(1, 2, 3, 5)),
                                     dict(padding_size=(0, 9, 0, 9), img_padding_size=(4, 0, 2, 1))], ids=str)
@torch.no_grad()
def test_padding_of_every_side_is_cut_off_as_in_mmseg(padding, direction, options):
    meta = dict(ori_shape=(21, 33), flip=True, flip_direction=direction) | padding
    logits = torch.randn(1, CLASSES, 17, 19)
    expected, labels = (model.postprocess_result(logits, [SegDataSample(metainfo=meta)])[0].pred_sem_seg.data
                        for model in _pair(WHOLE, options))
    assert torch.equal(labels, expected)


@torch.no_grad()
def test_predictions_without_samples_equal_those_of_mmseg():
    theirs, ours = (model.predict(torch.ones(2, 3, 37, 53).cumsum(3)) for model in _pair(SLIDE))
    for expected, sample in zip(theirs, ours, strict=True):
        torch.testing.assert_close(sample.seg_logits.data, expected.seg_logits.data)
        assert torch.equal(sample.pred_sem_seg.data, expected.pred_sem_seg.data)


@pytest.mark.parametrize('threshold', [None, 0.25, 0.5, 0.75])
@torch.no_grad()
def test_the_threshold_of_the_head_parts_two_classes(threshold):
    """At probabilities on both sides of every threshold, and at that of 1/2 itself, which is the first class."""
    theirs, ours = _pair(WHOLE, num_classes=2, out_channels=1, threshold=threshold)
    probabilities = torch.tensor([0.1, 0.27, 0.29, 0.31, 0.45, 0.5, 0.55, 0.7, 0.77, 0.9], dtype=torch.float64)
    logits = probabilities.logit().view(1, 1, 2, 5)
    expected = probabilities.view(1, 2, 5) > (0.3 if threshold is None else threshold)
    for model in theirs, ours:
        labels = model.postprocess_result(logits)[0].pred_sem_seg.data
        assert torch.equal(labels, expected.to(labels))


def test_labels_alone_need_no_gradients_and_take_the_first_of_equal_classes():
    model = _model('mmseg_attn.EncoderDecoder', WHOLE | dict(keep_logits=False))
    logits = torch.zeros(1, CLASSES, 2, 3).index_fill(1, torch.tensor([3, 5, 8]), 1.0).requires_grad_()
    assert torch.equal(model.postprocess_result(logits)[0].pred_sem_seg.data, torch.full((1, 2, 3), 3))


@torch.no_grad()
def test_test_time_augmentation_equals_that_of_mmseg():
    merged = []
    for model in _pair(SLIDE, dict(crops_per_batch=3), tta=True):
        torch.manual_seed(1)
        augmented = [_data(), _data(size=(24, 31), ori_shape=(37, 53), flip=True, flip_direction='horizontal')]
        batch = {key: [data[key] for data in augmented] for key in ('inputs', 'data_samples')}
        merged.append(model.test_step(batch)[0].pred_sem_seg.data)
    assert torch.equal(*merged)


@torch.no_grad()
def test_logits_device_gathers_the_logits_there():
    # Beside a CPU, this is the only other device that every machine has.
    sample, = _model('mmseg_attn.EncoderDecoder', SLIDE | dict(logits_device='meta')).test_step(_data())
    assert sample.seg_logits.data.device.type == sample.pred_sem_seg.data.device.type == 'meta'


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@torch.no_grad()
def test_logits_on_the_cpu_equal_those_on_the_gpu():
    on_gpu, on_cpu = (_model('mmseg_attn.EncoderDecoder', SLIDE | options).cuda()
                      for options in (dict(), dict(logits_device='cpu')))
    torch.manual_seed(0)
    expected, = on_gpu.test_step(_data())
    torch.manual_seed(0)
    sample, = on_cpu.test_step(_data())
    assert sample.seg_logits.data.device.type == 'cpu'
    torch.testing.assert_close(sample.seg_logits.data, expected.seg_logits.data.cpu(), rtol=1e-4, atol=1e-4)


class _Allocations(TorchDispatchMode):
    """The storages of at least ``size`` bytes that operations made."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        self.storages = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().nbytes() >= self.size:
                storage = tensor.untyped_storage()
                self.storages[storage.data_ptr()] = storage
        return result


@torch.no_grad()
def test_the_logits_of_the_image_are_held_once():
    counts = []
    for model in _pair(SLIDE):
        with _Allocations(CLASSES * 37 * 53 * 4) as allocations:
            model.test_step(_data())
        counts.append(len(allocations.storages))
    assert counts[1] == 1 < counts[0]


@torch.no_grad()
def test_labels_alone_need_no_resized_copy_of_the_logits():
    counts = []
    for options in dict(), dict(keep_logits=False):
        model = _model('mmseg_attn.EncoderDecoder', SLIDE | options)
        with _Allocations(CLASSES * 90 * 120 * 4) as allocations:
            model.test_step(_data(ori_shape=(90, 120)))
        counts.append(len(allocations.storages))
    assert counts == [1, 0]


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(stride=(17, 16)), r'test_cfg.stride=\(17, 16\) is larger than test_cfg.crop_size=\(16, 24\)'),
    (dict(stride=(11, 25)), 'is larger than'),
    (dict(stride=(0, 16)), 'each side of test_cfg.stride must be a positive integer, got 0'),
    (dict(crop_size=512), r'test_cfg.crop_size must be \(height, width\), got 512'),
    (dict(crop_size=(16, 24, 3)), r'test_cfg.crop_size must be \(height, width\)'),
    (dict(stride=None), r'test_cfg.stride must be \(height, width\), got None'),
    (dict(crops_per_batch=0), 'test_cfg.crops_per_batch must be a positive integer, got 0'),
    (dict(logits_device='gpu'), "test_cfg.logits_device='gpu' is no device"),
])
def test_wrong_settings_are_told_before_any_work(wrong, message):
    with pytest.raises(ValueError, match=message):
        _model('mmseg_attn.EncoderDecoder', SLIDE | wrong)
    model = _model('mmseg_attn.EncoderDecoder', SLIDE)
    model.test_cfg.update(wrong)
    model.backbone = None  # whatever is called of it fails
    with pytest.raises(ValueError, match=message):
        model.test_step(_data())


def test_evaluation_by_the_runner_gives_the_same_metrics(tmp_path, few_shapes):
    metrics = []
    for name in 'EncoderDecoder', 'mmseg_attn.EncoderDecoder':
        cfg = Config.fromfile('configs/emanet_r18_shapes.py')
        cfg.merge_from_dict({
            'work_dir': str(tmp_path / name), 'experiment_name': name, 'log_level': 'WARNING', 'model.type': name,
            'model.test_cfg': dict(mode='slide', crop_size=(160, 96), stride=(160, 64)),
            'test_dataloader.dataset.data_root': str(few_shapes), 'test_dataloader.dataset.indices': 2,
            'test_dataloader.num_workers': 0, 'test_dataloader.persistent_workers': False})
        runner = Runner.from_cfg(cfg)
        torch.manual_seed(0)
        randomize(runner.model)
        metrics.append(runner.test())
    assert metrics[0] == metrics[1]
    assert metrics[0]['mIoU'] > 0


@pytest.mark.parametrize('keep_logits', [True, False])
def test_predictions_in_half_precision(keep_logits):
    """Of mmseg's heads under autocast. NumPy, which metrics and pictures use, knows no bfloat16."""
    model = _model('mmseg_attn.EncoderDecoder', WHOLE | dict(keep_logits=keep_logits), num_classes=2, out_channels=1,
                   threshold=0.3)
    sample, = model.postprocess_result(torch.randn(1, 1, 8, 9).bfloat16(), None)
    assert set(sample.pred_sem_seg.data.numpy().ravel()) == {0, 1}
    assert not keep_logits or sample.seg_logits.data.dtype == torch.float32
