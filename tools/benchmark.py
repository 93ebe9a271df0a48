"""What the heads cost: parameters, operations, latency and memory, beside mmseg's own heads where it has them.

    python tools/benchmark.py                                               all heads, at the sizes of Cityscapes
    python tools/benchmark.py --device cuda --dtype bfloat16 --against mmseg
    python tools/benchmark.py --level block --sizes 32x64 64x128 128x256    only the attention; with exponents of N
    python tools/benchmark.py --show work_dirs/benchmark/benchmark.json --results accuracies.csv

Heads are those of configs/<method>_r50_cityscapes.py, with BN for SyncBN. Every one is checked before it is timed. With
--against, ours has mmseg's options and weights. Ctrl-C ends it and shows what is measured so far.

Exits with 0; 1 where a result is wrong or nothing could be measured; 2 for an error of yours; 130 when interrupted.
"""

import argparse
import os
import re
import shlex
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from mmseg_attn.engine.errors import UserError, readable_errors
from mmseg_attn.environment import require_openmmlab

# PyTorch's profiler, which measures memory on the CPU, otherwise reports each start and stop, and that something was
# released which is older than the run. It looks at its import.
os.environ.setdefault('KINETO_LOG_LEVEL', '99')
os.environ.setdefault('TORCH_CPP_LOG_LEVEL', 'ERROR')

with readable_errors():
    require_openmmlab()
    import torch
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from mmseg_attn.benchmark import machine, pictures, report
    from mmseg_attn.benchmark.cases import LEVELS, methods
    from mmseg_attn.benchmark.measuring import OURS, WRONG, Row, Settings, measure
    from mmseg_attn.benchmark.memory import limit_memory
    from mmseg_attn.benchmark.results import read_accuracies
    from mmseg_attn.benchmark.step import DTYPES, MODES

DEFAULTS = Settings()
OUT = Path('work_dirs/benchmark')
FAILED, INTERRUPTED = 1, 130


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--methods', nargs='+', metavar='METHOD', help=f'of {", ".join(methods())}; all if not given')
    parser.add_argument('--level', choices=LEVELS, default=DEFAULTS.level, help='whole heads, or the attention in them')
    parser.add_argument(
        '--sizes', nargs='+', default=[f'{h}x{w}' for h, w in DEFAULTS.sizes], metavar='HxW',
        help='of the features at stride 8, which are those of images eight times as large (default: 64x128 97x97)')
    parser.add_argument('--modes', nargs='+', choices=MODES, default=list(MODES), metavar='MODE',
                        help='forward: as in testing; forward+backward: as in training (default: both)')
    parser.add_argument('--batch', type=int, default=DEFAULTS.batch, help='images (default: %(default)s)')
    parser.add_argument('--device', default=DEFAULTS.device, help='cpu, cuda or cuda:1 (default: %(default)s)')
    parser.add_argument('--dtype', choices=list(DTYPES), default=DEFAULTS.dtype,
                        help="half precision is autocast's, as with train.py --amp (default: %(default)s)")
    parser.add_argument('--against', choices=['mmseg'], help="also time mmseg's own, with the same weights")
    parser.add_argument('--runs', type=int, default=DEFAULTS.runs, help='timed rounds (default: %(default)s)')
    parser.add_argument('--warmup', type=int, default=DEFAULTS.warmup, help='untimed runs (default: %(default)s)')
    parser.add_argument('--threads', type=int, help='of the CPU; what PyTorch takes if not given')
    parser.add_argument('--in-channels', type=int,
                        help="channels of the backbone's last stage; the configs' 2048 if not given")
    parser.add_argument('--channels', type=int, help="channels of the attention; the configs' 512 if not given")
    parser.add_argument('--seed', type=int, default=DEFAULTS.seed,
                        help='of weights, inputs and the order of runs (default: %(default)s)')
    parser.add_argument('--results', type=Path, metavar='FILE',
                        help='mIoU of methods for the picture of accuracy against cost: JSON, CSV, or the README.md '
                             'that compare.py writes')
    parser.add_argument('--out', type=Path, metavar='FOLDER',
                        help=f'for results and pictures (default: {OUT}, with --show that of the file)')
    parser.add_argument('--overwrite', action='store_true', help='replace the results in the folder')
    parser.add_argument('--show', type=Path, metavar='FILE', help='measure nothing: show and draw this benchmark.json')
    return parser.parse_args()


