import os

import pytest
from mmengine.registry import init_default_scope

# Before PyTorch is imported, as in the tool: its profiler would report each start and stop.
os.environ.setdefault('KINETO_LOG_LEVEL', '99')


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmseg')
