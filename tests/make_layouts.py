"""Lays the files of CamVid out as PASCAL VOC and as Cityscapes, to try those configs on real photographs.

    python tests/make_layouts.py CAMVID OUT     writes OUT/VOCdevkit/VOC2012 and OUT/cityscapes
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

CAMVID_VOID, VOID = 11, 255


def _samples(camvid: Path, split: str, count: int) -> list[tuple[str, Path, Path]]:
    images = sorted((camvid / split).iterdir())[:count]
    return [(image.stem, image, camvid / f'{split}annot' / f'{image.stem}.png') for image in images]


def _save_label(source: Path, target: Path) -> None:
    label = np.array(Image.open(source))
    label[label == CAMVID_VOID] = VOID
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(label).save(target)


def make_voc(camvid: Path, root: Path, count: int) -> None:
    """Half of the training images as VOC's own, half as those that SBD adds."""
    (root / 'ImageSets/Segmentation').mkdir(parents=True)
    (root / 'JPEGImages').mkdir()
    train = _samples(camvid, 'train', count)
    splits = {'train': (train[::2], 'SegmentationClass'), 'aug': (train[1::2], 'SegmentationClassAug'),
              'val': (_samples(camvid, 'val', count), 'SegmentationClass')}
    for split, (samples, folder) in splits.items():
        for name, image, label in samples:
            Image.open(image).save(root / 'JPEGImages' / f'{name}.jpg')
            _save_label(label, root / folder / f'{name}.png')
        names = [name for name, *_ in samples]
        (root / 'ImageSets/Segmentation' / f'{split}.txt').write_text('\n'.join(names) + '\n')


def make_cityscapes(camvid: Path, root: Path, count: int) -> None:
    for split in ('train', 'val'):
        for name, image, label in _samples(camvid, split, count):
            picture = root / 'leftImg8bit' / split / 'cambridge' / f'{name}_leftImg8bit.png'
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.open(image).save(picture)
            _save_label(label, root / 'gtFine' / split / 'cambridge' / f'{name}_gtFine_labelTrainIds.png')


def main(camvid: Path, out: Path, count: int = 8) -> None:
    make_voc(camvid, out / 'VOCdevkit/VOC2012', count)
    make_cityscapes(camvid, out / 'cityscapes', count)


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]))
