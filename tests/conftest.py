from pathlib import Path

import pytest
import torch

DATA = Path(__file__).parent / 'data'


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def golden():
    """Numbers computed by official code: `golden('emanet_emau')` -> dict."""
    return lambda name: torch.load(DATA / f'{name}.pt', weights_only=True)
