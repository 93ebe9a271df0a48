"""The checkpoints that lie in a folder: their names, whether they are whole, and the newest of them."""

import re
from pathlib import Path

import numpy as np

from mmseg_attn.checkpoints.fit import check_finite
from mmseg_attn.checkpoints.reading import read_content, unwrap
from mmseg_attn.common.errors import UserError

# The number of the iteration or epoch, and where that is an epoch that has not ended, of the iteration.
Step = tuple[int, int]
TEMPLATES = 'iter_{}.pth', 'epoch_{}.pth'


# What the hook for checkpoints takes from the message hub.
KINDS: dict[str, type | tuple[type, ...]] = dict(
    best_ckpt=(str, type(None)), best_score=(int, float, np.number), keep_ckpt_ids=list, last_ckpt=(str, type(None)))


def files_like(folder: str | Path, template: str) -> list[tuple[Step, Path]]:
    """The files of a folder named as ``template`` with a number for ``{}``, and their steps, the latest first."""
    pattern, place = name_pattern(template), Path(folder, template).parent
    found = [((int(match[1]), int(match[2] or 0)), path)
             for path in place.glob('*') if path.is_file() and (match := pattern.fullmatch(path.name))]
    return sorted(found, reverse=True)


def best_files(folder: str | Path, template: str) -> list[tuple[Step, Path]]:
    """:func:`files_like` for the best checkpoints by whatever metric."""
    pattern = re.compile('best_.+_' + name_pattern(template).pattern)
    return [((int(match[1]), int(match[2] or 0)), path)
            for path in Path(folder).glob('best_*') if path.is_file() and (match := pattern.fullmatch(path.name))]


def name_pattern(template: str) -> re.Pattern:
    """Of the files named as ``template`` with a number for ``{}``."""
    # A number may have a format, as in {:06d}.
    before, after = map(re.escape, re.split(r'\{[^}]*\}', Path(template).name, maxsplit=1))
    # In the middle of an epoch, the number of the iteration is there too.
    return re.compile(f'{before}([0-9]+)(?:_iter_([0-9]+))?{after}')


def check_resumable(path: Path) -> None:
    """Reads a checkpoint to its end.

    Raises:
        UserError: it is damaged, its weights are not finite, or it has no state of a training.
    """
    content = read_content(path)
    weights, _ = unwrap(content, path)
    check_finite(weights, str(path))
    check_state(content, str(path))


def check_state(content: dict, what: str) -> None:
    """
    Raises:
        UserError: a checkpoint has weights, but no training can go on from them.
    """
    meta = content.get('meta')
    missing = [f'meta.{name}' for name in ('iter', 'epoch')
               if not (isinstance(meta, dict) and isinstance(meta.get(name), int) and meta[name] >= 0)]
    missing += [name for name in ('message_hub', 'optimizer') if not (isinstance(content.get(name), dict)
                                                                     and content[name])]
    hub = content.get('message_hub') or {}
    missing += [f'message_hub.{name}' for name in ('log_scalars', 'runtime_info', 'resumed_keys')
                if 'message_hub' not in missing and not isinstance(hub.get(name), dict)]
    wrong = [] if missing else [name for name, types in KINDS.items()
                                if name in hub['runtime_info'] and not isinstance(hub['runtime_info'][name], types)]
    if wrong:
        value = hub['runtime_info'][wrong[0]]
        raise UserError(f'{what}: message_hub.runtime_info.{wrong[0]} is {value!r}: the file is damaged')
    if missing:
        raise UserError(f'{what} has no state of a training ({", ".join(missing)} missing), so it cannot be resumed.\n'
                        f'  A new training that starts from its weights: --cfg-options load_from={what}')


def newest_whole(candidates: list[Path]) -> tuple[Path, list[str]]:
    """The first of the checkpoints that a training can go on from, and why those before it are none.

    Raises:
        UserError: none is whole.
    """
    problems: list[str] = []
    for path in candidates:
        try:
            check_resumable(path)
        except Exception as error:  # whatever a damaged file raises, an older one is whole
            problems.append(f'{error}' if isinstance(error, UserError) else f'{path}: {type(error).__name__}: {error}')
        else:
            return path, problems
    raise UserError('no checkpoint can be resumed:\n  ' + '\n  '.join(p.splitlines()[0] for p in problems[:2])
                    + '\n  A new training, which removes them: --overwrite')
