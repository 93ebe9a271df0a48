"""Is what this machine computes right? Compared with float64 on the CPU.

    python -m benchmarks.gpu.check --out check.jsonl                    everything, on the GPU
    python -m benchmarks.gpu.check --out check.jsonl blocks amp maps
    python -m benchmarks.gpu.check --out check.jsonl --device cpu       small: a rehearsal of the program

One line of JSON for every check is appended to the file, as soon as it is done. Exits with 1 where one failed.
"""

import argparse
import sys
import traceback
import warnings

import torch

# As in the tests: the operators that an mmcv without compiled ones lacks are replaced before mmseg is imported.
from mmseg_attn.environment import replace_missing_operators

warnings.filterwarnings('ignore')
replace_missing_operators()

from benchmarks.gpu.checks_of_blocks import amp, blocks, maps  # noqa: E402
from benchmarks.gpu.checks_of_execution import compiled, graphs, syncs  # noqa: E402
from benchmarks.gpu.checks_of_heads import heads, losses  # noqa: E402
from benchmarks.gpu.checks_of_large_tensors import huge  # noqa: E402
from benchmarks.gpu.parts import parse, parser_of, run_parts  # noqa: E402
from benchmarks.gpu.recording import Record  # noqa: E402

PARTS = dict(blocks=blocks, amp=amp, maps=maps, heads=heads, losses=losses, syncs=syncs, graphs=graphs, huge=huge,
             compile=compiled)


def arguments() -> argparse.ArgumentParser:
    return parser_of(__doc__.splitlines()[0], PARTS, 'no check')


def main() -> int:
    args = parse(arguments(), PARTS)
    record = Record(args.out, args.device, args.budget)
    if record.on_gpu:
        # Its convolutions would round to 10 bits in float32.
        torch.backends.cudnn.allow_tf32 = False
    run_parts(record, PARTS, args.parts or PARTS,
              lambda part: record.add(check=part, ok=False, problem=traceback.format_exc(limit=-1)[-500:]))
    print(record.summary(), flush=True)
    return bool(record.failed)


if __name__ == '__main__':
    sys.exit(main())
