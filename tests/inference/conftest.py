import pytest

from .sources import save_model


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A folder with config.py and weights.pth."""
    folder = tmp_path_factory.mktemp('files')
    save_model(folder)
    return folder
