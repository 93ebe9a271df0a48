"""Whatever mmengine reads a checkpoint by, code in it is not run."""

import os
import subprocess
import sys
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.models.backbones import MAE, BEiT, MixVisionTransformer, PIDNet, SwinTransformer, VisionTransformer
from safetensors.torch import save_file
from torch import nn

from mmseg_attn.checkpoints import strict_loading, use_strict_loading
from mmseg_attn.checkpoints.pretrained import (
    CheckedPretrainedInit,
    check_pretrained_weights,
    check_what_modules_load,
)
from mmseg_attn.common.errors import UserError

WEIGHTS = {'weight': torch.full((3, 2, 1, 1), 0.5), 'bias': torch.ones(3)}


class _Command:
    """A call that is made when the file is read as a pickle."""

    def __init__(self, victim: Path):
        self.victim = victim

    def __reduce__(self):
        return os.mkdir, (str(self.victim), )


@pytest.fixture
def strict(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    use_strict_loading()


@pytest.fixture
def served(tmp_path, monkeypatch):
    """An HTTP server for the files of a folder, and an empty cache of downloads."""
    (tmp_path / 'served').mkdir()
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with HTTPServer(('127.0.0.1', 0), partial(Handler, directory=tmp_path / 'served')) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path / 'served', f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def _addresses(monkeypatch, address: str) -> list[str]:
    """Every way in which mmengine names the file at ``address``."""
    for name in ('get_torchvision_models', 'get_external_models', 'get_mmcls_models'):
        monkeypatch.setattr(strict_loading, name, lambda: dict(net=address))
    return [address, 'torchvision://net', 'modelzoo://net', 'open-mmlab://net', 'openmmlab://net', 'mmcls://net']


def test_every_scheme_of_mmengine_has_a_strict_loader():
    assert strict_loading.LOADERS.keys() >= CheckpointLoader._schemes.keys()


@pytest.mark.usefixtures('strict')
def test_files_and_downloads_are_refused(tmp_path, served, monkeypatch):
    folder, address = served
    for name in 'local.pth', 'served/net.pth':
        torch.save(dict(state_dict=WEIGHTS, meta=dict(extra=_Command(tmp_path / 'victim'))), tmp_path / name)
    for filename in [str(tmp_path / 'local.pth'), *_addresses(monkeypatch, f'{address}/net.pth')]:
        with pytest.raises(UserError, match=r'running code that it contains .*mkdir'):
            CheckpointLoader.load_checkpoint(filename, 'cpu')
    assert not (tmp_path / 'victim').exists()
    assert (tmp_path / 'hub' / 'checkpoints' / 'net.pth').read_bytes() == (folder / 'net.pth').read_bytes()


@pytest.mark.usefixtures('strict')
def test_harmless_downloads_are_read(served, monkeypatch):
    folder, address = served
    torch.save(dict(state_dict={f'backbone.{k}': v for k, v in WEIGHTS.items()}), folder / 'net.pth')
    for filename in _addresses(monkeypatch, f'{address}/net.pth'):
        content = CheckpointLoader.load_checkpoint(filename, 'cpu')
        prefix = '' if filename.startswith('mmcls') else 'backbone.'
        assert content['state_dict'].keys() == {prefix + key for key in WEIGHTS}
    with pytest.raises(UserError, match='mmcls://nothing names no checkpoint'):
        CheckpointLoader.load_checkpoint('mmcls://nothing', 'cpu')


@pytest.mark.usefixtures('strict')
def test_a_download_with_another_checksum_is_refused(served):
    folder, address = served
    torch.save(WEIGHTS, folder / 'net-0123abcd.pth')
    with pytest.raises(RuntimeError, match='invalid hash value'):
        CheckpointLoader.load_checkpoint(f'{address}/net-0123abcd.pth', 'cpu')


@pytest.mark.usefixtures('strict')
def test_the_config_that_mmengine_runs_when_it_resumes_is_taken_out(tmp_path):
    torch.save(dict(state_dict=WEIGHTS, meta=dict(config='import os', iter=3)), tmp_path / 'file.pth')
    assert CheckpointLoader.load_checkpoint(str(tmp_path / 'file.pth'), 'cpu')['meta'] == dict(iter=3)


@pytest.mark.usefixtures('strict')
def test_safetensors_are_read_by_mmengine(tmp_path):
    save_file(WEIGHTS, tmp_path / 'file.safetensors')
    conv = nn.Conv2d(2, 3, 1)
    CheckedPretrainedInit(str(tmp_path / 'file.safetensors'))(conv)
    assert torch.equal(conv.weight, WEIGHTS['weight'])


def test_torch_load_of_others_reads_weights_only(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    torch.save(_Command(tmp_path / 'victim'), tmp_path / 'file.pth')
    code = "import os; assert os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] == '1'"
    with strict_loading.weights_only():
        with pytest.raises(Exception, match='mkdir'):
            torch.load(tmp_path / 'file.pth', weights_only=False)
        assert subprocess.run([sys.executable, '-c', code]).returncode == 0
    assert not (tmp_path / 'victim').exists()
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ
    assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'


@pytest.mark.usefixtures('strict')
@pytest.mark.parametrize(('weights', 'prefix', 'message'), [
    ({f'backbone.{k}': v for k, v in WEIGHTS.items()}, None, r'none of its 2 weights .* begin with backbone\.'),
    (WEIGHTS, 'neck.', 'none of its 0 weights'),
    (dict(weight=torch.ones(4, 2, 1, 1)), None, 'none of its 1 weights'),
    (dict(WEIGHTS, bias=torch.full((3, ), float('nan'))), None, 'bias holds values that are not finite')])
def test_pretrained_weights_that_do_not_fit_stop_the_command(tmp_path, weights, prefix, message):
    torch.save(weights, tmp_path / 'file.pth')
    with pytest.raises(UserError, match=f'(?s){message}'):
        CheckedPretrainedInit(str(tmp_path / 'file.pth'), prefix)(nn.Conv2d(2, 3, 1))


@pytest.mark.usefixtures('strict')
def test_a_part_of_pretrained_weights(tmp_path):
    torch.save(dict(state_dict={f'module.backbone.{k}': v for k, v in WEIGHTS.items()} | {'module.fc': torch.ones(2)}),
               tmp_path / 'file.pth')
    check_pretrained_weights()
    module = _Module(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'file.pth'), prefix='backbone'))
    module.init_weights()
    assert torch.equal(module.bias, WEIGHTS['bias'])
    assert torch.equal(module.weight, WEIGHTS['weight'])


