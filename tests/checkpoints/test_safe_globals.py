"""What mmengine writes beside weights is read without running code, and nothing else is."""

import subprocess
import sys

import pytest
import torch
from mmengine.logging import MessageHub

from tests.faults.hostile import DISGUISES

# In a process of its own: what is allowed once stays allowed.
LOAD = '''
import sys, torch
from mmseg_attn.checkpoints.safe_globals import allow_mmengine_checkpoints
allow_mmengine_checkpoints()
for path in sys.argv[1:]:
    try:
        content = torch.load(path, weights_only=True)
        print(content['message_hub']['log_scalars']['train/loss'].data[0])
    except Exception as error:
        print(str(error).replace('\\n', ' '))
'''


def _write_history(path) -> None:
    hub = MessageHub('test')
    for i in range(3):
        hub.update_scalar('train/loss', 0.5 * i)
    torch.save(dict(message_hub=hub.state_dict()), path)


@pytest.mark.slow
def test_the_log_history_is_read_and_leads_to_no_other_function(tmp_path):
    hostile = {module: tmp_path / f'{module}.pth' for module in ('builtins', '__builtin__')}
    for module, path in hostile.items():
        DISGUISES[f'{module}.getattr'][0](dict(a=1), path, path.with_suffix('.victim'))
    _write_history(tmp_path / 'history.pth')
    result = subprocess.run([sys.executable, '-c', LOAD, tmp_path / 'history.pth', *hostile.values()],
                            capture_output=True, text=True)
    history, *refusals = result.stdout.splitlines()[-3:]
    assert history == '[0.  0.5 1. ]', result.stderr
    for refusal in refusals:
        assert 'getattr was not an allowed global' in refusal
    assert not list(tmp_path.glob('*.victim'))
