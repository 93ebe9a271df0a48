"""What a config may say of blocks inside a backbone: errors that name the setting, and what mmseg does silently."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

POSITIONS = 'after_conv1', 'after_conv2', 'after_conv3'
# Their residual blocks have no bottleneck, which mmseg's plugins and ``dcn`` need.
BASIC_DEPTHS = 18, 34
AFTER_BLOCKS = "type='mmseg_attn.ResNetV1c' with after_blocks=[dict(cfg=..., blocks=...)]"


def check_entries(entries: Any, name: str, place: str) -> None:
    """Checks a list of ``dict(cfg=dict(type=...), <place>=(...))``.

    Args:
        entries: value of the setting.
        name: of the setting.
        place: key of an entry that tells where its block stands.

    Raises:
        ValueError: it is no such list.
    """
    form = f'dict(cfg=dict(type=...), {place}=(...))'
    if not isinstance(entries, (list, tuple)):
        raise ValueError(f'{name} must be a list of {form}, got {entries!r}')
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict) or entry.keys() != {'cfg', place}:
            raise ValueError(f'{name}[{i}] must be {form}, got {entry!r}')
        if not isinstance(entry['cfg'], dict) or 'type' not in entry['cfg']:
            raise ValueError(f'{name}[{i}].cfg must be dict(type=...), the config of a block, got {entry["cfg"]!r}')
        if not isinstance(entry[place], (list, tuple)):
            raise ValueError(f'{name}[{i}].{place} must be a list, got {entry[place]!r}')
        if not entry[place]:
            raise ValueError(f'{name}[{i}].{place} is empty, so that the block would stand nowhere')


def problem_of_plugins(plugins: Any, num_stages: int = 4, depth: int | None = None) -> str | None:
    """What is wrong with the ``plugins`` of a backbone's config, or None."""
    if not plugins:
        return None
    form = f"dict(cfg=dict(type=...), stages=(a bool for each of the {num_stages} stages), position='after_conv3')"
    if not isinstance(plugins, (list, tuple)):
        return f'must be a list of {form}, got {plugins!r}'
    for plugin in plugins:
        if not isinstance(plugin, dict) or not isinstance(plugin.get('cfg'), dict):
            return f'must be a list of {form}, got {plugin!r} among them'
        if plugin.get('position') not in POSITIONS:
            return f'position must be one of {", ".join(POSITIONS)}, got {plugin.get("position")!r}'
        stages = plugin.get('stages')
        if stages is not None and not (isinstance(stages, (list, tuple)) and len(stages) == num_stages):
            return f'stages must have a bool for each of the {num_stages} stages, got {stages!r}'
    if depth in BASIC_DEPTHS:
        return (f'the residual blocks of depth={depth} take no plugins in mmseg. Put them behind the residual blocks: '
                f'{AFTER_BLOCKS}')
    return _conflict(plugins)


def _conflict(plugins: Sequence[dict]) -> str | None:
    """mmseg gives two plugins at one position the same input and keeps the output of the last."""
    for first, second in combinations(plugins, 2):
        stages = [plugin.get('stages') for plugin in (first, second)]
        both = [i for i, used in enumerate(zip(*filter(None, stages), strict=False)) if all(used)]
        if first['position'] == second['position'] and (both or not all(stages)):
            names = ' and '.join(str(plugin['cfg'].get('type')) for plugin in (first, second))
            where = f'stage {both[0]}' if both else 'one stage'
            return (f'two plugins at {first["position"]} of {where}, {names}: mmseg drops the output of the first. '
                    f'Move one to another position, or behind the residual blocks: {AFTER_BLOCKS}')
    return None


def problem_of_dcn(dcn: Any, depth: int | None = None, stage_with_dcn: Any = None, num_stages: int = 4) -> str | None:
    """What is wrong with the ``dcn`` of a backbone's config, or None."""
    if dcn and depth in BASIC_DEPTHS:
        return f'the residual blocks of depth={depth} take no dcn in mmseg: take depth 50, 101 or 152'
    stages = (False, ) * 4 if stage_with_dcn is None else stage_with_dcn  # mmseg's default
    if dcn and not (isinstance(stages, (list, tuple)) and len(stages) == num_stages):
        return f'stage_with_dcn must have a bool for each of the {num_stages} stages, got {stages!r}'
    return None
