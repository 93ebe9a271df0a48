"""The report of an analysis: one HTML page, its pictures, and the numbers as CSV files."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mmseg_attn.common.document import Block, Heading, Paragraph, Picture, Table, to_html
from mmseg_attn.common.files import write_text

from .counts import AREAS, FOUND, TRIMAP_WIDTHS, Counts
from .metric import ImageResult, Maps
from .pictures import draw_calibration, draw_confusion, draw_image, draw_trimap
from .summary import accuracy, boundary_iou, calibration_error, iou, mean, precision, recall

PAGE = 'report.html'


def write(folder: Path, counts: Counts, images: list[ImageResult], worst: list[Maps], meta: dict,
          ignore_index: int) -> None:
    """
    Args:
        folder: for all files; made if it is not there.
        counts: of all images.
        images: of each, the worst first.
        worst: maps of the first of them.
        meta: of the data set: ``classes``, ``palette``.
        ignore_index: label of pixels that do not count.
    """
    folder.mkdir(parents=True, exist_ok=True)
    classes = [str(name) for name in meta['classes']]
    blocks = [*_summary(counts), *_classes(folder, counts, classes), *_borders(folder, counts)]
    if counts.calibration.any():
        blocks += _calibration(folder, counts)
    blocks += [*_components(folder, counts, classes), *_images(folder, images, worst, meta, ignore_index)]
    write_text(folder / PAGE, to_html('Error analysis', blocks))


def _summary(counts: Counts) -> list[Block]:
    total = counts.confusion
    row = [f'{counts.images:,}', _percent(mean(iou(total))), _percent(mean(boundary_iou(counts))),
           _percent(accuracy(total)), _percent(calibration_error(counts.calibration))]
    return [Table(['images', 'mIoU', 'boundary mIoU', 'pixel accuracy', 'calibration error'], [row]),
            Paragraph('All in %. Ignored pixels count nowhere. A dash stands for what there is nothing of.')]


def _classes(folder: Path, counts: Counts, classes: list[str]) -> list[Block]:
    total = counts.confusion
    values = iou(total), boundary_iou(counts), precision(total), recall(total)
    rows = []
    for i, name in enumerate(classes):
        share = total[i].sum() / total.sum() if total.sum() else np.nan
        rows.append([name, *(_percent(of_class[i]) for of_class in values), _percent(share),
                     _most_confused(total[i], i, classes)])
    header = ['class', 'IoU', 'boundary IoU', 'precision', 'recall', 'of the pixels', 'most often taken for']
    write_csv(folder / 'classes.csv', [header, *rows])
    write_csv(folder / 'confusion.csv', [['label', *classes], *(
        [name, *of_class.tolist()] for name, of_class in zip(classes, total, strict=True))])
    picture = folder / 'confusion.png'
    draw_confusion(picture, total, classes)
    return [Heading('Classes'), Table(header, rows),
            Paragraph('Boundary IoU counts the pixels of a class within 1 % of the diagonal of the image from the end '
                      'of its region.'),
            Heading('Confusion matrix'), Picture(picture, 'share of the pixels of each label by prediction'),
            Paragraph('Pixels: confusion.csv.')]


def _most_confused(predicted: np.ndarray, own: int, classes: list[str]) -> str:
    others = predicted.copy()
    others[own] = 0
    if not others.any():
        return '-'
    other = int(others.argmax())
    return f'{classes[other]} ({100 * others[other] / predicted.sum():.1f} %)'


def _borders(folder: Path, counts: Counts) -> list[Block]:
    bands = [(width, mean(iou(band)), accuracy(band)) for width, band in zip(TRIMAP_WIDTHS, counts.trimap, strict=True)]
    write_csv(folder / 'trimap.csv', [['width', 'mIoU', 'pixel accuracy'], *(
        [width, _percent(miou), _percent(right)] for width, miou, right in bands)])
    picture = folder / 'trimap.png'
    draw_trimap(picture, counts.trimap, mean(iou(counts.confusion)))
    return [Heading('Near borders'), Picture(picture, 'mIoU by distance from borders'),
            Paragraph('mIoU of the pixels in bands along the borders between two labels. A curve that rises to the '
                      'line says that the errors lie at the borders; a flat one, that whole regions are wrong.')]


def _calibration(folder: Path, counts: Counts) -> list[Block]:
    pixels, confidence, right = counts.calibration.T
    edges = np.linspace(0, 1, len(pixels) + 1)
    write_csv(folder / 'calibration.csv', [['from', 'to', 'pixels', 'mean confidence', 'accuracy'], *(
        [f'{low:.4f}', f'{high:.4f}', int(n), *((f'{c / n:.6f}', f'{r / n:.6f}') if n else ('', ''))]
        for low, high, n, c, r in zip(edges, edges[1:], pixels, confidence, right, strict=False))])
    picture = folder / 'calibration.png'
    draw_calibration(picture, counts.calibration, calibration_error(counts.calibration))
    return [Heading('Calibration'), Picture(picture, 'reliability diagram'),
            Paragraph('Bars below the line: the network is surer than it is right.')]


def _components(folder: Path, counts: Counts, classes: list[str]) -> list[Block]:
    lows = [1, *AREAS]
    header = ['class', *(f'{low:,} to {high - 1:,}' for low, high in zip(lows, AREAS, strict=False)),
              f'{AREAS[-1]:,} and more']
    rows = []
    for name, of_class in zip(classes, counts.components, strict=True):
        cells = [f'{found} of {found + missed}' if found + missed else '-' for found, missed in of_class.tolist()]
        rows.append([name, *cells])
    write_csv(folder / 'components.csv', [['class', 'area from', 'found', 'missed'], *(
        [name, low, found, missed] for name, of_class in zip(classes, counts.components, strict=True)
        for low, (found, missed) in zip(lows, of_class.tolist(), strict=True))])
    return [Heading('Components found'), Table(header, rows),
            Paragraph('Connected components of the labels by their area in pixels. One is found where at least '
                      f'{FOUND:.0%} of its pixels have its class.')]


def _images(folder: Path, images: list[ImageResult], worst: list[Maps], meta: dict, ignore_index: int) -> list[Block]:
    write_csv(folder / 'images.csv', [['image', 'mIoU', 'pixel accuracy'], *(
        [image.path, _percent(image.miou), _percent(image.accuracy)] for image in images)])
    classes, palette = list(meta['classes']), np.array(meta['palette'], np.uint8)
    blocks: list[Block] = [Heading(f'The {len(worst)} images with the lowest mIoU'),
                           Paragraph('All images: images.csv. The mean is over the classes in labels or prediction.')]
    for number, maps in enumerate(worst, 1):
        picture = folder / f'worst_{number:02}.png'
        draw_image(picture, maps, classes, palette, (maps.label != ignore_index) & (maps.label < len(classes)))
        blocks += [Paragraph(f'{number}. {Path(maps.result.path).name}: mIoU {_percent(maps.result.miou)}, accuracy '
                             f'{_percent(maps.result.accuracy)}'), Picture(picture, Path(maps.result.path).name)]
    return blocks


def _percent(value: float) -> str:
    return '-' if np.isnan(value) else f'{100 * value:.2f}'


def write_csv(path: Path, rows: Iterable[list]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    write_text(path, text.getvalue())
