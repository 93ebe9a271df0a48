"""mmseg's EncoderDecoder, evaluated with less memory."""

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder as MMSegEncoderDecoder
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_attn.common.windows import windows
from mmseg_attn.ops.checks import check_positive
from mmseg_attn.ops.pixel_attention import float_or_better
from mmseg_attn.registry import MODELS

from .transfer import Transfer

# Resized together by keep_logits=False, so that only they exist at the original size.
MAX_RESIZED_CLASSES = 4


@MODELS.register_module()
class EncoderDecoder(MMSegEncoderDecoder):
    """mmseg's EncoderDecoder with the same predictions and less memory: logits of the size of the image exist once.

    In mmseg they exist twice: its sliding windows pad the logits of every crop to the size of the image, and its last
    resize copies them even where the size stays. ``benchmarks/slide_memory.py`` measures both. Training is mmseg's.

    Args:
        kwargs: arguments of mmseg's EncoderDecoder. ``test_cfg`` may also have:

            - ``crops_per_batch=1``: so many crops of every image go through the network at once, in slide mode, for a
              GPU that one does not fill. Each adds its activations and logits to the memory.
            - ``logits_device=None``: where slide mode sums up the logits of the image, and where predictions are. 'cpu'
              leaves to the GPU only what the crops need. None is the device of the image.
            - ``keep_logits=True``: False leaves only ``pred_sem_seg`` in a prediction. Images whose original size is
              another then need no copy of the logits at that size. Test-time augmentation needs them.

    Raises:
        ValueError: ``test_cfg`` has a wrong value, or strides that leave gaps between the crops.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.test_cfg and self.test_cfg.get('mode') == 'slide':
            _check(self.test_cfg)

    def slide_inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Images (B, C, H, W) -> for every pixel the mean of the crops that cover it, (B, out_channels, H, W)."""
        _check(self.test_cfg)
        batch_size, _, height, width = inputs.shape
        crops = windows((height, width), self.test_cfg['crop_size'], self.test_cfg['stride'])
        total = inputs.new_zeros((batch_size, self.out_channels, height, width),
                                 device=self.test_cfg.get('logits_device'))
        count = total.new_zeros((height, width))
        crops_per_batch = self.test_cfg.get('crops_per_batch', 1)
        waiting: list[tuple[list[tuple[slice, slice]], Transfer]] = []
        for first in range(0, len(crops), crops_per_batch):
            places = crops[first:first + crops_per_batch]
            waiting.append((places, self._crop_logits(places, inputs, batch_img_metas, total.device)))
            # While logits are copied from a GPU, the next crops go through the network.
            while waiting and (len(waiting) > 1 or not waiting[0][1].is_under_way):
                _add_crops(total, count, *waiting.pop(0))
        for places, logits in waiting:
            _add_crops(total, count, places, logits)
        return total.div_(count)

    def _crop_logits(self, places: list[tuple[slice, slice]], inputs: Tensor, batch_img_metas: list[dict],
                     device: torch.device) -> Transfer:
        """Logits of some crops of all images, those of one crop together, on their way to ``device``."""
        crops = torch.cat([inputs[:, :, rows, columns] for rows, columns in places])
        # Most heads of mmseg tell by the type, torch.Size, that img_shape is the size; Mask2Former's takes pad_shape.
        size = crops.shape[2:]
        metas = [dict(meta, img_shape=size, pad_shape=size) for meta in batch_img_metas] * len(places)
        return Transfer(self.encode_decode(crops, metas), device)

    def postprocess_result(self, seg_logits: Tensor, data_samples: list[SegDataSample] | None = None
                           ) -> list[SegDataSample]:
        """Logits (B, C, H, W) -> samples with ``pred_sem_seg`` (1, h, w) and, unless ``keep_logits=False``,
        ``seg_logits`` (C, h, w).

        h and w are the size of the original image, or without ``data_samples`` that of the logits. ``seg_logits`` is a
        view of the argument where they are equal.
        """
        if data_samples is None:
            data_samples = [SegDataSample() for _ in seg_logits]
        keep_logits = (self.test_cfg or {}).get('keep_logits', True)
        for logits, sample in zip(seg_logits, data_samples, strict=True):
            if len(logits) > 1 and not keep_logits:
                sample.set_data(dict(pred_sem_seg=PixelData(data=self._best_class(logits.detach(), sample.metainfo))))
                continue
            # Of mmseg's heads under autocast it may be in half precision, of which NumPy does not know all.
            logits = float_or_better(self._restore(logits, sample.metainfo))
            if len(logits) == 1:
                logits = logits.sigmoid()
                labels = (logits > self.decode_head.threshold).to(logits)
            else:
                labels = logits.argmax(dim=0, keepdim=True)
            sample.set_data(dict(pred_sem_seg=PixelData(data=labels)))
            if keep_logits:
                sample.set_data(dict(seg_logits=PixelData(data=logits)))
        return data_samples

    def _restore(self, logits: Tensor, meta: dict) -> Tensor:
        """Logits (C, H, W) without padding and flip, at the original size; a view where nothing is to do."""
        left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
        height, width = logits.shape[1:]
        logits = logits[:, top:height - bottom, left:width - right]
        if meta.get('flip'):
            logits = logits.flip(dict(horizontal=2, vertical=1)[meta['flip_direction']])
        size = tuple(meta.get('ori_shape', logits.shape[1:]))
        if size != tuple(logits.shape[1:]):
            logits = resize(logits[None], size, mode='bilinear', align_corners=self.align_corners, warning=False)[0]
        return logits

    def _best_class(self, logits: Tensor, meta: dict) -> Tensor:
        """Logits (C, H, W) -> labels (1, h, w) at the original size."""
        best, labels = self._restore(logits[:MAX_RESIZED_CLASSES], meta).max(dim=0, keepdim=True)
        for first in range(MAX_RESIZED_CLASSES, len(logits), MAX_RESIZED_CLASSES):
            values, indices = self._restore(logits[first:first + MAX_RESIZED_CLASSES], meta).max(dim=0, keepdim=True)
            torch.where(values > best, indices.add_(first), labels, out=labels)
            torch.maximum(values, best, out=best)
        return labels


def _add_crops(total: Tensor, count: Tensor, places: list[tuple[slice, slice]], logits: Transfer) -> None:
    """Adds the logits of some crops to ``total``, and 1 to the ``count`` of their pixels."""
    for (rows, columns), crop in zip(places, logits.result().split(len(total)), strict=True):
        total[:, :, rows, columns] += crop
        count[rows, columns] += 1


def _check(test_cfg: dict) -> None:
    for name in 'crop_size', 'stride':
        value = test_cfg.get(name)
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise ValueError(f'test_cfg.{name} must be (height, width), got {value!r}')
        for side in value:
            check_positive(**{f'each side of test_cfg.{name}': side})
    crop_size, stride = tuple(test_cfg['crop_size']), tuple(test_cfg['stride'])
    if stride[0] > crop_size[0] or stride[1] > crop_size[1]:
        raise ValueError(f'test_cfg.stride={stride} is larger than test_cfg.crop_size={crop_size}: no crop would cover '
                         'the pixels between')
    check_positive(**{'test_cfg.crops_per_batch': test_cfg.get('crops_per_batch', 1)})
    try:
        torch.device(test_cfg.get('logits_device') or 'cpu')
    except RuntimeError as error:
        raise ValueError(f'test_cfg.logits_device={test_cfg["logits_device"]!r} is no device: {error}') from error
