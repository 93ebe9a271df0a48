"""What mmseg does to the plugins of a backbone without a word."""

from collections.abc import Sequence
from itertools import combinations


def conflict_of_plugins(plugins: Sequence[dict] | None) -> str | None:
    """What is wrong with the ``plugins`` of a backbone's config: two at one position.

    mmseg gives both the same input and keeps the output of the last, so that the first has no effect.
    """
    for first, second in combinations(plugins or (), 2):
        stages = [plugin.get('stages') for plugin in (first, second)]
        both = [i for i, used in enumerate(zip(*filter(None, stages), strict=False)) if all(used)]
        if first.get('position') == second.get('position') and (both or not all(stages)):
            names = ' and '.join(str((plugin.get('cfg') or {}).get('type')) for plugin in (first, second))
            where = f'stage {both[0]}' if both else 'one stage'
            return (f'two plugins at {first.get("position")} of {where}, {names}: mmseg drops the output of the first. '
                    "Move one to another position, or behind the residual blocks: type='mmseg_attn.ResNetV1c' with "
                    'after_blocks=[dict(cfg=..., blocks=...)]')
    return None
