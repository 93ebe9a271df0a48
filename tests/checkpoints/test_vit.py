"""Weights of timm's and DINOv2's vision transformers in mmseg's, against another forward."""

import math
from importlib import import_module
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope

from mmseg_attn.checkpoints import Checkpoint, convert_checkpoint
from mmseg_attn.common.errors import UserError
from mmseg_attn.registry import MODELS
from tests.backbones import require_backbone
from tests.tools.command import run_here

PATCH, CHANNELS, DEPTH, SIDE = 14, 128, 3, 4


def weights(with_scales=True, **others):
    """Random numbers in the names and shapes of facebookresearch/dinov2, whose ViT-S/14 has 384 channels."""
    shapes = {'cls_token': (1, 1, CHANNELS), 'pos_embed': (1, 1 + SIDE**2, CHANNELS), 'mask_token': (1, CHANNELS),
              'patch_embed.proj.weight': (CHANNELS, 3, PATCH, PATCH), 'patch_embed.proj.bias': (CHANNELS,),
              'norm.weight': (CHANNELS,), 'norm.bias': (CHANNELS,)}
    for i in range(DEPTH):
        layers = {'attn.qkv': (3 * CHANNELS, CHANNELS), 'attn.proj': (CHANNELS, CHANNELS),
                  'mlp.fc1': (4 * CHANNELS, CHANNELS), 'mlp.fc2': (CHANNELS, 4 * CHANNELS)}
        for name, shape in layers.items():
            shapes |= {f'blocks.{i}.{name}.weight': shape, f'blocks.{i}.{name}.bias': shape[:1]}
        for name in ('norm1.weight', 'norm1.bias', 'norm2.weight', 'norm2.bias'):
            shapes[f'blocks.{i}.{name}'] = (CHANNELS,)
        if with_scales:
            shapes |= {f'blocks.{i}.ls1.gamma': (CHANNELS,), f'blocks.{i}.ls2.gamma': (CHANNELS,)}
    state = {name: torch.randn(shape, dtype=torch.float64) * math.prod(shape[1:])**-0.5 if len(shape) in (2, 4)
             else torch.randn(shape, dtype=torch.float64) for name, shape in (shapes | others).items()}
    return state


