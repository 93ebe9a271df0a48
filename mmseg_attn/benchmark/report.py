"""The rows of a benchmark as JSON, CSV, and tables in the terminal."""

import csv
import io
import json
from dataclasses import asdict, fields
from itertools import groupby
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import write_text

from . import flops, memory
from .measuring import OURS, Row

JSON, CSV = 'benchmark.json', 'benchmark.csv'
CONVENTIONS = dict(
    gflops=f'10^9 {flops.CONVENTION}; for one image',
    times='milliseconds for the batch: median and quartiles of interleaved runs after warm-up; CUDA by events',
    ratio='median over the rounds of the time of mmseg divided by ours in the same round',
    memory_mib=f'2^20 bytes for the batch: {memory.CONVENTION}',
    forward='evaluation mode, no gradients',
    forward_backward='training mode, gradients of all parameters and inputs, from random gradients of the outputs',
    half='autocast: weights and inputs are float32',
    error='|a - b| / |b| of outputs, and in training of input gradients, in float32, with SiLU in place of ReLU there: '
          'ours against mmseg with the same weights, where both agree in float64 too if its operators have that; or '
          'where there is none against float64 on the CPU',
)
# Enough sizes that a line through them can fail to fit.
SIZES_FOR_A_FIT = 3


def write(folder: Path, meta: dict, rows: list[Row], complete: bool) -> None:
    """Writes ``benchmark.json`` and ``benchmark.csv``, each whole or not at all."""
    content = dict(meta, complete=complete, conventions=CONVENTIONS, rows=[asdict(row) for row in rows])
    write_text(folder / JSON, json.dumps(content, indent=1) + '\n')
    table = io.StringIO()
    names = [f.name for f in fields(Row) if f.name not in ('times_ms', 'input_channels')]
    writer = csv.DictWriter(table, names, extrasaction='ignore', lineterminator='\n')
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_text(folder / CSV, table.getvalue())


def read(path: Path) -> tuple[dict, list[Row]]:
    """What :func:`write` wrote: everything but the rows, and the rows.

    Raises:
        UserError: it is something else.
    """
    try:
        meta = json.loads(path.read_text())
        rows = [Row(**row) for row in meta.pop('rows')]
        meta['hardware']['cpu'], meta['settings']['level'], meta['torch_settings']['threads'], meta['versions']['torch']
        meta['complete']
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f'{path} is no {JSON} of this command: {error}') from error
    return meta, rows


def print_tables(rows: list[Row], console: Console) -> None:
    """A table for each mode and size, and below it what was not measured and why."""
    both = any(row.code != OURS for row in rows)

    def key(row: Row) -> tuple:
        return row.mode, row.height, row.width

    measured = sorted((row for row in rows if row.median_ms is not None), key=key)
    for (mode, height, width), group in groupby(measured, key):
        group = list(group)
        title = f'{mode}, {height} x {width} pixels, batch {group[0].batch}'
        table = Table('method', title=title, title_justify='left')
        if both:
            table.add_column('code')
        for name in ('parameters', 'GFLOPs', 'ms', 'quartiles', 'MiB', *(['time / ours'] if both else [])):
            table.add_column(name, justify='right', no_wrap=True)
        for row in group:
            table.add_row(row.method, *([row.code] if both else []), *_cells(row), *([_times(row)] if both else []))
        console.print(table)
    for text, methods in reasons(rows).items():
        console.print(f'{", ".join(methods)}: {text}')


def _cells(row: Row) -> list[str]:
    return [f'{_three_digits(row.parameters / 1e6)} M', _three_digits(row.gflops), _three_digits(row.median_ms),
            f'{_three_digits(row.q1_ms)} - {_three_digits(row.q3_ms)}', _three_digits(row.memory_mib)]


def _times(row: Row) -> str:
    return '' if row.ratio is None else f'{row.ratio:.2f}'


def _three_digits(value: float | None) -> str:
    if value is None:
        return ''
    return f'{value:.0f}' if value >= 100 else f'{value:.3g}'


def reasons(rows: list[Row]) -> dict[str, list[str]]:
    """Why something was not measured -> what."""
    found = {}
    for row in rows:
        if row.status != 'ok':
            where = '' if row.status.startswith('not measured') else f' {row.height}x{row.width} {row.mode}'
            what = f'{row.method} ({row.code}){where}' if row.code != OURS else f'{row.method}{where}'
            if what not in found.setdefault(row.status, []):
                found[row.status].append(what)
    return found


def exponent(rows: list[Row], quantity: str) -> float | None:
    """The exponent p of ``quantity ~ N^p`` over rows of one method, fitted in logarithms; None for too few sizes."""
    points = {row.pixels: getattr(row, quantity) for row in rows if getattr(row, quantity)}
    if len(points) < SIZES_FOR_A_FIT:
        return None
    return float(np.polyfit(np.log(list(points)), np.log(list(points.values())), 1)[0])


def print_exponents(rows: list[Row], console: Console) -> None:
    table = Table('method', 'code', 'mode', 'time', 'memory', title='p in cost ~ N^p, fitted over the sizes',
                  title_justify='left')
    for (method, code, mode), group in curves(rows).items():
        powers = [exponent(group, quantity) for quantity in ('median_ms', 'memory_mib')]
        if None not in powers:
            table.add_row(method, code, mode, *(f'{power:.2f}' for power in powers))
    if table.row_count:
        console.print(table)


def curves(rows: list[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """The measured rows of each (method, code, mode), by growing size."""
    found = {}
    for row in sorted(rows, key=lambda row: row.pixels):
        if row.median_ms is not None:
            found.setdefault((row.method, row.code, row.mode), []).append(row)
    return dict(sorted(found.items(), key=lambda item: (item[0][0], item[0][1] != OURS, item[0][2])))
