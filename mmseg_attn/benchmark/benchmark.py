"""The whole benchmark: measures heads one after another, writes every row, shows all."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import require_writable

from . import machine, pictures, report
from .measuring import OURS, Row, measure
from .settings import Settings


def check_out(folder: Path, overwrite: bool) -> None:
    """Makes the folder for results, without pictures of earlier ones.

    Raises:
        UserError: it holds results, or cannot be written to.
    """
    if (folder / report.JSON).exists() and not overwrite:
        raise UserError(f'{folder / report.JSON} exists: choose another --out, or --overwrite')
    require_writable(folder)
    for picture in pictures.COST, pictures.ACCURACY:
        (folder / picture).unlink(missing_ok=True)


def check_accuracies(accuracies: dict[str, float], names: Iterable[str], file: Path | None) -> None:
    """
    Raises:
        UserError: there are accuracies, and none is of a method that is measured.
    """
    if accuracies and not accuracies.keys() & set(names):
        raise UserError(f'{file} has no accuracy of {", ".join(names)}; it has {", ".join(accuracies)}')


def describe(settings: Settings, command: str) -> dict[str, object]:
    device = torch.device(settings.device)
    return dict(date=datetime.now(timezone.utc).isoformat(timespec='seconds'), command=command,
                commit=machine.commit(), hardware=machine.hardware(device), versions=machine.versions(),
                torch_settings=machine.torch_settings(), settings=asdict(settings))


def run(names: list[str], settings: Settings, meta: dict, out: Path, console: Console) -> tuple[list[Row], bool]:
    """Measures, and writes after every row. Returns the rows, and whether they are all."""
    rows = []
    columns = (*Progress.get_default_columns(), TextColumn('after'), TimeElapsedColumn())
    report.write(out, meta, rows, complete=False)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task('', total=len(names) * len(settings.sizes) * len(settings.modes) * settings.runs)

        def advance(what: str, rounds: int) -> None:
            progress.update(task, description=what, advance=rounds)

        try:
            for name in names:
                for measured in measure(name, settings, advance):
                    rows += measured
                    report.write(out, meta, rows, complete=False)
        except KeyboardInterrupt:
            return rows, False
    report.write(out, meta, rows, complete=True)
    return rows, True


def show(rows: list[Row], meta: dict, accuracies: dict[str, float], out: Path, console: Console) -> None:
    report.print_tables(rows, console)
    report.print_exponents(rows, console)
    console.print(f'\nGFLOPs: {report.CONVENTIONS["gflops"]}.\nMiB: {report.CONVENTIONS["memory_mib"]}.')
    hardware, settings = meta['hardware'], meta['settings']
    threads = meta['torch_settings']['threads']
    device = hardware.get('gpu') or f'{hardware["cpu"]}, {threads} thread{"s" if threads > 1 else ""}'
    where = (f'{settings["level"]}s, batch {settings["batch"]}, {settings["dtype"]}; {device}; '
             f'torch {meta["versions"]["torch"]}')
    console.print(f'{where}.')
    if not meta['complete']:
        console.print('Interrupted: these are the rows measured before that.')
    measured = [row for row in rows if row.median_ms is not None]
    if not pictures.is_available():
        console.print(f'No pictures, as matplotlib is missing: {pictures.INSTALL}, then --show {out / report.JSON}')
        return
    if measured:
        pictures.draw_cost(rows, out / pictures.COST, where)
        console.print(f'Picture: {out / pictures.COST}')
    if any(row.method in accuracies for row in measured if row.code == OURS):
        pictures.draw_accuracy(rows, accuracies, out / pictures.ACCURACY, where)
        console.print(f'Picture: {out / pictures.ACCURACY}')
