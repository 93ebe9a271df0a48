"""The configs that come with this package, in a working copy or in an installed wheel."""

import difflib
import os
from pathlib import Path

from .errors import UserError

PACKAGE = Path(__file__).parents[1]


def configs_folder() -> Path:
    """``configs/`` of the working copy, or of the installed package."""
    folders = PACKAGE / '.mim' / 'configs', PACKAGE.parent / 'configs'
    found = next((folder for folder in folders if (folder / 'metafiles' / 'emanet.yml').is_file()), None)
    if found is None:
        raise UserError(f'the configs of mmseg_attn are missing in {folders[0]} and {folders[1]}: install it again')
    return found


def config_names() -> list[str]:
    """The configs that can be trained, as paths relative to ``configs/``, sorted."""
    folder = configs_folder()
    found = (path.relative_to(folder) for path in folder.rglob('*.py'))
    return sorted(str(path) for path in found if path.parts[0] not in ('_base_', 'recipes'))


def find_config(path: str | os.PathLike) -> Path:
    """The file of a config: a path, or the name of a shipped config with or without ``configs/`` and ``.py``.

    Raises:
        UserError: there is neither.
    """
    path = Path(path)
    if path.is_file():
        return path
    if path.is_dir() or path == Path('configs'):
        raise UserError(f'{path} is a folder, and a config is a file; mmseg-attn configs lists those of this package')
    found = shipped_config(path)
    if found is None:
        raise UserError(f'there is no config file {path}{_suggest(path)}')
    return found


def shipped_config(path: str | os.PathLike) -> Path | None:
    """The file of a shipped config, if ``path`` names one."""
    name = Path(path)
    name = name.relative_to('configs') if name.parts[:1] == ('configs', ) else name
    if name.is_absolute() or not name.name:
        return None
    candidates = (configs_folder() / candidate for candidate in (name, name.with_name(f'{name.name}.py')))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _suggest(path: Path) -> str:
    names = {str(path.parent / near.name): near.name for near in path.parent.glob('*.py')}
    names |= {name: Path(name).name for name in config_names()}
    close = difflib.get_close_matches(path.stem, [Path(name).stem for name in names.values()], n=3)
    found = dict.fromkeys(full for stem in close for full, name in names.items() if Path(name).stem == stem)
    if found:
        return f'; did you mean {" or ".join(list(found)[:3])}?'
    return '' if path.parent.is_dir() else f': the folder {path.parent} does not exist either'
