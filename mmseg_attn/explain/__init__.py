"""See where the output at a pixel looks: maps, pages to explore, figures for papers.

    model = load_model('config.py', 'checkpoint.pth')
    view = look(model, 'street.jpg')
    attention_maps(view, [(320, 180)]).values      # (1, rows, columns)
    draw_figure('street.png', [view], [(320, 180)])
    write_page('street.html', [view])

docs/seeing_attention.md tells what the maps mean.
"""

from mmseg_attn.checkpoints.loading import load_model

from .figure import draw_class_maps, draw_figure
from .grad_cam import ClassMap, grad_cam
from .maps import PointMaps, attention_maps, explain, influence_maps
from .page import write_page
from .view import View, look

__all__ = [
    'ClassMap', 'PointMaps', 'View', 'attention_maps', 'draw_class_maps', 'draw_figure', 'explain', 'grad_cam',
    'influence_maps', 'load_model', 'look', 'write_page',
]
