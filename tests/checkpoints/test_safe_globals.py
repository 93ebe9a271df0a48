import subprocess
import sys

import pytest

SAVE = '''
import sys, torch
from mmengine.logging import MessageHub
hub = MessageHub('test')
for i in range(3):
    hub.update_scalar('train/loss', 0.5 * i)
torch.save(dict(message_hub=hub.state_dict()), sys.argv[1])
'''
LOAD = '''
import sys, torch
from mmseg_attn.checkpoints.safe_globals import allow_mmengine_checkpoints
allow_mmengine_checkpoints()
content = torch.load(sys.argv[1], weights_only=True)
'''
PRINT = "print(content['message_hub']['log_scalars']['train/loss'].data[0])"
# A pickle by hand: getattr(getattr, '__self__') is the module of builtins, which has exec.
HOSTILE = '''
import struct, sys, zipfile, torch
def text(s):
    return b'X' + struct.pack('<I', len(s)) + s.encode()
get = b'c' + b'{module}' + b'\\ngetattr\\n'
execute = get + get + get + text('__self__') + b'\\x86R' + text('exec') + b'\\x86R'
history = b'cmmengine.logging.history_buffer\\nHistoryBuffer\\n)\\x81}}' + text('__setstate__') + execute + b'sb'
data = b'\\x80\\x02' + history + text("open(sys.argv[1] + '.victim', 'w')") + b'b.'
torch.save(dict(a=1), sys.argv[1])
with zipfile.ZipFile(sys.argv[1]) as file:
    parts = {{name: file.read(name) for name in file.namelist()}}
with zipfile.ZipFile(sys.argv[1], 'w') as file:
    for name, part in parts.items():
        file.writestr(name, data if name.endswith('data.pkl') else part)
'''


def _run(code, path):
    return subprocess.run([sys.executable, '-c', code, str(path)], capture_output=True, text=True)


def test_the_log_history_in_a_checkpoint_loads_without_unpickling_code(tmp_path):
    _run(SAVE, tmp_path / 'x.pth')
    result = _run(LOAD + PRINT, tmp_path / 'x.pth')
    assert '[0.  0.5 1. ]' in result.stdout, result.stderr


@pytest.mark.parametrize('module', ['builtins', '__builtin__'])
def test_what_loads_the_history_leads_to_no_other_function(tmp_path, module):
    path = tmp_path / 'x.pth'
    made = _run(HOSTILE.format(module=module), path)
    assert made.returncode == 0, made.stderr
    result = _run(LOAD, path)
    assert 'getattr was not an allowed global' in result.stderr, result.stderr
    assert not (tmp_path / 'x.pth.victim').exists()
