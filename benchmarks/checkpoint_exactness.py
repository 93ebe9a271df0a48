"""How far the logits of converted networks are from those of the official code, as a part of their standard deviation.

    OMP_NUM_THREADS=1 python -m benchmarks.checkpoint_exactness

Weights made by formula, one input each: the vectors of tests/checkpoints/test_official.py.
"""

from pathlib import Path

import torch

from mmseg_attn.checkpoints import Checkpoint, convert_checkpoint
from tests.checkpoints.test_official import build
from tests.checkpoints.weights import weights_by_formula


@torch.no_grad()
def main() -> None:
    for path in sorted(Path('tests/data').glob('whole_*.pt')):
        official = torch.load(path, weights_only=True)
        weights = weights_by_formula(official['keys'], official['aliases'])
        model = build(convert_checkpoint(Checkpoint(path, weights)))
        logits = model.decode_head(model.extract_feat(official['input']))
        error = (logits - official['output']).abs().max() / official['output'].std()
        print(f'{path.stem.removeprefix("whole_")}: {error:.1e}')


if __name__ == '__main__':
    main()
