"""How many cells of the shapes of ContextShapes have the key among the 36 positions that DGMN samples without offsets.

    python benchmarks/dgmn_reach.py data/context_shapes
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

STRIDE, KEY = 8, 4
TAPS = [(rate * i, rate * j) for rate in (1, 4, 8, 12) for i in (-1, 0, 1) for j in (-1, 0, 1)]


def main() -> None:
    reached = cells = 0
    for path in sorted(Path(sys.argv[1], 'SegmentationClass').glob('val*.png')):
        labels = np.array(Image.open(path))
        blocks = labels.reshape(labels.shape[0] // STRIDE, STRIDE, labels.shape[1] // STRIDE, STRIDE)
        key = (blocks == KEY).any(axis=(1, 3))
        shapes = ((blocks > 0) & (blocks < KEY)).any(axis=(1, 3))
        padded = np.pad(key, 12)
        seen = np.any([padded[12 + i:12 + i + key.shape[0], 12 + j:12 + j + key.shape[1]] for i, j in TAPS], axis=0)
        reached, cells = reached + (seen & shapes).sum(), cells + shapes.sum()
    print(f'{reached} of {cells}')


if __name__ == '__main__':
    main()
