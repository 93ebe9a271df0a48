"""Whether weights are those of a model."""

from collections.abc import Mapping

from torch import Tensor

from mmseg_attn.common.errors import UserError

MOST_NAMES = 5


def check_weights(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str) -> None:
    """Compares names and shapes; counters of batches may be missing.

    Args:
        weights: of a file.
        expected: the state dict of the model.
        what: the file and the model, for the message.

    Raises:
        UserError: some are missing, unexpected or of another shape; the message names the first of each kind.
    """
    weights, expected = without_counters(weights), without_counters(expected)
    problems = {
        'missing': sorted(expected.keys() - weights.keys()), 'unexpected': sorted(weights.keys() - expected.keys()),
        'of another shape': [f'{name} {tuple(weights[name].shape)} instead of {tuple(expected[name].shape)}'
                             for name in sorted(expected.keys() & weights.keys())
                             if weights[name].shape != expected[name].shape]}
    told = [f'{len(names)} {kind}: {", ".join(names[:MOST_NAMES])}{" ..." if len(names) > MOST_NAMES else ""}'
            for kind, names in problems.items() if names]
    if told:
        raise UserError(f'{what}: the weights are not those of the model.\n  ' + '\n  '.join(told))


def without_counters(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``weights`` without the numbers of batches, which only a norm without momentum uses."""
    return {name: value for name, value in weights.items() if not name.endswith('num_batches_tracked')}
