"""Reads the maps of a page without the page's script."""

import base64
import json
import re
import zlib

import numpy as np


def unpack(data, peaks, signed, per_row):
    """(P, N) float values of packed maps."""
    changes = np.frombuffer(zlib.decompress(data), np.uint8).reshape(-1, per_row, zlib_cells(data, peaks))
    codes = np.cumsum(changes, axis=1, dtype=np.uint64) % 256
    codes = codes.reshape(len(peaks), -1).astype(np.float64)
    return ((codes - 128) / 127 if signed else codes / 255) * peaks[:, None]


def zlib_cells(data, peaks):
    return len(zlib.decompress(data)) // len(peaks)


def read_page(path):
    """The page's description of itself, with the ``maps`` (windows, rows, columns, map rows, map columns),
    ``label_map`` and, at several scales, ``scale_weights`` (S, rows, columns) of each head."""
    text = path.read_text(encoding='utf-8')
    page = json.loads(_script(text, 'page'))
    for i, head in enumerate(page['heads']):
        peaks = np.frombuffer(base64.b64decode(_script(text, f'peaks-{i}')), '<f4')
        values = unpack(base64.b64decode(_script(text, f'maps-{i}')), peaks, head['signed'], len(head['columns']))
        head['maps'] = values.reshape(len(head['windows']), len(head['rows']), len(head['columns']),
                                      head['map']['rows'], head['map']['columns'])
        labels = np.frombuffer(zlib.decompress(base64.b64decode(_script(text, f'labels-{i}'))), '<u2')
        head['label_map'] = labels.reshape(head['labels']['rows'], head['labels']['columns'])
        if head['scales']:
            codes = np.frombuffer(zlib.decompress(base64.b64decode(_script(text, f'scales-{i}'))), np.uint8)
            head['scale_weights'] = codes.reshape(-1, head['scales']['rows'], head['scales']['columns']) / 255
    return page


def _script(text, identifier):
    return re.search(rf'<script type="[^"]*" id="{identifier}">(.*?)</script>', text, re.DOTALL)[1]
