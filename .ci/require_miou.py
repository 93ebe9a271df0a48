"""Fails unless the last evaluation in a work dir reached an mIoU: python .ci/require_miou.py WORK_DIR MIOU"""

import json
import sys
from pathlib import Path

folder, wanted = Path(sys.argv[1]), float(sys.argv[2])
# tools/test.py leaves <time>/<time>.json; the scalars of a training lie one folder deeper.
files = sorted(folder.glob('[0-9]*/*.json'))
if not files:
    sys.exit(f'no evaluation in {folder}')
miou = json.loads(files[-1].read_text().splitlines()[-1])['mIoU']
print(f'mIoU {miou:.1f}')
if not miou >= wanted:
    sys.exit(f'{files[-1]}: the mIoU is {miou}, less than {wanted}')
