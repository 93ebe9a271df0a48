"""Finds operations that have become slower: their times beside a baseline's, against ratios that are stored.

    OMP_NUM_THREADS=2 python -m benchmarks.regressions            compares; exits with 1 if one is 15 % slower
    OMP_NUM_THREADS=2 python -m benchmarks.regressions --store    measures the ratios anew, after a change that is meant

Ratios, because both sides of one are measured in turns on the same machine, whose speed then matters little. What looks
slower is measured once more before it counts. `make bench` compares; it takes a few minutes on two quiet cores.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from mmseg_attn.benchmark.machine import commit, hardware, versions

from .operations import CPU, ROWS, measure

STORED = Path('docs/benchmarks/ratios.json')
SIZE = 32, 64
TOLERANCE = 1.15
# Their baseline needs an mmcv with compiled operators, and minutes.
LEFT_OUT = {'psa_collect', 'psa_distribute'}


def ratios(name: str, runs: int) -> dict[str, float]:
    """Our time divided by the baseline's, for each mode."""
    return {row['mode']: row['time_ratio'] for row in measure(name, SIZE, runs)}


def slower(name: str, stored: dict[str, float], runs: int) -> dict[str, float]:
    """The modes whose ratio is above the stored one by more than :data:`TOLERANCE`, in both of two measurements."""
    found = {mode: value for mode, value in ratios(name, runs).items() if value > TOLERANCE * stored[mode]}
    if found:
        again = ratios(name, runs)
        found = {mode: min(value, again[mode]) for mode, value in found.items()}
    return {mode: value for mode, value in found.items() if value > TOLERANCE * stored[mode]}


def store(names: list[str], runs: int) -> None:
    before = json.loads(STORED.read_text())['ratios'] if STORED.is_file() else {}
    report = dict(command=sys.argv, hardware=hardware(CPU), versions=versions(), commit=commit(),
                  threads=torch.get_num_threads(), size=SIZE,
                  ratios=before | {name: ratios(name, runs) for name in names})
    STORED.write_text(json.dumps(report, indent=1) + '\n')
    print(f'Stored in {STORED}')


def compare(names: list[str], runs: int) -> int:
    """The exit code."""
    stored, code = json.loads(STORED.read_text())['ratios'] if STORED.is_file() else {}, 0
    missing = [name for name in names if name not in stored]
    if missing:
        print(f'{STORED} has no ratios of {", ".join(missing)}: --store --operations {" ".join(missing)}')
        return 2
    for name in names:
        found = slower(name, stored[name], runs)
        for mode, value in found.items():
            print(f'{name}, {mode}: {value:.2f} of the baseline\'s time, {stored[name][mode]:.2f} before')
            code = 1
        if not found:
            print(f'{name}: as before', flush=True)
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [name for name in ROWS if name not in LEFT_OUT]
    parser.add_argument('--operations', nargs='+', choices=names, default=names, metavar='NAME')
    parser.add_argument('--runs', type=int, default=15)
    parser.add_argument('--store', action='store_true', help=f'write {STORED}')
    args = parser.parse_args()
    if args.store:
        store(args.operations, args.runs)
        return 0
    return compare(args.operations, args.runs)


if __name__ == '__main__':
    sys.exit(main())
