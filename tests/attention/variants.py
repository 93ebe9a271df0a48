"""With what the test of a method declares its variants for the batteries; blocks.py collects them.

``BLOCKS``: variant -> a function without arguments that builds the block. '' is the method itself.
``HEADS``: type of the head -> lists of arguments under which it is small.
``PROPERTIES``: variant -> what :func:`any_options` returns.
``WITHOUT_MAP``, where there are such: the variant -> why it has no map over pixels.
``EXPORT_MULTIPLE``, likewise: the variant -> what heights and widths must be multiples of for torch.export.
"""

from hypothesis import strategies as st
from torch import nn

CHANNELS = 16
WIDTHS = st.integers(1, 4)
NORMS = st.sampled_from([nn.BatchNorm2d, None])


def any_options(block, oracle, *, examples=10, **options):
    """What test_properties.py draws from.

    Args:
        block: the class.
        oracle: (block, image) -> what the block must give, by the loops.
        examples: of the quick run; the full run draws twenty times as many.
        options: argument -> its strategy.
    """
    return block, oracle, examples, st.fixed_dictionaries(dict(channels=st.integers(1, 6)) | options)
