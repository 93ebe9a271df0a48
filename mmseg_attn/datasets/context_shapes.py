"""ContextShapes: a data set that measures whether a head carries context over a distance."""

import json
from pathlib import Path

import numpy as np
from filelock import FileLock
from mmseg.datasets import BaseSegDataset
from PIL import Image
from rich.progress import track

from mmseg_attn.common.files import atomic_folder
from mmseg_attn.registry import DATASETS

from .shapes_drawing import draw_image

# Written last into a whole data set. A change of what is drawn must change the version.
MARKER = 'context_shapes.json'
DATA_ROOT = 'data/context_shapes'
CONTENT = dict(version=1, train=800, val=100)


@DATASETS.register_module()
class ContextShapesDataset(BaseSegDataset):
    """Grey shapes whose class is the colour of a key that no local window contains together with them.

    The images are drawn on first use into ``data_root``, in the layout of PASCAL VOC, the same on every machine. With
    ``lazy_init`` that is when :meth:`full_init` is called.

    Args:
        data_root: where the data set is or shall be.
        ann_file: 'ImageSets/Segmentation/train.txt' or '.../val.txt'.
        kwargs: arguments of BaseSegDataset.

    Raises:
        ValueError: ``data_root`` is a folder with other content.
    """

    METAINFO = dict(
        classes=('background', 'red shape', 'green shape', 'blue shape', 'key'),
        palette=[[0, 0, 0], [220, 60, 60], [60, 180, 60], [70, 90, 230], [240, 220, 80]])

    @classmethod
    def config_problem(cls, settings: dict) -> str | None:
        """See :func:`mmseg_attn.common.config_checks.check_dataset`."""
        root = Path(settings.get('data_root', DATA_ROOT))
        return f'{root} exists and is not a ContextShapes data set' if is_foreign(root) else None

    def __init__(self, data_root: str = DATA_ROOT, ann_file: str = 'ImageSets/Segmentation/train.txt',
                 data_prefix: dict | None = None, **kwargs):
        self.root = Path(data_root)
        data_prefix = data_prefix or dict(img_path='JPEGImages', seg_map_path='SegmentationClass')
        super().__init__(data_root=data_root, ann_file=ann_file, data_prefix=data_prefix, img_suffix='.png', **kwargs)

    def load_data_list(self) -> list[dict]:
        generate_if_needed(self.root)
        return super().load_data_list()


def generate_if_needed(root: Path) -> None:
    """Draws the data set into ``root`` unless it is there, whole. Safe when several processes do so at once.

    Raises:
        ValueError: ``root`` exists and is not a ContextShapes data set.
    """
    if _is_whole(root):
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_name(root.name + '.lock')):
        if _is_whole(root):
            return
        if is_foreign(root):
            raise ValueError(f'{root} exists and is not a ContextShapes data set: remove it, or choose another '
                             'data_root for the data set')
        with atomic_folder(root) as partial:
            _generate(partial, root)


def is_foreign(root: Path) -> bool:
    """Whether ``root`` is, or holds, something that is not ours to replace."""
    return root.is_file() or (root.is_dir() and any(root.iterdir()) and not (root / MARKER).exists())


def _is_whole(root: Path) -> bool:
    try:
        if json.loads((root / MARKER).read_text()) != CONTENT:
            return False
    except (OSError, ValueError):
        return False
    expected = CONTENT['train'] + CONTENT['val']
    return (all((root / 'ImageSets/Segmentation' / f'{split}.txt').is_file() for split in ('train', 'val'))
            and all(sum(path.stat().st_size > 0 for path in (root / folder).glob('*.png')) == expected
                    for folder in ('JPEGImages', 'SegmentationClass')))


def _generate(root: Path, final: Path) -> None:
    for folder in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (root / folder).mkdir(parents=True)
    palette = np.array(ContextShapesDataset.METAINFO['palette'], np.uint8).flatten().tolist()
    names = [f'{split}_{i:04d}' for split in ('train', 'val') for i in range(CONTENT[split])]
    for seed, name in enumerate(track(names, f'Drawing ContextShapes into {final}')):
        image, label = draw_image(np.random.RandomState(seed))
        Image.fromarray(image).save(root / 'JPEGImages' / f'{name}.png', compress_level=1)
        label_image = Image.fromarray(label, mode='P')
        label_image.putpalette(palette)
        label_image.save(root / 'SegmentationClass' / f'{name}.png')
    for split in ('train', 'val'):
        lines = [name for name in names if name.startswith(split)]
        (root / 'ImageSets/Segmentation' / f'{split}.txt').write_text('\n'.join(lines) + '\n')
    (root / MARKER).write_text(json.dumps(CONTENT))
