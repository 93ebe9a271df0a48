"""Whether the data sets of a config have the classes that its heads predict, before any image is read."""

from collections.abc import Iterator

from mmengine.config import Config

from mmseg_attn.common.classes import static_metainfo
from mmseg_attn.common.config_checks import IOU_METRICS, heads_of
from mmseg_attn.common.errors import UserError

from .wrappers import inside_of, metainfo_of

SPLITS = 'train', 'val', 'test'
ALIKE = 'Predictions are numbers of classes: the same metainfo=dict(classes=(...)) as in train_dataloader.dataset'
# It predicts edges besides the classes, with a num_classes of its own.
OF_EDGES = 'STDCHead'


def check_classes(cfg: Config, *loaders: str) -> None:
    """Checks the classes of all data sets of a training, or of those of a test.

    Raises:
        UserError: a data set has none, another number than a head, or those of training in another order.
    """
    splits = [split for split in SPLITS if 'train_dataloader' in loaders or f'{split}_dataloader' in loaders]
    for split in splits:
        dataset = (cfg.get(f'{split}_dataloader') or {}).get('dataset')
        if not isinstance(dataset, dict):
            continue
        classes = classes_of_dataset(dataset)
        for title, advice in [*problems_of_names(cfg, split), *([] if not classes else problems_of_number(
                cfg.model, f'{split}_dataloader.dataset', len(classes)))]:
            raise UserError(f'{title}.\n  {advice}')


def problems_of_names(cfg: Config, split: str) -> Iterator[tuple[str, str]]:
    """What is wrong with the names of the classes of a split, and what to do."""
    where = f'{split}_dataloader.dataset'
    known = _metainfo(cfg[f'{split}_dataloader']['dataset'])
    if split == 'train' or known is None:
        return
    classes = known.get('classes')
    if not classes:
        if _measures_iou(cfg.get(f'{split}_evaluator')):
            yield (f'{where} has no classes, which {split}_evaluator counts by',
                   f"Name them: {where}.metainfo=dict(classes=('background', 'road', ...))")
        return
    trained = classes_of_dataset((cfg.get('train_dataloader') or {}).get('dataset') or {})
    if trained and set(classes) == set(trained) and list(classes) != list(trained):
        number, name = next((i, name) for i, name in enumerate(classes) if name != trained[i])
        yield (f'{where} has the classes of train_dataloader.dataset in another order: {number} is {name} in this, '
               f'and {trained[number]} in that', ALIKE)


def problems_of_number(model: dict, place: str, number: int) -> Iterator[tuple[str, str]]:
    """Which heads do not predict the number of classes that the data set at a place has, and what to do."""
    for where, head in heads_of(model):
        expected = head.get('num_classes')
        # One output channel may stand for two classes.
        fitting = {expected} | ({1, 2} if expected == 1 or head.get('out_channels') == 1 else set())
        if expected is not None and number not in fitting and not str(head.get('type')).endswith(OF_EDGES):
            plural = 'class' if number == 1 else 'classes'
            yield (f'{where} has num_classes={expected}, and {place} has {number} {plural}',
                   f'Set {where}.num_classes={number}' if place.startswith('train') else ALIKE)


def classes_of_dataset(dataset: dict) -> list[str] | tuple[str, ...]:
    """The names of the classes of a data set, in wrappers or not; none where they cannot be known."""
    return (_metainfo(dataset) or {}).get('classes') or ()


def _metainfo(dataset: dict) -> dict | None:
    """None where it cannot be known, such as of a data set of the user's own that cannot be built yet."""
    inner = inside_of(dataset, '')
    if inner:
        return _metainfo(inner[0][1])
    known = metainfo_of(dataset)
    if known is None and static_metainfo(dataset).get('classes'):
        return static_metainfo(dataset)
    return known


def _measures_iou(evaluator: dict | list | None) -> bool:
    several = evaluator if isinstance(evaluator, list | tuple) else [evaluator or {}]
    return any(isinstance(one, dict) and one.get('type') in IOU_METRICS for one in several)
