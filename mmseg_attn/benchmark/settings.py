"""What a benchmark measures, and how. Imports nothing that is slow, so that help is fast."""

from dataclasses import dataclass
from functools import cache

from mmseg_attn.common.shipped import configs_folder

CONFIG = '_r50_cityscapes'
LEVELS = 'head', 'block'
MODES = 'forward', 'forward+backward'
DTYPES = 'float32', 'bfloat16', 'float16'


@dataclass(frozen=True)
class Settings:
    """What is measured, and how. Sizes are in pixels of the features, at stride 8."""

    level: str = 'head'
    sizes: tuple[tuple[int, int], ...] = ((64, 128), (97, 97))
    modes: tuple[str, ...] = MODES
    batch: int = 2
    device: str = 'cpu'
    dtype: str = 'float32'
    runs: int = 20
    warmup: int = 3
    against: str | None = None
    in_channels: int | None = None
    channels: int | None = None
    seed: int = 0


@cache
def method_names() -> dict[str, str]:
    """Stem -> name of the methods that have a metafile, in the order of the tables in the documentation."""
    import yaml
    found = {}
    for path in (configs_folder() / 'metafiles').glob('*.yml'):
        collection, = yaml.safe_load(path.read_text(encoding='utf-8'))['Collections']
        found[path.stem] = collection['Overview']['Order'], collection['Name']
    return {stem: name for stem, (_, name) in sorted(found.items(), key=lambda item: item[1])}


def methods() -> list[str]:
    """The stems of all methods: those with a config for Cityscapes."""
    return sorted(stem for stem in method_names() if (configs_folder() / f'{stem}{CONFIG}.py').is_file())