def forward(state, images):
    """The transformer from its paper, https://arxiv.org/abs/2010.11929, with the scales of CaiT, which DINOv2 has."""
    def norm(x, name):
        return F.layer_norm(x, (CHANNELS,), state[f'{name}.weight'], state[f'{name}.bias'], 1e-6)

    def linear(x, name):
        return x @ state[f'{name}.weight'].T + state[f'{name}.bias']
    heads = CHANNELS // 64
    patches = F.unfold(images, PATCH, stride=PATCH).transpose(1, 2)
    rows, columns = (side // PATCH for side in images.shape[2:])
    x = patches @ state['patch_embed.proj.weight'].flatten(1).T + state['patch_embed.proj.bias']
    grid = state['pos_embed'][:, 1:].transpose(1, 2).unflatten(2, (SIDE, SIDE))
    grid = F.interpolate(grid, (rows, columns), mode='bicubic', align_corners=False)
    x = x + grid.flatten(2).transpose(1, 2)
    x = torch.cat([(state['cls_token'] + state['pos_embed'][:, :1]).expand(len(x), -1, -1), x], dim=1)
    for i in range(DEPTH):
        block = f'blocks.{i}'
        one = torch.ones((), dtype=x.dtype)
        query, key, value = linear(norm(x, f'{block}.norm1'), f'{block}.attn.qkv').chunk(3, dim=2)
        out = [((q @ k.transpose(1, 2)) / 8).softmax(dim=2) @ v for q, k, v in zip(
            *(part.split(64, dim=2) for part in (query, key, value)), strict=True)]
        assert len(out) == heads
        x = x + state.get(f'{block}.ls1.gamma', one) * linear(torch.cat(out, dim=2), f'{block}.attn.proj')
        hidden = F.gelu(linear(norm(x, f'{block}.norm2'), f'{block}.mlp.fc1'))
        x = x + state.get(f'{block}.ls2.gamma', one) * linear(hidden, f'{block}.mlp.fc2')
    return norm(x, 'norm')[:, 1:].transpose(1, 2).unflatten(2, (rows, columns))


def converted(state):
    """The backbone that the note describes, with the weights, as a training loads them."""
    init_default_scope('mmseg')
    conversion = convert_checkpoint(Checkpoint(Path('file'), state))
    note, = conversion.notes
    settings = eval(note[note.index('dict('):note.index(', init_cfg')] + ')', dict(dict=dict))
    backbone = MODELS.build(settings).double()
    backbone.eval()  # mmseg's returns None
    backbone.load_state_dict(conversion.state_dict)
    return backbone, conversion


# The size of the position embedding, and two others.
@pytest.mark.parametrize('size', [(4, 4), (3, 7), (8, 6)])
@pytest.mark.parametrize('with_scales', [True, False])
def test_the_maps_are_the_same(size, with_scales):
    state = weights(with_scales)
    backbone, conversion = converted(state)
    images = torch.randn(2, 3, *(PATCH * side for side in size), dtype=torch.float64)
    out, = backbone(images)
    torch.testing.assert_close(out, forward(state, images))
    assert conversion.source.method == 'vit'
    assert conversion.config is None
    assert [name for name, _ in conversion.dropped] == ['mask_token']
    assert len(conversion.mapped) == len(state) - 1


def test_the_maps_are_those_of_timm():
    require_backbone(dict(type='TIMMBackbone'))
    timm = import_module('timm')
    model = timm.create_model('vit_small_patch14_dinov2', img_size=PATCH * SIDE, embed_dim=CHANNELS, depth=DEPTH,
                              num_heads=CHANNELS // 64, init_values=1.0, num_classes=5).double().eval()
    for parameter in model.parameters():
        parameter.data.normal_(std=0.2)
    backbone, conversion = converted(model.state_dict())
    images = torch.randn(2, 3, PATCH * SIDE, PATCH * SIDE, dtype=torch.float64)
    expected, = model.get_intermediate_layers(images, n=1, reshape=True, norm=True)
    torch.testing.assert_close(backbone(images)[0], expected)
    assert [name for name, _ in conversion.dropped] == ['head.weight', 'head.bias']


@pytest.mark.parametrize(('others', 'message'), [
    (dict(register_tokens=(1, 4, CHANNELS)), r'has registers \(register_tokens\).*TIMMBackbone takes them'),
    (dict(reg_token=(1, 4, CHANNELS)), r'has registers \(reg_token\)'),
    ({'blocks.0.mlp.w12.weight': (8, CHANNELS)}, 'SwiGLU'),
    ({'blocks.0.0.norm1.weight': (CHANNELS,)}, 'in chunks'),
    (dict(pos_embed=(1, SIDE**2, CHANNELS)), '15 positions .* is no square'),
    (dict(dist_token=(1, 1, CHANNELS)), '1 keys that are not known: dist_token')])
def test_what_has_no_place(others, message):
    with pytest.raises(UserError, match=message):
        convert_checkpoint(Checkpoint(Path('file'), weights(**others)))


def test_the_command_writes_what_a_training_loads(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    state = {name: value.float() for name, value in weights().items()}
    torch.save(state, 'dinov2.pth')
    run_here('convert_checkpoint', 'dinov2.pth', 'pretrain/dinov2.pth')
    output = ' '.join(capsys.readouterr().out.split())
    assert 'Recognised vit of timm or facebookresearch/dinov2' in output
    assert "dict(type='VisionTransformer', img_size=(56, 56), patch_size=14, patch_bias=True, " in output
    _, conversion = converted(state)
    settings = dict(type='VisionTransformer', img_size=(56, 56), patch_size=14, patch_bias=True, embed_dims=CHANNELS,
                    num_layers=DEPTH, num_heads=2, final_norm=True)
    loaded = MODELS.build(dict(settings, init_cfg=dict(type='Pretrained', checkpoint='pretrain/dinov2.pth')))
    loaded.init_weights()
    assert loaded.state_dict().keys() == conversion.state_dict.keys()
    assert all(torch.equal(value, conversion.state_dict[name]) for name, value in loaded.state_dict().items())
