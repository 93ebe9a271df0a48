"""Where model and evaluator of a config do not fit its data."""

from mmengine.config import Config

from mmseg_attn.common.config_checks import heads_of

from .config_data import ConfigData, last_head
from .findings import Finding, Level


def check_settings(cfg: Config, data: list[ConfigData]) -> list[Finding]:
    """
    Args:
        cfg: the config.
        data: its data sets.
    """
    ignored = last_head(cfg.model).get('ignore_index', 255)
    return [*_check_heads(cfg.model, data, ignored), *_check_padding(cfg.model, ignored),
            *_check_evaluators(cfg, {one.split for one in data}, ignored)]


def _check_heads(model: dict, data: list[ConfigData], ignored: int | None) -> list[Finding]:
    findings = []
    for where, head in heads_of(model):
        for one in data:
            number = len(one.class_map.classes)
            # One output channel may stand for two classes.
            if head.get('num_classes', number) not in (number, 1) and head.get('out_channels') != 1:
                findings.append(Finding(
                    Level.ERROR, f'{where} has num_classes={head.num_classes}, and {one.where} has {number} classes',
                    advice=f'Set {where}.num_classes={number}'))
        if head.get('ignore_index', 255) != ignored:
            findings.append(Finding(
                Level.ERROR, f'{where} ignores {head.get("ignore_index", 255)}, and model.decode_head {ignored}',
                advice=f'Set {where}.ignore_index={ignored}'))
    return findings


def _check_padding(model: dict, ignored: int | None) -> list[Finding]:
    padding = (model.get('data_preprocessor') or {}).get('seg_pad_val', 255)
    if padding == ignored:
        return []
    return [Finding(Level.WARNING, f'label maps are padded with {padding}, and model.decode_head ignores {ignored}',
                    advice=f'Set model.data_preprocessor.seg_pad_val={ignored}')]


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
