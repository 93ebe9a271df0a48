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
from .pipeline_checks import check_steps, problem_of_steps, problem_of_zero
from .wrappers import problem_of_wrappers

BYTE_ORDER_MARK = b'\xef\xbb\xbf'
ONE_NAME = 'It holds one name per line, without suffix'


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
            problem = (problem_of_listing(dataset) or problem_of_steps(dataset, loader)
                       or problem_of_zero(dataset))
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
        return _problem_of_list(Path(opened.ann_file), folder, opened)
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


def _problem_of_list(path: Path, folder: Path, opened: BaseSegDataset) -> tuple[str, str] | None:
    content = path.read_bytes()
    if content.startswith(BYTE_ORDER_MARK):
        return f'{path} begins with a byte order mark', 'Save it as UTF-8 without one (in Notepad: "UTF-8")'
    try:
        names = content.decode('utf-8').splitlines()
    except UnicodeDecodeError:
        return f'{path} is not in UTF-8', 'Save it as UTF-8 (Windows PowerShell: Out-File -Encoding utf8NoBOM)'
    if not any(name.strip() for name in names):
        return f'{path} names no images', ONE_NAME
    blank = next((i for i, name in enumerate(names, start=1) if not name.strip()), None)
    if blank:
        return f'line {blank} of {path} is blank', ONE_NAME
    return next(filter(None, (_problem_of_name(name, path, folder, opened) for name in names)), None)


def _problem_of_name(name: str, path: Path, folder: Path, opened: BaseSegDataset) -> tuple[str, str] | None:
    """What is wrong with one line of a list, if it names no image. Most are not looked for in the folder."""
    suffix, columns, has = opened.img_suffix, name.split(), os.path.splitext(name.strip())[1]
    first, _, rest = name.strip().replace('\\', '/').partition('/')
    has_suffix = name.strip().lower().endswith(suffix.lower())
    if not (has_suffix or len(columns) > 1 or os.path.isabs(name) or first == folder.name
            or has.lower() in IMAGE_SUFFIXES):
        return None
    is_image = (folder / (name.strip() + suffix)).is_file()
    if os.path.isabs(name) and not (is_image and suffix != opened.seg_map_suffix):
        return (f'{path} has whole paths ({name})',
                f'{ONE_NAME}, seen from {folder}: that of the label map is the same in another folder')
    if is_image:
        return None
    if len(columns) > 1 and any(column.lower().endswith(IMAGE_SUFFIXES) or (folder / (column + suffix)).is_file()
                                for column in columns[:-1]):
        return f'{path} has several columns ({name!r})', ONE_NAME
    is_there = (folder / name.strip()).is_file()
    if has_suffix or is_there or (has.lower() in IMAGE_SUFFIXES
                                  and (folder / (name.strip().removesuffix(has) + suffix)).is_file()):
        also = f', and set {{where}}.img_suffix={has!r}' if is_there and not has_suffix else ''
        taken = suffix if has_suffix else has
        return (f'the names in {path} have a suffix ({name.strip()}), and {suffix} is added to them',
                f"Take the suffix off the names, for example: sed -i 's/{taken}$//' {path}{also}")
    if first == folder.name and (folder / (rest + suffix)).is_file():
        return (f'the names in {path} begin with the folder {first} ({name}), which data_prefix.img_path names already',
                f"Take it off the names, for example: sed -i 's/^{first}.//' {path}")
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
