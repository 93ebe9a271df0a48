"""Names and colours of the classes: from the data sets of a config, or made up."""

import mmengine
from mmengine.config import Config
from mmengine.registry import init_default_scope

from .palette import Colour, default_palette


def classes_of(cfg: Config, num_classes: int, known: dict | None = None) -> dict[str, list]:
    """Names and colours of as many classes as a head has.

    Args:
        cfg: the config; its test data set knows the classes.
        num_classes: how many there are.
        known: ``dict(classes=..., palette=...)`` that comes first, such as that of a checkpoint.

    Returns:
        ``dict(classes=[...], palette=[...])``. Names and colours are made up, each for itself, where the number of
        those that are known is another.
    """
    known = readable_classes(known)
    if not known['classes']:
        known = readable_classes(classes_in_config(cfg))
    classes, palette = known['classes'], known['palette']
    return dict(
        classes=classes if len(classes) == num_classes else [f'class {i}' for i in range(num_classes)],
        palette=palette if len(palette) == num_classes else list(default_palette(num_classes)))


def readable_classes(known: object) -> dict[str, list]:
    """``dict(classes=[...], palette=[...])`` of what is read from files, empty where that is something else."""
    known = known if isinstance(known, dict) else {}
    classes = known.get('classes')
    palette = known.get('palette')
    try:
        colours = [tuple(int(value) for value in colour) for colour in (() if palette is None else palette)]
    except (TypeError, ValueError):
        colours = []
    return dict(classes=[str(name) for name in classes] if isinstance(classes, list | tuple) else [],
                palette=colours if all(len(c) == 3 and 0 <= min(c) <= max(c) <= 255 for c in colours) else [])


def classes_in_config(cfg: Config) -> dict:
    """What the test data set of a config says of its classes: 'classes' and 'palette', or less."""
    return static_metainfo((cfg.get('test_dataloader') or {}).get('dataset') or {})


def known_classes(cfg: Config, num_classes: int) -> dict | None:
    """:func:`classes_in_config` if there are as many as a head has, or None."""
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    known = classes_in_config(cfg)
    return known if len(known.get('classes', ())) == num_classes else None


def add_palettes(cfg: Config) -> None:
    """Gives :func:`default_palette` to the data sets of a config that bring no colours. mmseg draws random ones."""
    for split in 'train', 'val', 'test':
        for _, dataset in datasets_in((cfg.get(f'{split}_dataloader') or {}).get('dataset') or {}):
            known = static_metainfo(dataset)
            if known.get('classes') and not known.get('palette'):
                colours: tuple[Colour, ...] = default_palette(len(known['classes']))
                dataset['metainfo'] = dict(dataset.get('metainfo') or {}, palette=[list(colour) for colour in colours])


def datasets_in(dataset: dict, where: str = '') -> list[tuple[str, dict]]:
    """The data sets that read files inside of ConcatDataset and other wrappers, with their places in the config."""
    if 'datasets' in dataset:
        return [found for i, inner in enumerate(dataset['datasets'])
                for found in datasets_in(inner, f'{where}.datasets.{i}')]
    if isinstance(dataset.get('dataset'), dict):
        return datasets_in(dataset['dataset'], f'{where}.dataset')
    return [(where, dataset)]


def static_metainfo(dataset: dict) -> dict:
    """What the class of a data set and its settings say of its classes, without building it."""
    from mmseg_attn.registry import DATASETS
    name = dataset.get('type')
    cls = DATASETS.get(name) if isinstance(name, str) else name
    known = dict(getattr(cls, 'METAINFO', {})) | dict(dataset.get('metainfo') or {})
    if isinstance(known.get('classes'), str):
        known['classes'] = _names_in(known['classes'])
    return known


def _names_in(path: str) -> list[str]:
    """mmengine takes a string for the name of a file with one class in each line."""
    try:
        return mmengine.list_from_file(path)
    except (TypeError, OSError):
        return []  # which building the data set will tell
