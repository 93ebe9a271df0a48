"""What heads are called where people read: by the method, not by the file of its config."""

from mmseg_attn.benchmark.settings import method_names

BASELINES = dict(fcn='FCN', pspnet='PSPNet')
BLOCKS = '_blocks'


def display_name(head: str) -> str:
    """Name of a head of a comparison: 'non_local' -> 'Non-local', 'glore_blocks' -> 'GloRe blocks'; others as they
    are, such as the names of a user's configs."""
    names = BASELINES | method_names()
    if head.endswith(BLOCKS) and head.removesuffix(BLOCKS) in names:
        return f'{names[head.removesuffix(BLOCKS)]} blocks'
    return names.get(head, head)
