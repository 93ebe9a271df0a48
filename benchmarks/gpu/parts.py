"""What the commands share that go through parts in turn: their arguments, and that no part stops the others."""

import argparse
import time
import traceback
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from benchmarks.gpu.recording import Record


def parser_of(description: str, parts: Collection[str], what_begins: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('parts', nargs='*', metavar='PART', help=f'of {", ".join(parts)}; all if none is given')
    parser.add_argument('--out', type=Path, required=True, help='file, to which lines are appended')
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--budget', type=float, default=3600, metavar='SECONDS',
                        help=f'{what_begins} begins after them')
    return parser


def parse(parser: argparse.ArgumentParser, parts: Collection[str]) -> argparse.Namespace:
    args = parser.parse_args()
    unknown = set(args.parts) - set(parts)
    if unknown:
        parser.error(f'no part {", ".join(sorted(unknown))}: there are {", ".join(parts)}')
    return args


def run_parts(record: Record, parts: dict[str, Callable[[Record], None]], names: Iterable[str],
              on_error: Callable[[str], None] = lambda name: None) -> None:
    """Calls the parts; what one raises is printed and counted, and ``on_error`` called with its name."""
    for name in names:
        started = time.monotonic()
        try:
            parts[name](record)
        except Exception:
            traceback.print_exc()
            record.failed.append(name)
            on_error(name)
        print(f'{name}: {time.monotonic() - started:.0f} s', flush=True)
