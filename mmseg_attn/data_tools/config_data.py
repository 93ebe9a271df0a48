"""The data sets of a config: which files they read, and what its model expects in them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_attn.common.classes import datasets_in
from mmseg_attn.common.config_checks import check_config
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.image_files import IMAGE_SUFFIXES
from mmseg_attn.common.loading_steps import own_labelling, own_loading, reads_labels
from mmseg_attn.common.palette import default_palette
from mmseg_attn.datasets.listing import problem_of_listing
from mmseg_attn.datasets.pipeline_checks import problem_of_steps, problem_of_zero
from mmseg_attn.datasets.wrappers import problem_of_wrappers

from .class_map import ClassMap
from .findings import Finding, Level, count
from .pairs import Pair

SPLITS = ('train', 'val', 'test')


@dataclass
class ConfigData:
    """One data set of a config.

    Attributes:
        split: 'train', 'val' or 'test'.
        where: its place in the config, such as 'train_dataloader.dataset.datasets.0'.
        type: name of its class.
        pairs: its files.
        class_map: how its label maps are read.
        own_ignore_index: what the data set, not the head, calls ignored.
        seg_map_suffix: how the names of its label maps end.
        is_resized: whether its pipeline brings all images to one size.
        findings: what can be said without reading the files.
        dataset: itself, whose pipeline may be empty; None where an error says already that no image can be loaded.
        pipeline: as in the config.
    """
    split: str
    where: str
    type: str
    pairs: list[Pair]
    class_map: ClassMap
    own_ignore_index: int | None = None
    seg_map_suffix: str = ''
    is_resized: bool = False
    findings: list[Finding] = field(default_factory=list)
    dataset: Any = None
    pipeline: list[dict] = field(default_factory=list)


def open_data(cfg: Config, split: str) -> list[ConfigData]:
    """The data sets of a split, those inside of ConcatDataset and other wrappers one by one.

    Raises:
        UserError: a folder or a list of images is missing, or a data set refuses its arguments.
    """
    loader = f'{split}_dataloader'
    check_config(cfg, loader)
    opened = [_open(cfg, split, where, dataset)
              for where, dataset in datasets_in(cfg[loader].dataset, f'{loader}.dataset')]
    problem = problem_of_wrappers(cfg[loader].dataset, f'{loader}.dataset')
    if problem:
        opened[0].findings.append(Finding(Level.ERROR, problem[0], advice=problem[1]))
    return opened


def _open(cfg: Config, split: str, where: str, config: dict) -> ConfigData:
    problem = problem_of_listing(config) or problem_of_steps(config, f'{split}_dataloader')
    title, advice = (text.replace('{where}', where) for text in problem or problem_of_zero(config) or ('', ''))
    try:
        dataset = _build(config, where)
    except UserError as error:
        if not problem:
            raise
        raise UserError(f'{title}.\n  {advice}') from error
    if not hasattr(dataset, 'get_data_info'):
        raise UserError(f'{where} is no data set of mmengine (it has no get_data_info), so its files cannot be checked')
    pipeline = config.get('pipeline', [])
    needs_labels = split == 'train' or any(reads_labels(step) for step in pipeline)
    label_steps = own_labelling(pipeline, f'the pipeline of {where}') if needs_labels else ()
    pairs = _pairs(dataset, own_loading(pipeline, f'the pipeline of {where}'), label_steps, needs_labels, where)
    data = ConfigData(split, where, config['type'], pairs, _class_map(cfg, dataset, bool(label_steps)),
                      getattr(dataset, 'ignore_index', None), getattr(dataset, 'seg_map_suffix', ''),
                      any(str(step.get('type')).endswith('Resize') and not step.get('keep_ratio', True)
                          for step in pipeline), pipeline=pipeline)
    if problem:
        data.pairs = []
        data.findings.append(Finding(Level.ERROR, title, advice=advice))
    elif not pairs:
        data.findings.append(Finding(Level.ERROR, 'there are no images'))
    elif needs_labels and pairs[0].label is None:
        data.findings.append(Finding(Level.ERROR, 'there are no label maps', advice=(
            f'Set {where}.data_prefix.seg_map_path')))
    elif title:
        data.findings.append(Finding(Level.ERROR, title, advice=advice))
    if not data.findings:
        data.findings += _left_out(dataset, pairs)
        data.dataset = dataset
    return data


def _pairs(dataset, steps: tuple[dict, ...], label_steps: tuple[dict, ...], needs_labels: bool, where: str
           ) -> list[Pair]:
    backend_args = getattr(dataset, 'backend_args', None)
    pairs = []
    for i in range(len(dataset)):
        told = dataset.get_data_info(i)
        if 'img_path' not in told:
            raise UserError(f'{where}: get_data_info of {type(dataset).__name__} tells no img_path, so its files '
                            'cannot be checked')
        # Steps of the user's own may find the labels by what they like.
        label = told.get('seg_map_path') or (told['img_path'] if label_steps else None)
        pairs.append(Pair(told['img_path'], label if needs_labels else None, backend_args, steps, label_steps,
                          told if steps or label_steps else {}))
    return pairs


def _build(config: dict, where: str):
    try:
        try:
            # Nothing is loaded; and mmengine cannot serialize an empty list.
            return DATASETS.build(dict(config, pipeline=[], serialize_data=False))
        except TypeError:  # a class of the user's own that does not take both
            return DATASETS.build(config)
    except (AssertionError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f'{where} cannot be built: {error}') from error


def _class_map(cfg: Config, dataset, is_own: bool) -> ClassMap:
    head = last_head(cfg.model)
    classes = dataset.metainfo.get('classes') or tuple(f'class {i}' for i in range(head.get('num_classes', 0)))
    palette = dataset.metainfo.get('palette') or default_palette(len(classes))
    colours, ignored = tuple(tuple(colour) for colour in palette), head.get('ignore_index', 255)
    if is_own:  # its steps have done the rest
        return ClassMap(tuple(classes), colours, ignored, is_own=True)
    return ClassMap(tuple(classes), colours, ignored, getattr(dataset, 'reduce_zero_label', False),
                    getattr(dataset, 'label_map', None))


def last_head(model: dict) -> dict:
    """The config of the decode head whose output counts."""
    head = model.get('decode_head') or {}
    return head[-1] if isinstance(head, list | tuple) else head


def _left_out(dataset, pairs: list[Pair]) -> list[Finding]:
    """Images beside those of the data set, which training would leave out without a word."""
    if not isinstance(dataset, BaseSegDataset):
        return []
    folder = Path(dataset.data_prefix.get('img_path') or '')
    label_folder = dataset.data_prefix.get('seg_map_path')
    if dataset.ann_file or not folder.is_dir():
        return []
    labels = {pair.label for pair in pairs}
    others = [path for path in sorted(folder.rglob('*')) if path.suffix.lower() in IMAGE_SUFFIXES
              and not path.name.endswith(dataset.img_suffix) and str(path) not in labels]
    labelled = [path for path in others if label_folder and (
        Path(label_folder) / path.relative_to(folder).with_name(path.stem + dataset.seg_map_suffix)).is_file()]
    unlabelled = [path for path in others if path not in set(labelled)]
    findings = []
    if labelled:
        findings.append(Finding(
            Level.ERROR, f'{count(labelled, "image")} with a label map: left out, for want of the suffix '
            f'{dataset.img_suffix}', [str(path) for path in labelled], advice='Give all images the same suffix'))
    if unlabelled:
        findings.append(Finding(
            Level.WARNING, f'{count(unlabelled, "image")} without a label map: left out, for want of the suffix '
            f'{dataset.img_suffix}', [str(path) for path in unlabelled]))
    return findings
