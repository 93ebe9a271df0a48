"""What the heads cost: parameters, operations, latency and memory, beside mmseg's own heads where it has them.

    mmseg-attn benchmark                                               all heads, at the sizes of Cityscapes
    mmseg-attn benchmark --device cuda --dtype bfloat16 --against mmseg
    mmseg-attn benchmark --level block --sizes 32x64 64x128 128x256    only the attention; with exponents of N
    mmseg-attn benchmark --show work_dirs/benchmark/benchmark.json --results accuracies.csv

Heads are those of configs/<method>_r50_cityscapes.py, with BN for SyncBN. Every one is checked before it is timed. With
--against, ours has mmseg's options and weights. Ctrl-C ends it and shows what is measured so far.

Exits with 0; 1 where a result is wrong or nothing could be measured; 2 for an error of yours; 130 when interrupted.
"""

import argparse
import os
import re
import signal
import sys
import warnings
from pathlib import Path

from mmseg_attn.benchmark.settings import DTYPES, LEVELS, MODES, Settings, methods
from mmseg_attn.common.arguments import add_device, check_at_least, check_device
from mmseg_attn.common.errors import INTERRUPTED, UserError

# PyTorch's profiler, which measures memory on the CPU, otherwise reports each start and stop, and that something was
# released which is older than the run. It looks at its import.
os.environ.setdefault('KINETO_LOG_LEVEL', '99')
os.environ.setdefault('TORCH_CPP_LOG_LEVEL', 'ERROR')

DEFAULTS = Settings()
OUT = Path('work_dirs/benchmark')
FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--methods', nargs='+', metavar='METHOD', help=f'of {", ".join(methods())}; all if not given')
    parser.add_argument('--level', choices=LEVELS, default=DEFAULTS.level, help='whole heads, or the attention in them')
    parser.add_argument(
        '--sizes', nargs='+', default=[f'{h}x{w}' for h, w in DEFAULTS.sizes], metavar='HxW',
        help='of the features at stride 8, which are those of images eight times as large (default: 64x128 97x97)')
    parser.add_argument('--modes', nargs='+', choices=MODES, default=list(MODES), metavar='MODE',
                        help='forward: as in testing; forward+backward: as in training (default: both)')
    parser.add_argument('--batch', type=int, default=DEFAULTS.batch, help='images (default: %(default)s)')
    add_device(parser, 'where it is measured')
    parser.add_argument('--dtype', choices=DTYPES, default=DEFAULTS.dtype,
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


def main(args: argparse.Namespace) -> int:
    import torch
    from rich.console import Console

    from mmseg_attn.benchmark import report
    from mmseg_attn.benchmark.benchmark import check_accuracies, check_out, describe, run, show
    from mmseg_attn.benchmark.measuring import WRONG
    from mmseg_attn.benchmark.memory import limit_memory
    from mmseg_attn.benchmark.results import read_accuracies
    from mmseg_attn.common.files import require_writable
    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 120)
    accuracies = read_accuracies(args.results) if args.results else {}
    if args.show:
        meta, rows = report.read(args.show)
        check_accuracies(accuracies, dict.fromkeys(row.method for row in rows), args.results)
        out = args.out or args.show.parent
        require_writable(out)
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
    meta = describe(settings, args.command)
    rows, meta['complete'] = run(names, settings, meta, out, console)
    show(rows, meta, accuracies, out, console)
    console.print(f'Rows: {out / report.JSON}, {report.CSV}')
    if not meta['complete']:
        return INTERRUPTED
    failed = any(row.status.startswith(WRONG) for row in rows) or all(row.median_ms is None for row in rows)
    return FAILED if failed else 0


def settings_of(args: argparse.Namespace) -> Settings:
    check_at_least(1, batch=args.batch, runs=args.runs, warmup=args.warmup, threads=args.threads,
                   in_channels=args.in_channels, channels=args.channels)
    device = check_device(args.device)
    if not re.fullmatch(r'cpu|cuda(:\d+)?', device):
        raise UserError(f'--device takes cpu, cuda or cuda:1, got {device}')
    sizes = tuple(dict.fromkeys(parse_size(text) for text in args.sizes))
    modes = tuple(mode for mode in MODES if mode in args.modes)
    return Settings(level=args.level, sizes=sizes, modes=modes, batch=args.batch, device=device, dtype=args.dtype,
                    runs=args.runs, warmup=args.warmup, against=args.against, in_channels=args.in_channels,
                    channels=args.channels, seed=args.seed)


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
