from pathlib import Path

import pytest
import torch

from mmseg_attn.environment import replace_missing_operators

DATA = Path(__file__).parent / 'data'

# The tensors are small: more threads only wait for each other, for minutes when the machine has other work.
torch.set_num_threads(1)

# Tests import mmseg in any order.
replace_missing_operators()


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def golden():
    """Numbers computed by official code: `golden('emanet_emau')` -> dict."""
    return lambda name: torch.load(DATA / f'{name}.pt', weights_only=True)


@pytest.fixture(scope='session')
def shapes_root(tmp_path_factory) -> Path:
    """The built-in data set, drawn once for all tests."""
    from mmseg_attn.datasets.context_shapes import generate_if_needed
    root = tmp_path_factory.mktemp('data') / 'context_shapes'
    generate_if_needed(root)
    return root


@pytest.fixture(scope='session')
def camvid() -> Path:
    root = Path(__file__).parents[2] / 'shared' / 'data' / 'camvid'
    if not root.is_dir():
        pytest.skip('CamVid is not at hand')
    return root
