"""Whether weights are those of a model."""

from collections.abc import Mapping

from torch import Tensor

from mmseg_attn.common.errors import UserError

from .reading import check_dense, is_finite

MOST_NAMES = 5
OTHER_WEIGHTS = 'Give the config that they were trained with. Weights of other code: mmseg-attn convert_checkpoint'


def check_weights(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str, hint: str = '') -> None:
    """Compares names and shapes; counters of batches may be missing.

    Args:
        weights: of a file.
        expected: the state dict of the model.
        what: the file and the model, for the message.
        hint: what to do, for the message.

    Raises:
        UserError: some are missing, unexpected or of another shape; the message names the first of each kind.
    """
    weights, expected = without_counters(weights), without_counters(expected)
    told = _differences(weights, expected)
    if told:
        lines = [f'{what}: the weights are not those of the model.', *told, *filter(None, [hint])]
        raise UserError('\n  '.join(lines))


def check_some_weights(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str) -> str:
    """One line that says which weights of a file a model takes, where others may be missing or left over.

    Raises:
        UserError: it takes none.
    """
    weights, expected = without_counters(weights), without_counters(expected)
    fitting = [name for name in expected.keys() & weights.keys() if weights[name].shape == expected[name].shape]
    if not fitting:
        parts = sorted({f'{name.partition(".")[0]}.' for name in weights})
        raise UserError(f'{what}: none of its {len(weights)} weights is one of the model, so nothing would be loaded.\n'
                        f'  Its names begin with {", ".join(parts[:MOST_NAMES])}, those of the model with '
                        f'{", ".join(sorted({name.partition(".")[0] for name in expected})[:MOST_NAMES])}.\n'
                        '  A whole segmentor: load_from=FILE; its backbone alone: model.backbone.init_cfg='
                        "dict(type='Pretrained', checkpoint=FILE, prefix='backbone.')")
    told = _differences(weights, expected)
    return f'{what}: {len(fitting)} of {len(expected)} weights of the model loaded' + ''.join(f'; {t}' for t in told)


def check_values(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str) -> None:
    """
    Raises:
        UserError: a weight of the model is sparse, quantised or without its values, is not a floating-point number
            where the model has one, or is NaN or infinite.
    """
    for name in expected.keys() & weights.keys():
        value = weights[name]
        check_dense(value, name, what)
        if value.is_floating_point() != expected[name].is_floating_point():
            raise UserError(f'{what}: {name} holds {value.dtype}, and the model {expected[name].dtype}')
    check_finite({name: value for name, value in weights.items() if name in expected}, what)


def check_finite(weights: Mapping[str, Tensor], what: str,
                 reason: str = 'the training had diverged, or the file is damaged') -> None:
    """
    Raises:
        UserError: a weight is NaN or infinite.
    """
    wrong = [name for name, value in weights.items() if not is_finite(value)]
    if wrong:
        raise UserError(f'{what}: {wrong[0]} holds values that are not finite{_more(wrong)}: {reason}')


def _more(names: list[str]) -> str:
    return f', and so do {len(names) - 1} more' if len(names) > 1 else ''


def _differences(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    problems = {
        'missing': sorted(expected.keys() - weights.keys()), 'unexpected': sorted(weights.keys() - expected.keys()),
        'of another shape': [f'{name} {tuple(weights[name].shape)} instead of {tuple(expected[name].shape)}'
                             for name in sorted(expected.keys() & weights.keys())
                             if weights[name].shape != expected[name].shape]}
    return [f'{len(names)} {kind}: {", ".join(names[:MOST_NAMES])}{" ..." if len(names) > MOST_NAMES else ""}'
            for kind, names in problems.items() if names]


def without_counters(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``weights`` without the numbers of batches, which only a norm without momentum uses."""
    return {name: value for name, value in weights.items() if not name.endswith('num_batches_tracked')}
