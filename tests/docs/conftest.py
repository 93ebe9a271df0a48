from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools.command import ROOT

from .small import run, small_options, write_data, write_repository


@pytest.fixture(scope='session')
def small_data(tmp_path_factory, shapes_root) -> Path:
    data = tmp_path_factory.mktemp('small') / 'data'
    write_data(data, shapes_root)
    return data


@pytest.fixture(scope='session')
def repository(tmp_path_factory, small_data) -> Callable[[str], Path]:
    """`repository(page)`: a copy in which the page is followed, the same for all its commands."""
    folders = {}

    def get(page: str) -> Path:
        if page not in folders:
            folders[page] = tmp_path_factory.mktemp(Path(page).stem)
            write_repository(folders[page], page, small_data)
        return folders[page]
    return get


@pytest.fixture(scope='session')
def trained(repository) -> Callable[[str, str], Path]:
    """`trained(page, config)`: where a small network lies after two iterations, as iter_2.pth with its config."""
    folders = {}

    def get(page: str, config: str) -> Path:
        key = config if (ROOT / config).is_file() else (page, config)
        if key not in folders:
            folder, name = repository(page), f'small{len(folders)}'
            run(['python', 'tools/train.py', config, '--work-dir', name, '--cfg-options',
                 *small_options(folder / config, iterations=2)], folder)
            folders[key] = folder / name
        return folders[key]
    return get
