import os
import signal
from functools import cache, wraps
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmseg_attn.environment import replace_missing_operators

DATA = Path(__file__).parent / 'data'

# The tensors are small: more threads only wait for each other, for minutes when the machine has other work.
torch.set_num_threads(1)

# A shell starts what runs in the background with Ctrl+C ignored, and the commands that the tests interrupt inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests import mmseg in any order.
replace_missing_operators()


# PyTorch remembers at its first use which functions `with torch.device(...)` acts upon: they must be its own.
with torch.device('cpu'):
    torch.empty(0)


@pytest.fixture(autouse=True)
def _seed():
    # torch.manual_seed also keeps a stack trace for every kind of device that is absent, which takes 2 ms.
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(0)


def _filled(allocate):
    """``allocate``, whose memory often holds zeros or an earlier right result, with what no test takes for a result.

    PyTorch's own ``fill_uninitialized_memory`` works with deterministic algorithms only, which are not those that users
    run. What is not plain memory is left alone: fake and meta tensors, and whatever is traced.
    """
    @wraps(allocate)
    def wrapper(*args, **kwargs):
        out = allocate(*args, **kwargs)
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or type(out) is not torch.Tensor:
            return out
        if out.layout == torch.strided and not out.is_meta and not out.is_quantized:
            is_float = out.is_floating_point() or out.is_complex()
            value = torch.nan if is_float else out.dtype == torch.bool or torch.iinfo(out.dtype).max
            out.detach().fill_(value)
        return out
    return wrapper


# Made once: the compiler remembers functions by their identity.
FILLED = [(owner, name, _filled(getattr(owner, name)))
          for owner, names in ((torch, ('empty', 'empty_like', 'empty_strided')),
                               (torch.Tensor, ('new_empty', 'new_empty_strided'))) for name in names]


@pytest.fixture(autouse=True)
def _nothing_passes_uninitialised(monkeypatch):
    for owner, name, function in FILLED:
        monkeypatch.setattr(owner, name, function)


@pytest.fixture(scope='session', autouse=True)
def _runners_start_fast():
    """Without what takes mmengine a second each time: to ask compilers and git for their versions, and to collect
    garbage for every data set, among all that has been imported."""
    from mmengine.dataset import base_dataset
    from mmengine.runner import runner
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, 'collect_env', cache(runner.collect_env))
        patch.setattr(base_dataset, 'gc', SimpleNamespace(collect=lambda: 0))
        yield


@pytest.fixture(autouse=True)
def _configs_are_not_formatted(request, monkeypatch):
    """What yapf makes of a config is the same config, and takes it half a second. The slow tests have it formatted."""
    if not request.node.get_closest_marker('slow'):
        monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (text, True))


@pytest.fixture
def golden():
    """Numbers computed by official code: `golden('emanet_emau')` -> dict."""
    return lambda name: torch.load(DATA / f'{name}.pt', weights_only=True)


@pytest.fixture(scope='session')
def shapes_root(tmp_path_factory) -> Path:
    """The built-in data set, drawn once for all tests, whichever worker comes first."""
    from mmseg_attn.datasets.context_shapes import generate_if_needed
    folder = tmp_path_factory.getbasetemp()
    # The base of a worker of xdist lies in that of the whole run.
    root = (folder.parent if 'PYTEST_XDIST_WORKER' in os.environ else folder) / 'data' / 'context_shapes'
    generate_if_needed(root)
    return root


@pytest.fixture(scope='session')
def _few_images(tmp_path_factory) -> Path:
    from mmseg_attn.datasets.context_shapes import CONTENT, generate_if_needed
    root = tmp_path_factory.mktemp('few') / 'context_shapes'
    with pytest.MonkeyPatch.context() as patch:
        for split in 'train', 'val':
            patch.setitem(CONTENT, split, 20)
        generate_if_needed(root)
    return root


@pytest.fixture
def few_shapes(_few_images, monkeypatch) -> Path:
    """The built-in data set with 20 images in each split, for what runs within this process. The whole takes 8 s."""
    from mmseg_attn.datasets.context_shapes import CONTENT
    for split in 'train', 'val':
        monkeypatch.setitem(CONTENT, split, 20)
    return _few_images


@pytest.fixture
def shapes(request) -> Path:
    """The whole built-in data set for slow tests, whose commands are other processes; some of it for the others."""
    return request.getfixturevalue('shapes_root' if request.node.get_closest_marker('slow') else 'few_shapes')


@pytest.fixture(scope='session')
def camvid() -> Path:
    root = Path(__file__).parents[2] / 'shared' / 'data' / 'camvid'
    if not root.is_dir():
        pytest.skip('CamVid is not at hand')
    return root
