"""What pages and figures say about the maps."""

import inspect
import re
from pathlib import Path

from torch import nn

from .grad_cam import ClassMap
from .sampling import Samples
from .view import View

KINDS = {'attention': 'attention map', 'influence': 'exact influence'}
FUSIONS = {
    'HierarchicalFusion': (
        'The weight of each scale at each pixel: the product of the attentions along the hierarchy, in which a scale '
        'takes its share a of the pixel and leaves 1 - a to the larger scales. The weights of a pixel sum to one. The '
        'fused logits are the sum of those of the scales by these weights, but for the resizing of products.'),
    'SoftmaxFusion': (
        'The weight of each scale at each pixel: the softmax over the scales, by which their logits are summed. The '
        'weights of a pixel sum to one.'),
}
INFLUENCE = (
    'How strongly the output at the pixel p depends on the features at each place q: the length of the derivative '
    '|d s(p) / d x(q)|, where s is the score of the class predicted at p (before the softmax) and x are the features '
    'that the head takes from the backbone. Computed exactly, by one backward pass for each pixel.')


def definition(owner: nn.Module, kind: str, asked: bool) -> str:
    """What the values of a map of this head or block are. ``asked``: the influence was asked for, for all heads."""
    if kind == 'attention':
        return _of_attention(owner)
    reason = 'It was asked for.' if asked else f'{type(owner).__name__} defines no attention map of its own.'
    return f'{INFLUENCE} {reason}'


def _of_attention(head: nn.Module) -> str:
    """What the docstring of the block's ``attention_map`` says before it comes to its arguments."""
    block = getattr(head, 'attention', None)
    blocks = list(block) if isinstance(block, nn.ModuleList) else [block]
    owner = next(owner for owner in (blocks[0], head) if callable(getattr(owner, 'attention_map', None)))
    text = re.split(r'\n\s*(?:Args|Arguments|Returns)\b', inspect.getdoc(owner.attention_map) or '')[0]
    text = ' '.join(text.replace('``', '').split())
    mean = f'The mean of the maps of {len(blocks)} blocks. Of each: ' if len(blocks) > 1 else ''
    return f'{mean}{text} ({type(owner).__name__}.attention_map)'


def fusion(view: View) -> str:
    """What the weights of the scales are."""
    return FUSIONS[type(view.model.scale_fusion).__name__]


def spacing(samples: Samples) -> str:
    """Distances between the pixels that a page has maps for, along a row and along a column."""
    place, grid = samples.places[0], samples.grid
    across, down = place.x.step * grid.columns.step, place.y.step * grid.rows.step
    return f'{across:.3g} x {down:.3g}'


def sampling(samples: Samples) -> str:
    """For which pixels a page has maps, and how exact its values are."""
    place, windows = samples.places[0], len(samples.places)
    rest = 'for every cell.'
    if len(samples.grid) < place.x.cells * place.y.cells:
        rest = f'one for {spacing(samples)} pixels; the others show that of the nearest.'
    if windows > 1:
        rest += (f' The config slides: the network sees {windows} windows, and a pixel has the map of the one whose '
                 'middle is nearest.')
    return (f'{samples.num_points} maps of {place.y.cells} x {place.x.cells} cells, {rest} Values have 8 bits: they '
            f'err by at most 1/{2 * samples.maps.steps} of the largest of their map.')


def source(view: View) -> str:
    """Block, head, config and checkpoint."""
    cfg = view.model.cfg
    names = [('config', cfg.filename), ('checkpoint', cfg.get('load_from'))]
    block = [f'{type(view.attention).__name__} {view.block}'] if view.block else []
    files = [f'{what} {Path(name).name}' for what, name in names if name]
    return ', '.join([*block, type(view.head).__name__, *files]) + '.'


def class_map_title(view: View, cam: ClassMap) -> str:
    name = view.classes[cam.label]
    return f'Grad-CAM: what speaks for {name} ' + ('in the region' if cam.region else 'where it is predicted')
