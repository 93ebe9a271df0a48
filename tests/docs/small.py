"""A copy of the repository with small data, in which the commands of a page run as they stand."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from mmengine.config import Config
from PIL import Image

from tests.tools.command import ROOT, environment, succeeds
from tests.tools.warm import run_warm

from .pages import WRITTEN, blocks, pages

PARTS = ('benchmarks', 'configs', 'docs', 'mmseg_attn', 'tests', 'tools', 'CONTRIBUTING.md', 'README.md',
         'model-index.yml', 'pyproject.toml')
NOT_COPIED = shutil.ignore_patterns('__pycache__', 'data')
CROP = 65
# The config of a reader who has used mmseg so far.
MMSEG_EMANET = 'emanet/emanet_r50-d8_4xb2-80k_cityscapes-512x1024.py'


def write_data(root: Path, shapes: Path) -> None:
    """Four images each in the layouts of CamVid, VOC and Cityscapes, with one corner unlabelled; ContextShapes."""
    random = np.random.default_rng(0)
    (root / 'context_shapes').parent.mkdir(parents=True, exist_ok=True)
    (root / 'context_shapes').symlink_to(shapes)

    def write(image: str, label: str, classes: int, void: int) -> None:
        pixels = random.integers(0, 256, (72, 96, 3), dtype=np.uint8)
        numbers = random.integers(0, classes, (9, 12), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        numbers[:8, :8] = void
        for name, array in ((image, pixels), (label, numbers)):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / name)

    voc, city = 'VOCdevkit/VOC2012', 'cityscapes'
    for i in range(4):
        for split in ('train', 'val', 'test'):
            write(f'camvid/{split}/{i}.png', f'camvid/{split}annot/{i}.png', 11, 11)
        for split, folder in (('train', ''), ('aug', 'Aug'), ('val', '')):
            write(f'{voc}/JPEGImages/{split}{i}.jpg', f'{voc}/SegmentationClass{folder}/{split}{i}.png', 21, 255)
        for split in ('train', 'val'):
            write(f'{city}/leftImg8bit/{split}/a/{i}_leftImg8bit.png',
                  f'{city}/gtFine/{split}/a/{i}_gtFine_labelTrainIds.png', 19, 255)
    for split in ('train', 'aug', 'val'):
        lists = root / voc / 'ImageSets/Segmentation' / f'{split}.txt'
        lists.parent.mkdir(parents=True, exist_ok=True)
        lists.write_text(''.join(f'{split}{i}\n' for i in range(4)))


def write_repository(folder: Path, page: str, data: Path) -> None:
    """Copies the repository into ``folder``, and writes into it what the page shows and takes as given."""
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=NOT_COPIED)
        else:
            shutil.copy(ROOT / part, folder)
    (folder / 'tests' / 'data').symlink_to(ROOT / 'tests' / 'data')
    (folder / 'data').symlink_to(data)
    shutil.copy(data / 'camvid' / 'test' / '0.png', folder / 'street.png')
    write_files(folder, page)


def write_files(folder: Path, page: str) -> None:
    """Writes the files that the page shows, and the config of the reader."""
    (folder / 'emanet.py').write_text(_mmseg_emanet())
    for block in blocks(page, pages()[page], WRITTEN):
        if block.file:
            _write(folder / block.file, block.code.split('\n', 1)[1], block.where)


@cache
def _mmseg_emanet() -> str:
    return Config.fromfile(mmseg_config(MMSEG_EMANET)).pretty_text


def mmseg_config(name: str) -> Path:
    import mmseg
    return Path(mmseg.__file__).parent / '.mim' / 'configs' / name


def _write(file: Path, code: str, where: str | None) -> None:
    if where is None:
        assert not file.exists(), f'{file} exists'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
    else:
        preposition, name = where.split()
        mark, new = {'before': (f'\n{name} ', f'\n{code}\n{name} '),
                     'in': (f'\n{name} = [\n', f'\n{name} = [\n{code}')}[preposition]
        before, after = file.read_text().split(mark)
        file.write_text(f'{before}{new}{after}')


def small_options(config: Path, iterations: int = 3) -> list[str]:
    """Settings under which a config trains and tests in seconds: narrow layers, small crops, few images."""
    cfg = Config.fromfile(config, import_custom_modules=False)
    options = ['model.pretrained=None', 'model.backbone.base_channels=8', 'model.backbone.stem_channels=8']
    for name in ('decode_head', 'auxiliary_head'):
        head = cfg.model.get(name)
        if head:
            options += [f'model.{name}.in_channels={_eighth(head.in_channels)}', f'model.{name}.channels=16']
    if 'EMAHead' in cfg.model.decode_head.type:
        options += ['model.decode_head.ema_channels=16', 'model.decode_head.num_bases=6']
    crops = [f'{where}=({CROP},{CROP})' for where in _random_crops(cfg.train_dataloader.dataset,
                                                                 'train_dataloader.dataset')]
    if crops:
        options += [*crops, f'model.data_preprocessor.size=({CROP},{CROP})']
    for split in ('val', 'test'):
        options += [f'{split}_dataloader.dataset.pipeline.{i}.scale=(128,128)'
                    for i, step in enumerate(cfg[f'{split}_dataloader'].dataset.pipeline) if 'scale' in step]
    for split in ('train', 'val', 'test'):
        options += [f'{split}_dataloader.num_workers=0', f'{split}_dataloader.persistent_workers=False']
    return [*options, 'train_dataloader.batch_size=2', 'val_dataloader.dataset.indices=2',
            'test_dataloader.dataset.indices=2', f'train_cfg.max_iters={iterations}',
            f'train_cfg.val_interval={iterations}', f'default_hooks.checkpoint.interval={iterations}',
            'default_hooks.logger.interval=1']


def _eighth(channels: int | list[int]) -> str:
    return ','.join(str(c // 8) for c in channels) if isinstance(channels, list) else str(channels // 8)


def _random_crops(dataset: dict, where: str) -> Iterator[str]:
    for i, inner in enumerate(dataset.get('datasets', [])):
        yield from _random_crops(inner, f'{where}.datasets.{i}')
    for i, step in enumerate(dataset.get('pipeline', [])):
        if step['type'] == 'RandomCrop':
            yield f'{where}.pipeline.{i}.crop_size'


def run(words: list[str], folder: Path, **variables: str) -> str:
    """Runs a command in the copy; python and pytest are those of the tests. Returns its output."""
    programs = {'python': [sys.executable], 'pytest': [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider']}
    is_script = words[0] == 'python' and (words[1].endswith('.py') or words[1] == '-m')
    # The copy, not the installed package; and no GPU, so that everywhere the same is run.
    env = environment(**variables) | dict(PYTHONPATH=str(folder), CUDA_VISIBLE_DEVICES='')
    if is_script and not variables:
        return succeeds(run_warm(words[1:], folder, env))
    return succeeds(subprocess.run([*programs.get(words[0], words[:1]), *words[1:]], cwd=folder, env=env,
                                   capture_output=True, text=True, timeout=900))
