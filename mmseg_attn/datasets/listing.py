"""Whether the data sets of a config name any images, before they are opened."""

import os
from collections import Counter
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_attn.common.classes import datasets_in
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.image_files import IMAGE_SUFFIXES

from .class_checks import check_classes
from .pipeline_checks import check_steps, problem_of_steps
from .wrappers import problem_of_wrappers

BYTE_ORDER_MARK = b'\xef\xbb\xbf'


def check_listings(cfg: Config, *loaders: str) -> None:
    """Checks that the data sets of these loaders find images and go together, and that their classes fit the model.

    Raises:
        UserError: a list or a folder names none, a list is not one name per line without suffix, a step of a pipeline
            cannot be built, or classes do not fit.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    for loader in loaders:
        problem = problem_of_wrappers(cfg[loader]['dataset'], f'{loader}.dataset')
        if problem:
            raise UserError('{}.\n  {}'.format(*problem))
        for where, dataset in datasets_in(cfg[loader]['dataset'], f'{loader}.dataset'):
            problem = problem_of_listing(dataset) or problem_of_steps(dataset, loader)
            if problem:
                title, advice = (text.replace('{where}', where) for text in problem)
                raise UserError(f'{where}: {title}.\n  {advice}')
        check_steps(cfg[loader]['dataset'], f'{loader}.dataset')
    check_classes(cfg, *loaders)


def problem_of_listing(dataset: dict) -> tuple[str, str] | None:
    """What is wrong with the list or the folder of images of a data set, and what to do; {where} is its place."""
    try:
        opened = DATASETS.build(dict(dataset, pipeline=[], lazy_init=True))
    except Exception:  # building it will tell, or it is of the user's own
        return None
    if not isinstance(opened, BaseSegDataset):
        return None
    folder = Path((opened.data_prefix or {}).get('img_path') or '')
    if opened.ann_file and os.path.isfile(opened.ann_file):
        return _problem_of_list(Path(opened.ann_file), folder, opened.img_suffix)
    if opened.ann_file or not folder.is_dir():
        return None
    return _problem_of_folder(folder, opened.img_suffix)


def check_names_of_results(cfg: Config) -> None:
    """Checks that no two images of the test data have one name, by which label maps are written into one folder.

    Raises:
        UserError: two have.
    """
    seen: dict[str, str] = {}
    for where, dataset in datasets_in(cfg.test_dataloader['dataset'], 'test_dataloader.dataset'):
        try:
            opened = DATASETS.build(dict(dataset, pipeline=[], serialize_data=False))
            paths = [opened.get_data_info(i)['img_path'] for i in range(len(opened))]
        except Exception:  # building it will tell, or it is of the user's own
            continue
        for path in paths:
            other = seen.setdefault(Path(path).stem, path)
            if other != path:
                raise UserError(f'{where}: --out writes the label map of an image under its name, and {other} and '
                                f'{path} have the same.\n  mmseg-attn infer keeps the folders of images')


def _problem_of_list(path: Path, folder: Path, suffix: str) -> tuple[str, str] | None:
    content = path.read_bytes()
    if content.startswith(BYTE_ORDER_MARK):
        return f'{path} begins with a byte order mark', 'Save it as UTF-8 without one (in Notepad: "UTF-8")'
    try:
        names = content.decode('utf-8').splitlines()
    except UnicodeDecodeError:
        return f'{path} is not in UTF-8', 'Save it as UTF-8 (Windows PowerShell: Out-File -Encoding utf8NoBOM)'
    if not any(name.strip() for name in names):
        return f'{path} names no images', 'It holds one name per line, without suffix'
    blank = next((i for i, name in enumerate(names, start=1) if not name.strip()), None)
    if blank:
        return f'line {blank} of {path} is blank', 'It holds one name per line, without suffix'
    name = next((name for name in names if '\t' in name), None)
    if name:
        return f'{path} has several columns ({name!r})', 'It holds one name per line, without suffix'
    name = next((name.strip() for name in names if name.strip().lower().endswith(suffix.lower())
                 and not (folder / (name.strip() + suffix)).is_file()), None)
    if name:
        return (f'the names in {path} have a suffix ({name}), and {suffix} is added to them',
                f"Take the suffix off the names, for example: sed -i 's/{suffix}$//' {path}")
    return None


def _problem_of_folder(folder: Path, suffix: str) -> tuple[str, str] | None:
    others: Counter[str] = Counter()
    for _, _, names in os.walk(folder, followlinks=True):
        for name in names:
            if name.endswith(suffix):
                return None
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
                others[os.path.splitext(name)[1]] += 1
    if not others:
        return f'there are no images in {folder}', 'Copy or unpack them, or set {where}.data_prefix.img_path'
    found, number = others.most_common(1)[0]
    return (f'no image in {folder} ends in {suffix}',
            f'{number:,} end in {found}: set {{where}}.img_suffix={found!r} if those are the images')
