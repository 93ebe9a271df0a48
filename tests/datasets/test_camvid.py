import numpy as np
import pytest
from PIL import Image

from mmseg_attn.datasets import CamVidDataset


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_finds_the_suffix_of_the_images(tmp_path, suffix):
    for folder in ('train', 'trainannot'):
        (tmp_path / folder).mkdir()
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / 'train' / f'a{suffix}')
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / 'trainannot' / 'a.png')
    dataset = CamVidDataset(data_root=str(tmp_path), data_prefix=dict(img_path='train', seg_map_path='trainannot'))
    assert len(dataset) == 1
    assert dataset.ignore_index == len(dataset.metainfo['classes']) == 11
