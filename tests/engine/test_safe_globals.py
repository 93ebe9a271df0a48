import subprocess
import sys

CODE = '''
import sys, torch
from mmengine.logging import MessageHub
from mmseg_attn.engine.safe_globals import allow_mmengine_checkpoints
hub = MessageHub('test')
for i in range(3):
    hub.update_scalar('train/loss', 0.5 * i)
torch.save(dict(message_hub=hub.state_dict()), sys.argv[1])
allow_mmengine_checkpoints()
print(torch.load(sys.argv[1], weights_only=True)['message_hub']['log_scalars']['train/loss'].data[0])
'''


def test_the_log_history_in_a_checkpoint_loads_without_unpickling_code(tmp_path):
    result = subprocess.run([sys.executable, '-c', CODE, str(tmp_path / 'x.pth')], capture_output=True, text=True)
    assert '[0.  0.5 1. ]' in result.stdout, result.stderr
