"""The page: one HTML file with the picture, the predictions and the maps of many pixels in it."""

import base64
import io
import json
import zlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import matplotlib
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmseg_attn import __version__
from mmseg_attn.common.files import write_text

from .grad_cam import ClassMap
from .maps import source_of
from .packing import pack
from .place import Place
from .sampling import Samples, sample
from .scales import Scales, scales_of
from .view import View
from .wording import KINDS, class_map_title, definition, fusion, sampling, source, spacing

MAX_BYTES = 15_000_000
# In this order one script: each uses what those before it define.
SCRIPTS = ('page_state.js', 'page_drawing.js', 'page_input.js')
# What the page shows of larger pictures. Positions stay those of the picture itself.
MAX_SIDE = 2048
COLOURS = ('inferno', 'viridis', 'cividis', 'gray')
DIVERGING = 'coolwarm'


def write_page(path: str | Path, views: Sequence[View], *, title: str = 'a picture', influence: bool = False,
               seconds: float = 10, max_bytes: int = MAX_BYTES,
               class_maps: Sequence[ClassMap] | None = None) -> list[Samples]:
    """Writes a page that opens from disk in any browser and loads nothing.

    Args:
        path: of the page.
        views: the same picture through one or more models, side by side on the page.
        title: what the page calls the picture.
        influence: show the exact influence for all heads, also for those with an ``attention_map``.
        seconds: for computing the maps. Where they are slow, the page has them for fewer pixels, and says for which.
        max_bytes: of the page. Where maps are large, it has them for fewer pixels, too.
        class_maps: for each view, its Grad-CAM.

    Returns:
        for each view, the maps of the page.

    Raises:
        ValueError: the views are of different pictures, or nothing fits ``max_bytes``.
    """
    picture = views[0].picture
    if any(not np.array_equal(view.picture, picture) for view in views):
        raise ValueError('the views are of different pictures; a page shows one picture through several models')
    image, labels = _jpeg(picture), [_labels(view.labels) for view in views]
    cams = class_maps or [None] * len(views)
    blobs = [_blob(f'labels-{i}', zlib.compress(label.tobytes(), 9)) for i, label in enumerate(labels)]
    blobs += [_blob(f'cam-{i}', pack(cam.values[None], 1).data) for i, cam in enumerate(cams) if cam and cam.place]
    scales = [scales_of(view) for view in views]
    blobs += [_blob(f'scales-{i}', found.data) for i, found in enumerate(scales) if found]
    # Words, numbers and tags take some ten thousand bytes for each head.
    left = max_bytes - len(image) - sum(map(len, blobs)) - 50_000 * (2 + len(views))
    samples = [sample(view, lambda view, window: source_of(view, window, influence), seconds / len(views),
                      left // len(views)) for view in views]
    for i, found in enumerate(samples):
        blobs += [_blob(f'peaks-{i}', found.maps.peaks.astype('<f4').tobytes()), _blob(f'maps-{i}', found.maps.data)]
    height, width = picture.shape[:2]
    parts = list(zip(views, samples, labels, cams, scales, strict=True))
    data = dict(width=width, height=height, heads=[_head_data(*part) for part in parts],
                colours={name: _colours(name) for name in COLOURS} | {'diverging': _colours(DIVERGING)})
    heads = ''.join(_head(i, view, found, cam, of_scales, influence)
                    for i, (view, found, _, cam, of_scales) in enumerate(parts))
    write_text(path, _fill(
        'page.html', name=title, width=width, height=height, last_x=width - 1, last_y=height - 1, picture=image,
        single='single' if len(views) == 1 else 'several', rows=3 + bool(class_maps) + any(scales), version=__version__,
        raw=dict(heads=heads, style=_text('page.css'), script=''.join(map(_text, SCRIPTS)), blobs='\n'.join(blobs),
                 # A class of the name '</script>' must not end the script.
                 data=json.dumps(data).replace('<', '\\u003c'))))
    return samples


def _head_data(view: View, samples: Samples, labels: np.ndarray, cam: ClassMap | None, scales: Scales | None) -> dict:
    """What the script needs to know of a head."""
    place = samples.places[0]
    return dict(
        name=view.name, classes=view.classes, palette=view.palette, kind=samples.kind, signed=samples.maps.signed,
        labels=dict(rows=labels.shape[0], columns=labels.shape[1]), rows=list(samples.grid.rows),
        columns=list(samples.grid.columns), map=dict(rows=place.y.cells, columns=place.x.cells),
        windows=[dict(_axes(place), middle=[window.x.middle, window.y.middle])
                 for place, window in zip(samples.places, view.windows, strict=True)],
        cam=cam and dict(_axes(cam.place) if cam.place else {}, region=cam.region,
                         rows=cam.place and cam.place.y.cells, columns=cam.place and cam.place.x.cells),
        scales=scales and dict(_axes(scales.place), names=scales.names, colours=scales.colours,
                               rows=scales.place.y.cells, columns=scales.place.x.cells))


def _axes(place: Place) -> dict:
    return dict(x=[place.x.first, place.x.step], y=[place.y.first, place.y.step])


def _head(index: int, view: View, samples: Samples, cam: ClassMap | None, scales: Scales | None, influence: bool
          ) -> str:
    height, width = view.picture.shape[:2]
    size = dict(width=width, height=height)
    cam = '' if cam is None else _fill(
        'cam.html', size, raw={}, title=class_map_title(view, cam),
        note='' if cam.place else f'No pixel is predicted to be {view.classes[cam.label]}.')
    of_scales = '' if scales is None else _fill('scales.html', size, raw={}, index=index, definition=fusion(view))
    return _fill('head.html', size, index=index, name=view.name, kind=KINDS[samples.kind],
                 definition=definition(view.attention, samples.kind, influence), sampling=sampling(samples),
                 spacing=spacing(samples), source=source(view), raw=dict(cam=cam, scales=of_scales))


def _fill(template: str, *texts: dict, raw: dict[str, str], **more: object) -> str:
    """A template with texts in it, escaped, and with what is HTML already."""
    values = {}
    for text in (*texts, more):
        values |= {name: escape(str(value)) for name, value in text.items()}
    return Template(_text(template)).substitute(values, **raw)


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding='utf-8')


def _blob(identifier: str, data: bytes) -> str:
    return f'<script type="text/plain" id="{identifier}">{base64.b64encode(data).decode()}</script>'


def _colours(name: str) -> str:
    """256 colours of a colour map of matplotlib, 3 bytes each."""
    colours = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    return base64.b64encode(np.ascontiguousarray(colours).tobytes()).decode()


def _jpeg(picture: np.ndarray) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=90)
    return f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'


def _labels(labels: Tensor) -> np.ndarray:
    """Classes of the pixels that the page shows, at most ``MAX_SIDE`` along a side."""
    scale = min(MAX_SIDE / max(labels.shape), 1)
    shown = [max(round(size * scale), 1) for size in labels.shape]
    rows, columns = (((torch.arange(few) + 0.5) * size / few).long()
                     for few, size in zip(shown, labels.shape, strict=True))
    return labels[rows[:, None], columns].numpy().astype('<u2')
