"""Assertions of OpenMMLab about what a config asks for, with what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmseg_attn.common.errors import UserError

KNOWN = {
    'The image size in a batch should be the same':
        'images of different sizes cannot be tested in one batch: set batch_size=1 in val_dataloader and '
        'test_dataloader, or resize them to one size in their pipelines',
    'Expected the channels of all inputs must be the same':
        'the images of a batch have different numbers of channels: give LoadImageFromFile a color_type that makes them '
        "alike, such as 'color' or 'grayscale'",
}


@contextmanager
def naming_known_errors() -> Iterator[None]:
    """
    Raises:
        UserError: one of :data:`KNOWN` has been raised.
    """
    try:
        yield
    except AssertionError as error:
        advice = next((advice for text, advice in KNOWN.items() if text in str(error)), None)
        if advice is None:
            raise
        raise UserError(advice) from error
