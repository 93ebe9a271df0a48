"""Whether data sets fit the wrapper that they are in, before any is opened."""

import reprlib

from mmengine.dataset import BaseDataset, ClassBalancedDataset, ConcatDataset
from mmseg.registry import DATASETS


def problem_of_wrappers(dataset: dict, where: str) -> tuple[str, str] | None:
    """What keeps mmengine from building the wrappers of a data set, if it has any, and what to do."""
    inner = inside_of(dataset, where)
    problem = next(filter(None, (problem_of_wrappers(each, place) for place, each in inner)), None)
    if problem or not inner:
        return problem
    if _class_of(dataset) is ConcatDataset:
        return _problem_of_concatenation(dataset, inner, where)
    if _class_of(dataset) is ClassBalancedDataset:
        return _problem_of_balancing(inner[0][1], where)
    return None


def inside_of(dataset: dict, where: str) -> list[tuple[str, dict]]:
    """The data sets directly inside of a wrapper, with their places in the config; none in one that reads files."""
    if 'datasets' in dataset:
        return [(f'{where}.datasets.{i}', inner) for i, inner in enumerate(dataset['datasets'])]
    return [(f'{where}.dataset', dataset['dataset'])] if isinstance(dataset.get('dataset'), dict) else []


def metainfo_of(dataset: dict) -> dict | None:
    """What a data set tells of itself, such as its classes; None if it cannot be built without its files."""
    inner = inside_of(dataset, '')
    if inner:  # wrappers have that of the first
        return metainfo_of(inner[0][1])
    # With test_mode, one without classes would be refused.
    settings = {key: value for key, value in dataset.items() if key != 'test_mode'}
    try:
        return DATASETS.build(dict(settings, pipeline=[], lazy_init=True)).metainfo
    except Exception:
        return None


def _class_of(dataset: dict) -> type | None:
    name = dataset.get('type')
    return DATASETS.get(name) if isinstance(name, str) else name


def _problem_of_concatenation(dataset: dict, inner: list[tuple[str, dict]], where: str) -> tuple[str, str] | None:
    ignored = dataset.get('ignore_keys') or []
    (first, reference), *others = [(place, metainfo_of(each)) for place, each in inner]
    for place, known in others:
        if reference is None or known is None:  # building it will tell, or it is of the user's own
            continue
        for key in sorted({*reference, *known} - {*([ignored] if isinstance(ignored, str) else ignored)}):
            a, b = reference.get(key), known.get(key)
            if type(a) is type(b) and a == b:
                continue
            if key == 'classes':
                return (f'{place} has other classes than {first}: {_difference(a or (), b or ())}',
                        'A ConcatDataset takes data sets with the same classes in the same order: the same '
                        'metainfo=dict(classes=(...)) in each, and label maps with these numbers')
            return (f'{key} is {reprlib.repr(b)} in {place}, and {reprlib.repr(a)} in {first}',
                    f"Set it alike, or, if each is right for its own files: ignore_keys=['{key}'] in {where}")
    return None


def _difference(a: list | tuple, b: list | tuple) -> str:
    only_a, only_b = [name for name in a if name not in b], [name for name in b if name not in a]
    if only_a or only_b:
        return '; '.join(f'{", ".join(map(str, names[:5]))}{", ..." * (len(names) > 5)} in {which} only'
                         for names, which in ((only_b, 'this'), (only_a, 'that')) if names)
    return f'a {type(b).__name__} instead of a {type(a).__name__}' if list(a) == list(b) else 'in another order'


def _problem_of_balancing(dataset: dict, where: str) -> tuple[str, str] | None:
    cls = _class_of(dataset)
    if getattr(cls, 'get_cat_ids', BaseDataset.get_cat_ids) is not BaseDataset.get_cat_ids:
        return None
    return (f'ClassBalancedDataset repeats images by the classes in them, and {getattr(cls, "__name__", cls)} does not '
            'say which these are (it has no get_cat_ids)',
            f'Put {where}.dataset in its place, and weigh rare classes in the loss '
            '(docs/your_own_data.md#rare-classes); or write a data set class with get_cat_ids(index), which gives the '
            'numbers of the classes in an image')
