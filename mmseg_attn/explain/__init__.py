"""See where the output at a pixel looks: maps, pages to explore, figures for papers.

    model = load_model('config.py', 'checkpoint.pth')
    view = look(model, 'street.jpg')
    attention_maps(view, [(320, 180)]).values      # (1, rows, columns)
    draw_figure('street.png', [view], [(320, 180)])
    write_page('street.html', [view])

docs/seeing_attention.md tells what the maps mean.
"""

from mmseg_attn.checkpoints.loading import load_model

from .activation import ActivationMap, activation_map
from .figure import draw_activation, draw_class_maps, draw_figure
from .grad_cam import ClassMap, grad_cam
from .maps import PointMaps, attention_maps, explain, influence_maps
from .page import write_page
from .view import View, look

__all__ = [
    'ActivationMap', 'ClassMap', 'PointMaps', 'View', 'activation_map', 'attention_maps', 'draw_activation',
    'draw_class_maps', 'draw_figure', 'explain', 'grad_cam', 'influence_maps', 'load_model', 'look', 'write_page',
]
