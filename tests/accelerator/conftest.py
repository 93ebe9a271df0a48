"""Runs these tests in a process with a fake accelerator (fake_device.py). All are slow: the
process takes ten seconds to start. To choose single tests there:
FAKE_ACCELERATOR=1 pytest tests/accelerator/test_blocks.py -k danet
"""

import pytest
from mmengine.registry import init_default_scope

from tests.accelerator import fake_autocast, fake_device
from tests.own_process import OwnProcess

ACCELERATOR = OwnProcess(name='fake-accelerator', variable='FAKE_ACCELERATOR', usable=fake_device.USABLE,
                         needs='a newer PyTorch, for a device made of Python')

if ACCELERATOR.inside:
    fake_device.register()
    fake_autocast.register()


def pytest_pycollect_makemodule(module_path, parent):
    return None if ACCELERATOR.inside else ACCELERATOR.collect(module_path, parent)


def pytest_collection_modifyitems(items):
    ACCELERATOR.share(items)


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmseg')
