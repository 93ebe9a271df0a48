"""``--amp``: which wrapper and dtype a device gets, and what the CPU's computes."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from mmseg_attn.common import amp
from mmseg_attn.common.errors import UserError
from mmseg_attn.engine.amp import CPUAmpOptimWrapper, dtype_of, test_with_amp, train_with_amp
from mmseg_attn.registry import OPTIM_WRAPPERS

test_with_amp.__test__ = False
SCALER = dict(scale=1024.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000, _growth_tracker=7)


def config(**wrapper) -> Config:
    return Config(dict(optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)) | wrapper,
                       val_cfg=dict(type='ValLoop'), test_cfg=dict(type='TestLoop')))


@pytest.fixture
def on(monkeypatch):
    """``on(device)``: what mmengine takes for this machine's. What was set for its autocast is set back."""
    before = torch.get_autocast_dtype('cuda')

    def set_device(name: str, bfloat16: bool = True):
        monkeypatch.setattr('mmseg_attn.engine.amp.get_device', lambda: name)
        monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda: bfloat16)
        monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: 'NVIDIA T4')
    yield set_device
    torch.set_autocast_dtype('cuda', before)


def test_without_the_flag_a_config_stays_as_it_is(on):
    for device in 'cpu', 'cuda':
        on(device)
        cfg = config()
        assert train_with_amp(cfg, asked_for=False) is None
        assert cfg.to_dict() == config().to_dict()
        assert dtype_of(cfg, device) is None


def test_a_gpu_gets_the_wrapper_of_mmengine(on):
    on('cuda')
    cfg = config()
    assert train_with_amp(cfg, asked_for=True) == 'AMP: autocast to float16'
    assert cfg.optim_wrapper == dict(type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=0.1), loss_scale='dynamic')
    assert cfg.val_cfg.fp16
    assert torch.get_autocast_dtype('cuda') == torch.float16
    cfg = config(dtype='bfloat16', loss_scale=512.0)
    assert train_with_amp(cfg, asked_for=True) == 'AMP: autocast to bfloat16'
    assert (cfg.optim_wrapper.loss_scale, cfg.optim_wrapper.dtype) == (512.0, 'bfloat16')
    assert torch.get_autocast_dtype('cuda') == dtype_of(cfg, 'cuda') == torch.bfloat16


@pytest.mark.parametrize('name', ['AmpOptimWrapper', 'mmengine.AmpOptimWrapper', 'mmseg.AmpOptimWrapper'])
def test_a_config_goes_from_one_device_to_the_other(on, name):
    cfg = config(type=name, loss_scale='dynamic', dtype='bfloat16')
    on('cpu')
    assert train_with_amp(cfg, asked_for=False).startswith('AMP: autocast to bfloat16')
    assert cfg.optim_wrapper == dict(type='mmseg_attn.CPUAmpOptimWrapper', optimizer=dict(type='SGD', lr=0.1),
                                     loss_scale='dynamic', dtype='bfloat16')
    again = copy.deepcopy(cfg)
    train_with_amp(again, asked_for=True)
    assert again.to_dict() == cfg.to_dict()
    on('cuda')
    train_with_amp(cfg, asked_for=False)
    assert cfg.optim_wrapper == dict(type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=0.1), loss_scale='dynamic',
                                     dtype='bfloat16')


@pytest.mark.parametrize('loop', [dict(), dict(type='ValLoop'), dict(type='mmengine.ValLoop', fp16=False)], ids=str)
def test_validation_is_under_autocast(on, loop):
    on('cpu')
    cfg = config()
    cfg.val_cfg = cfg.test_cfg = loop
    assert 'not in the evaluation' not in train_with_amp(cfg, asked_for=True)
    assert cfg.val_cfg.fp16 is True
    test_with_amp(cfg)
    assert cfg.test_cfg.fp16 is True


def test_a_loop_of_the_users_own(on):
    on('cpu')
    cfg = config()
    cfg.val_cfg = cfg.test_cfg = dict(type='MyLoop')
    assert train_with_amp(cfg, asked_for=True).endswith('; not in the evaluation, whose loop is not of mmengine')
    with pytest.raises(UserError, match=r"test_cfg\.type is 'MyLoop'"):
        test_with_amp(cfg)
    assert cfg.val_cfg == cfg.test_cfg == dict(type='MyLoop')
    cfg.val_cfg = None
    train_with_amp(cfg, asked_for=True)
    assert cfg.val_cfg is None