def settings_of(args: argparse.Namespace) -> Settings:
    for name in ('batch', 'runs', 'warmup', 'threads', 'in_channels', 'channels'):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f'--{name.replace("_", "-")} must be at least 1, got {value}')
    check_device(args.device)
    sizes = tuple(dict.fromkeys(parse_size(text) for text in args.sizes))
    modes = tuple(mode for mode in MODES if mode in args.modes)
    return Settings(level=args.level, sizes=sizes, modes=modes, batch=args.batch, device=args.device, dtype=args.dtype,
                    runs=args.runs, warmup=args.warmup, against=args.against, in_channels=args.in_channels,
                    channels=args.channels, seed=args.seed)


def check_device(name: str) -> None:
    if not re.fullmatch(r'cpu|cuda(:\d+)?', name):
        raise UserError(f'--device takes cpu, cuda or cuda:1, got {name}')
    count = torch.cuda.device_count()
    if name.startswith('cuda') and int(name.partition(':')[2] or 0) >= count:
        raise UserError(f'--device {name}: PyTorch sees {count or "no"} CUDA device{"s" if count > 1 else ""}')


def parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r'([1-9]\d*)x([1-9]\d*)', text)
    if not match:
        raise UserError(f'--sizes takes heights and widths such as 64x128, got {text}')
    return int(match[1]), int(match[2])


def check_methods(wanted: list[str] | None) -> list[str]:
    known = methods()
    unknown = set(wanted or ()) - set(known)
    if unknown:
        raise UserError(f'no method {", ".join(sorted(unknown))}; --methods takes {", ".join(known)}')
    return list(dict.fromkeys(wanted or known))


def check_out(folder: Path, overwrite: bool) -> None:
    if (folder / report.JSON).exists() and not overwrite:
        raise UserError(f'{folder / report.JSON} exists: choose another --out, or --overwrite')
    make(folder)
    for picture in pictures.COST, pictures.ACCURACY:
        (folder / picture).unlink(missing_ok=True)


def make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f'cannot write to the folder {folder}: {error.strerror}') from error


def check_accuracies(accuracies: dict[str, float], names: Iterable[str], file: Path | None) -> None:
    if accuracies and not accuracies.keys() & set(names):
        raise UserError(f'{file} has no accuracy of {", ".join(names)}; it has {", ".join(accuracies)}')


def describe(settings: Settings) -> dict[str, object]:
    device = torch.device(settings.device)
    return dict(date=datetime.now(timezone.utc).isoformat(timespec='seconds'), command=shlex.join(sys.argv),
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


def main() -> int:
    args = parse_args()
    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 120)
    accuracies = read_accuracies(args.results) if args.results else {}
    if args.show:
        meta, rows = report.read(args.show)
        check_accuracies(accuracies, dict.fromkeys(row.method for row in rows), args.results)
        out = args.out or args.show.parent
        make(out)
        show(rows, meta, accuracies, out, console)
        return 0
    settings, names, out = settings_of(args), check_methods(args.methods), args.out or OUT
    check_accuracies(accuracies, names, args.results)
    check_out(out, args.overwrite)
    if args.threads:
        torch.set_num_threads(args.threads)
    if settings.device == 'cpu':
        limit_memory()
    # As the configs have it.
    torch.backends.cudnn.benchmark = True
    # At the end of its time a cluster ends a job by SIGTERM.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    warnings.filterwarnings('ignore', module=r'mm(cv|seg)\.')
    meta = describe(settings)
    rows, meta['complete'] = run(names, settings, meta, out, console)
    show(rows, meta, accuracies, out, console)
    console.print(f'Rows: {out / report.JSON}, {report.CSV}')
    if not meta['complete']:
        return INTERRUPTED
    failed = any(row.status.startswith(WRONG) for row in rows) or all(row.median_ms is None for row in rows)
    return FAILED if failed else 0


if __name__ == '__main__':
    with readable_errors():
        sys.exit(main())
