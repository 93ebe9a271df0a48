"""What mmengine writes beside weights is read without running code, and nothing else is."""

import struct
import subprocess
import sys
import zipfile

import pytest
import torch
from mmengine.logging import MessageHub

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


def _text(string: str) -> bytes:
    return b'X' + struct.pack('<I', len(string)) + string.encode()


def _write_history(path) -> None:
    hub = MessageHub('test')
    for i in range(3):
        hub.update_scalar('train/loss', 0.5 * i)
    torch.save(dict(message_hub=hub.state_dict()), path)


def _write_hostile(path, module: str) -> None:
    """A pickle by hand: getattr(getattr, '__self__') is the module of builtins, which has exec."""
    get = b'c' + module.encode() + b'\ngetattr\n'
    execute = get + get + get + _text('__self__') + b'\x86R' + _text('exec') + b'\x86R'
    history = b'cmmengine.logging.history_buffer\nHistoryBuffer\n)\x81}' + _text('__setstate__') + execute + b'sb'
    data = b'\x80\x02' + history + _text(f"open({str(path)!r} + '.victim', 'w').close()") + b'b.'
    torch.save(dict(a=1), path)
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, 'w') as file:
        for name, part in parts.items():
            file.writestr(name, data if name.endswith('data.pkl') else part)


@pytest.mark.slow
def test_the_log_history_is_read_and_leads_to_no_other_function(tmp_path):
    hostile = {module: tmp_path / f'{module}.pth' for module in ('builtins', '__builtin__')}
    for module, path in hostile.items():
        _write_hostile(path, module)
    _write_history(tmp_path / 'history.pth')
    result = subprocess.run([sys.executable, '-c', LOAD, tmp_path / 'history.pth', *hostile.values()],
                            capture_output=True, text=True)
    history, *refusals = result.stdout.splitlines()[-3:]
    assert history == '[0.  0.5 1. ]', result.stderr
    for refusal in refusals:
        assert 'getattr was not an allowed global' in refusal
    assert not list(tmp_path.glob('*.victim'))


@pytest.mark.parametrize('module', ['builtins', '__builtin__'])
def test_the_hostile_file_would_run_code(tmp_path, module):
    _write_hostile(tmp_path / 'x.pth', module)
    torch.load(tmp_path / 'x.pth', weights_only=False)
    assert (tmp_path / 'x.pth.victim').exists()