def test_configs_without_a_training(on):
    on('cuda')
    cfg = Config(dict(test_cfg=dict(type='TestLoop'), optim_wrapper=dict(dtype='bfloat16')))
    assert test_with_amp(cfg) == 'AMP: autocast to bfloat16'
    assert 'optim_wrapper' not in cfg
    assert test_with_amp(cfg) == 'AMP: autocast to float16'
    assert dtype_of(cfg, 'cuda') is None
    for wrapper in None, 'SGD':
        with pytest.raises(UserError, match=r'needs optim_wrapper=dict.*got'):
            train_with_amp(Config(dict(optim_wrapper=wrapper)), asked_for=False)


@pytest.mark.parametrize(('device', 'wrapper', 'expected'), [
    ('cpu', dict(dtype='float16'), 'which PyTorch has for GPUs only.*On a CPU: optim_wrapper.dtype=bfloat16'),
    ('cuda', dict(dtype='float32'), "optim_wrapper.dtype='float32': --amp takes float16 and bfloat16"),
    ('cuda', dict(dtype='bfloat16'), 'NVIDIA T4 has no instructions for it.*optim_wrapper.dtype=float16'),
    ('mps', {}, 'not on mps'),
    ('cpu', dict(type='ApexOptimWrapper'), "optim_wrapper.type is 'ApexOptimWrapper'"),
])
def test_what_cannot_be(on, device, wrapper, expected):
    on(device, bfloat16=False)
    with pytest.raises(UserError, match=expected):
        train_with_amp(config(**wrapper), asked_for=True)


@pytest.mark.parametrize(('flags', 'expected'), [
    ('flags : fpu sse avx512_bf16 amx_tile', 'has instructions'), ('Features : fp asimd bf16', 'has instructions'),
    ('flags : fpu avx2', 'this CPU has no instructions: it takes many times as long'), (None, 'slow on others')])
def test_one_line_says_whether_the_cpu_has_instructions(flags, expected, tmp_path, monkeypatch):
    path = tmp_path / 'cpuinfo'
    if flags is not None:
        path.write_text(flags)
    monkeypatch.setattr(amp, 'Path', lambda name: path)
    assert expected in amp.describe_amp('cpu', torch.bfloat16)


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def _wrapper(model: nn.Module, kind: str = 'mmseg_attn.CPUAmpOptimWrapper', **arguments) -> OptimWrapper:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return OPTIM_WRAPPERS.build(dict(type=kind, optimizer=optimizer, **arguments))


def test_steps_are_those_of_autocast():
    x = torch.randn(2, 3, 5, 7)
    model, expected = _model(), _model()
    wrapper = _wrapper(model, clip_grad=dict(max_norm=0.5))
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        with wrapper.optim_context(model):
            out = model(x)
            assert out.dtype == torch.bfloat16
            loss = out.float().square().mean()
        wrapper.update_params(loss)
        with torch.autocast('cpu', torch.bfloat16):
            loss = expected(x).float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(expected.parameters(), 0.5)
        optimizer.step()
    assert not torch.is_autocast_enabled('cpu')
    for ours, theirs in zip(model.state_dict().values(), expected.state_dict().values(), strict=True):
        assert ours.dtype in (torch.float32, torch.long)
        assert torch.equal(ours, theirs)


def test_checkpoints_go_from_a_gpu_to_a_cpu_and_back():
    model = _model()
    wrapper = _wrapper(model)
    with wrapper.optim_context(model):
        loss = model(torch.randn(2, 3, 4, 4)).float().sum()
    wrapper.update_params(loss)
    plain = copy.deepcopy(wrapper.state_dict())
    assert 'loss_scaler' not in plain
    from_gpu = plain | dict(loss_scaler=SCALER)

    wrapper = _wrapper(model)
    wrapper.load_state_dict(from_gpu)
    assert from_gpu['loss_scaler'] == SCALER
    assert isinstance(wrapper, CPUAmpOptimWrapper)
    assert wrapper.state_dict()['loss_scaler'] == SCALER
    momentum = wrapper.state_dict()['state'][0]['momentum_buffer']
    assert torch.equal(momentum, plain['state'][0]['momentum_buffer'])
    # Back: what the GPU's wrapper does with the state, whose constructor refuses a machine without one.
    back = AmpOptimWrapper.__new__(AmpOptimWrapper)
    OptimWrapper.__init__(back, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    back.loss_scaler = torch.amp.GradScaler('cpu')
    back.load_state_dict(copy.deepcopy(wrapper.state_dict()))
    assert back.loss_scaler.get_scale() == 1024
    back.load_state_dict(copy.deepcopy(plain))
    # And without AMP.
    without = _wrapper(model, 'OptimWrapper')
    without.load_state_dict(copy.deepcopy(from_gpu))
    assert torch.equal(without.state_dict()['state'][0]['momentum_buffer'], momentum)