@pytest.mark.usefixtures('strict')
@pytest.mark.filterwarnings('ignore:torch.meshgrid')  # mmseg's BEiT
@pytest.mark.parametrize('name', ['swin', 'vit', 'beit', 'mae', 'pidnet', 'mit'])
def test_backbones_that_load_by_themselves(tmp_path, name):
    def built(init_cfg=None):
        backbone = BACKBONES[name](init_cfg)
        check_what_modules_load(backbone)
        return backbone
    check_pretrained_weights()
    path = tmp_path / 'file.pth'
    pretrained = dict(type='Pretrained', checkpoint=str(path))
    weights = built().state_dict()
    torch.save({name: value + 1 if value.is_floating_point() else value for name, value in weights.items()}, path)
    backbone = built(pretrained)
    backbone.init_weights()
    key, value = next((k, v) for k, v in weights.items() if v.is_floating_point() and v.ndim > 1)
    assert torch.equal(backbone.state_dict()[key], value + 1)
    for wrong, message in (WEIGHTS, 'none of its 2 weights'), (weights | {key: value * float('nan')}, 'not finite'):
        torch.save(wrong, path)
        with pytest.raises(UserError, match=message):
            built(pretrained).init_weights()


BACKBONES = dict(
    swin=lambda init_cfg: SwinTransformer(
        embed_dims=8, depths=(1, ), num_heads=(1, ), strides=(4, ), out_indices=(0, ), init_cfg=init_cfg),
    vit=lambda init_cfg: VisionTransformer((32, 32), embed_dims=8, num_layers=1, num_heads=1, init_cfg=init_cfg),
    beit=lambda init_cfg: BEiT((32, 32), embed_dims=8, num_layers=1, num_heads=1, init_cfg=init_cfg),
    mae=lambda init_cfg: MAE((32, 32), embed_dims=8, num_layers=1, num_heads=1, init_cfg=init_cfg),
    pidnet=lambda init_cfg: PIDNet(channels=4, ppm_channels=4, init_cfg=init_cfg),
    mit=lambda init_cfg: MixVisionTransformer(
        embed_dims=8, num_stages=1, num_layers=[1], num_heads=[1], patch_sizes=[7], strides=[4], sr_ratios=[8],
        out_indices=(0, ), init_cfg=init_cfg))


class _Module(BaseModule):
    def __init__(self, init_cfg):
        super().__init__(init_cfg)
        self.weight, self.bias = nn.Parameter(torch.zeros(3, 2, 1, 1)), nn.Parameter(torch.zeros(3))


@pytest.mark.slow
def test_commands_use_it(tmp_path):
    """The wall holds in a whole command, here with a module of a config that reads a file by torch.load itself."""
    torch.save(_Command(tmp_path / 'victim'), tmp_path / 'file.pth')
    (tmp_path / 'reads.py').write_text(
        f'import torch\ntorch.load({str(tmp_path / "file.pth")!r}, weights_only=False)\n')
    (tmp_path / 'config.py').write_text("custom_imports = dict(imports=['reads'], allow_failed_imports=False)\n")
    result = subprocess.run([sys.executable, '-m', 'mmseg_attn', 'test', tmp_path / 'config.py', tmp_path / 'file.pth'],
                            capture_output=True, text=True, env=os.environ | dict(PYTHONPATH=str(tmp_path)))
    assert result.returncode == 2, result.stderr
    assert 'config.py cannot be read as a config: UnpicklingError' in result.stderr
    assert not (tmp_path / 'victim').exists()
