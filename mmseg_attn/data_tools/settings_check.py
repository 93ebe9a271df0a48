"""Where model and evaluator of a config do not fit its data."""

from mmengine.config import Config

from mmseg_attn.common.config_checks import heads_of
from mmseg_attn.datasets.class_checks import problems_of_names, problems_of_number

from .config_data import ConfigData, last_head
from .findings import Finding, Level, count
from .pairs import PairContent
from .split_check import may_enlarge


def check_settings(cfg: Config, data: list[ConfigData], contents: list[list[PairContent]]) -> list[Finding]:
    """
    Args:
        cfg: the config.
        data: its data sets.
        contents: of the files of each.
    """
    ignored = last_head(cfg.model).get('ignore_index', 255)
    return [*_check_classes(cfg, data), *_check_heads(cfg.model, ignored),
            *_check_padding(cfg, data, contents, ignored),
            *_check_evaluators(cfg, {one.split for one in data}, ignored)]


def _check_classes(cfg: Config, data: list[ConfigData]) -> list[Finding]:
    problems = [problem for split in dict.fromkeys(one.split for one in data)
                for problem in problems_of_names(cfg, split)]
    problems += [problem for one in data
                 for problem in problems_of_number(cfg.model, one.where, len(one.class_map.classes))]
    return [Finding(Level.ERROR, title, advice=advice) for title, advice in problems]


def _check_heads(model: dict, ignored: int | None) -> list[Finding]:
    findings = []
    for where, head in heads_of(model):
        if head.get('ignore_index', 255) != ignored:
            findings.append(Finding(
                Level.ERROR, f'{where} ignores {head.get("ignore_index", 255)}, and model.decode_head {ignored}',
                advice=f'Set {where}.ignore_index={ignored}'))
    return findings


def _check_padding(cfg: Config, data: list[ConfigData], contents: list[list[PairContent]], ignored: int | None
                   ) -> list[Finding]:
    preprocessor, head = cfg.model.get('data_preprocessor') or {}, last_head(cfg.model)
    padding = preprocessor.get('seg_pad_val', 255)
    if padding == ignored:
        return []
    title = f'label maps are padded with {padding}, and model.decode_head ignores {ignored}'
    advice = f'Set model.data_preprocessor.seg_pad_val={ignored}'
    small = _padded(preprocessor.get('size'), data, contents)
    if small and not 0 <= padding < max(head.get('num_classes') or 0, 2):
        title += f'; {count(small, "image")} smaller than model.data_preprocessor.size'
        return [Finding(Level.ERROR, title, small, advice)]
    return [Finding(Level.WARNING, title, advice=advice)]


def _padded(size: tuple[int, int] | None, data: list[ConfigData], contents: list[list[PairContent]]) -> list[str]:
    """The images of training that are smaller than (height, width) and that no step makes larger."""
    if not size:
        return []
    return [f'{content.pair.image}: {content.size[0]} x {content.size[1]}'
            for one, of_it in zip(data, contents, strict=True) if one.split == 'train' and not may_enlarge(one.pipeline)
            for content in of_it if content.size and (content.size[0] < size[1] or content.size[1] < size[0])]


def _check_evaluators(cfg: Config, splits: set[str], ignored: int | None) -> list[Finding]:
    findings = []
    for split in sorted(splits - {'train'}):
        evaluators = cfg.get(f'{split}_evaluator') or []
        for evaluator in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
            if evaluator.get('type') == 'IoUMetric' and evaluator.get('ignore_index', 255) != ignored:
                findings.append(Finding(
                    Level.WARNING, f'{split}_evaluator ignores {evaluator.get("ignore_index", 255)}, and '
                    f'model.decode_head {ignored}: what training ignores would count as wrong',
                    advice=f'Set {split}_evaluator.ignore_index={ignored}'))
    return findings
