"""Blocks behind chosen residual blocks."""

import copy

import pytest
import torch
from mmengine.registry import init_default_scope

from mmseg_attn.registry import MODELS
from tests.helpers import randomize
from tests.models.backbones.small import IDENTITY, NAMES, build, cfg, check_training_step, image, outputs

# Where the papers of Non-local and A2 have their five blocks.
FIVE = ((), (1, 3), (1, 3, 5), ())


def after(name, blocks=FIVE, **options):
    return [dict(cfg=cfg(name, **options), blocks=blocks)]


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_takes_a_training_step(name):
    check_training_step(build(after_blocks=after(name)))


@pytest.mark.parametrize(('type', 'depth', 'blocks'), [
    ('ResNet', 18, ((), (0,), (-1,), ())), ('ResNetV1c', 34, ((), (), (4, -1), ())), ('ResNetV1d', 50, FIVE)])
def test_equals_the_plain_backbone_until_it_is_trained(type, depth, blocks):
    backbone = build(f'mmseg_attn.{type}', depth, after_blocks=after('NonLocal', blocks))
    plain = randomize(build(type, depth), std=0.2)
    report = backbone.load_state_dict(plain.state_dict(), strict=False)
    assert not report.unexpected_keys
    assert all('.non_local.' in key for key in report.missing_keys)
    x = image(1)
    for out, expected in zip(outputs(backbone, x), outputs(plain, x), strict=True):
        assert torch.equal(out, expected)


def test_acts_behind_the_last_relu_of_the_blocks_that_are_named():
    backbone, x = randomize(build(after_blocks=after('NonLocal', ((), (), (1,), (-2,)))), std=0.2), image(1)
    for out, expected in zip(outputs(backbone, x), stages(backbone, x), strict=True):
        assert torch.equal(out, expected)
    names = [name for name, _ in backbone.named_modules() if name.endswith('.non_local')]
    assert names == ['layer3.1.non_local', 'layer4.1.non_local']


def stages(backbone, x):
    """The forward by hand."""
    x = backbone.maxpool(backbone.stem(x))
    for stage in range(4):
        for block in getattr(backbone, f'layer{stage + 1}'):
            x = type(block).forward(block, x)
            if hasattr(block, 'non_local'):
                assert x.min() == 0
                x = block.non_local(x)
        yield x


def test_several_blocks_act_in_their_order():
    entries = after('NonLocal', ((), (), (5,), ())) + after('SE', ((), (), (5,), ()))
    backbone, reverse = (randomize(build(after_blocks=order)) for order in (entries, entries[::-1]))
    assert [name for name, _ in backbone.layer3[5].named_children()][-2:] == ['non_local', 'se']
    reverse.load_state_dict(backbone.state_dict())
    block, x = backbone.layer3[5].eval(), torch.randn(1, 128, 9, 13)
    inner = type(block).forward(block, x)
    torch.testing.assert_close(block(x), block.se(block.non_local(inner)))
    torch.testing.assert_close(reverse.layer3[5].eval()(x), block.non_local(block.se(inner)))


def test_starts_as_the_identity_without_a_checkpoint():
    for name, options in IDENTITY.items():
        backbone = build(depth=18, after_blocks=after(name, ((), (), (1,), ()), **options))
        backbone.init_weights()
        plain = build('ResNetV1c', 18)
        plain.load_state_dict(backbone.state_dict(), strict=False)
        x = image(1)
        assert torch.equal(outputs(backbone, x)[2], outputs(plain, x)[2]), name


def test_a_copy_applies_its_own_blocks():
    backbone = randomize(build(after_blocks=after('NonLocal')))
    other = copy.deepcopy(backbone)
    x = image(1)
    before = outputs(backbone, x)[3]
    assert torch.equal(outputs(other, x)[3], before)
    randomize(other)
    assert torch.equal(backbone(x)[3], before)


@pytest.mark.slow
def test_compiles():
    backbone = randomize(build(depth=18, after_blocks=after('NonLocal', ((), (), (1,), ()))), std=0.2)
    x = image(1)
    expected = outputs(backbone, x)
    for out, other in zip(torch.compile(backbone, backend='eager')(x), expected, strict=True):
        torch.testing.assert_close(out, other)


# mmseg leaves to PyTorch how it recomputes.
@pytest.mark.filterwarnings('ignore:.*use_reentrant')
def test_recomputes():
    backbone = randomize(build(depth=50, with_cp=True, after_blocks=after('NonLocal', ((), (), (5,), ()))), std=0.2)
    x = image(1)
    expected = outputs(backbone, x)
    for out, other in zip(backbone(x.requires_grad_()), expected, strict=True):
        torch.testing.assert_close(out, other)


def test_mmsegs_own_plugins_go_on_working_beside():
    backbone = build(after_blocks=after('NonLocal'), plugins=[
        dict(cfg=dict(type='ContextBlock', ratio=1 / 4), stages=(False, True, True, True), position='after_conv3')])
    assert hasattr(backbone.layer3[5], 'context_block')
    assert hasattr(backbone.layer3[5], 'non_local')
    check_training_step(backbone)


SE_AND_CBAM = [dict(cfg=cfg(name), stages=(False, True, True, False), position='after_conv3')
               for name in ('SE', 'CBAM')]


@pytest.mark.parametrize(('options', 'message'), [
    (dict(after_blocks=5), r'after_blocks must be a list of dict\(cfg=dict\(type=...\), blocks=\(...\)\), got 5'),
    (dict(after_blocks=after('NonLocal')[0]), 'after_blocks must be a list of dict'),
    (dict(after_blocks=[dict(cfg=cfg('NonLocal'))]), r'after_blocks\[0\] must be dict\(cfg=dict\(type=...\), blocks'),
    (dict(after_blocks=[dict(cfg='mmseg_attn.NonLocal', blocks=FIVE)]), r'after_blocks\[0\].cfg must be dict\(type'),
    (dict(after_blocks=[dict(cfg={}, blocks=FIVE)]), r'after_blocks\[0\].cfg must be .* the config of a block, got {}'),
    (dict(after_blocks=after('NonLocal', None)), r'after_blocks\[0\].blocks must be a list, got None'),
    (dict(after_blocks=after('NonLocal', ((), (1,)))), 'a tuple of integers for each of the 4 stages'),
    (dict(after_blocks=after('NonLocal', ((), (), (), ()))), 'names no residual block, so that the block would stand'),
    (dict(after_blocks=after('NonLocal', (1, 1, 1, 1))), r'a tuple of integers .*, got \(1, 1, 1, 1\)'),
    (dict(after_blocks=after('NonLocal', ((), ('1',), (), ()))), 'a tuple of integers for each'),
    (dict(after_blocks=after('NonLocal', ((), (), (6,), ()))), 'names block 6 of stage 2, which has 6 blocks'),
    (dict(after_blocks=after('NonLocal', ((2,), (), (), ())), frozen_stages=1), 'frozen_stages=1 keeps'),
    (dict(after_blocks=2 * after('NonLocal')), r'layer2.1 has non_local already: give .* a postfix'),
    (dict(plugins=SE_AND_CBAM), 'two plugins at after_conv3 of stage 1, mmseg_attn.SE and mmseg_attn.CBAM: mmseg'),
    (dict(plugins=[{**plugin, 'stages': None} for plugin in SE_AND_CBAM]), 'two plugins at after_conv3 of one stage'),
    (dict(plugins=SE_AND_CBAM[0]), 'plugins: must be a list of dict'),
    (dict(plugins=[dict(cfg=cfg('SE'))]), 'plugins: position must be one of after_conv1, .*, got None'),
    (dict(plugins=[dict(SE_AND_CBAM[0], stages=(1, 2))]), r'plugins: stages must have a bool .* got \(1, 2\)'),
    (dict(plugins=SE_AND_CBAM[:1], depth=18), 'plugins: the residual blocks of depth=18 take no plugins in mmseg'),
    (dict(after_blocks=after('NonLocal', in_channels=64)), r'after_blocks\[0\].cfg: leave in_channels out'),
    (dict(dcn=cfg('LocalRelation'), stage_with_dcn=(False,)), r'stage_with_dcn must have a bool .* got \(False,\)'),
    (dict(dcn=cfg('LocalRelation'), depth=34), 'dcn: the residual blocks of depth=34 take no dcn in mmseg'),
])
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_plugins_at_different_positions_or_stages_are_no_conflict():
    one, other = ([dict(SE_AND_CBAM[0], stages=(True, False, False, False))], [dict(SE_AND_CBAM[1])])
    build(plugins=one + other)
    build(plugins=[SE_AND_CBAM[0], dict(SE_AND_CBAM[1], position='after_conv2')])


def test_two_of_one_type_behind_one_block():
    second = dict(cfg=cfg('NonLocal', postfix=2), blocks=FIVE)
    check_training_step(build(after_blocks=[*after('NonLocal'), second]))


SWIN = dict(type='SwinTransformer', embed_dims=8, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2), window_size=3)
OTHERS = {
    'swin': (SWIN, 32, 'stages.2.blocks.1'),
    'mit': (dict(type='MixVisionTransformer', embed_dims=8, num_layers=[1, 1, 2, 1]), 32, 'layers.2.1.1'),
    'mobilenet': (dict(type='MobileNetV2', widen_factor=0.25), 24, 'layer5.2'),
    'hrnet': (dict(type='HRNet', norm_cfg=dict(type='BN'), extra=dict(
        stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(1,), num_channels=(8,)),
        stage2=dict(num_modules=1, num_branches=2, block='BASIC', num_blocks=(1, 1), num_channels=(8, 16)),
        stage3=dict(num_modules=1, num_branches=3, block='BASIC', num_blocks=(1, 1, 1), num_channels=(8, 16, 32)),
        stage4=dict(num_modules=1, num_branches=4, block='BASIC', num_blocks=(1, 1, 1, 1),
                    num_channels=(8, 16, 32, 64)))), 32, 'stage3.0.branches.2.0'),
}


def with_blocks(backbone, channels, module, name='NonLocal', **options):
    init_default_scope('mmseg')
    return MODELS.build(dict(type='mmseg_attn.BackboneWithBlocks', backbone=backbone, after_modules=[
        dict(cfg=cfg(name, in_channels=channels, **options), modules=[module])]))


@pytest.mark.parametrize('kind', OTHERS)
def test_any_backbone(kind):
    backbone, _, module = OTHERS[kind]
    plain = MODELS.build(backbone)
    extended = with_blocks(*OTHERS[kind])
    assert type(extended) is type(plain)
    assert not extended.load_state_dict(plain.state_dict(), strict=False).unexpected_keys
    x = image()
    for out, expected in zip(outputs(extended, x), outputs(plain, x), strict=True):
        torch.testing.assert_close(out, expected)
    block = extended.get_submodule(f'{module}.non_local')
    randomize(block)
    assert not torch.equal(extended(x)[-1], plain(x)[-1])
    extended.train()
    sum(out.square().mean() for out in extended(x)).backward()
    assert all(parameter.grad.isfinite().all() for parameter in block.parameters())


def test_a_sequence_of_tokens_is_the_map_that_it_stands_for():
    extended = randomize(with_blocks(*OTHERS['swin']), std=0.1)
    seen = []
    block = extended.stages[2].blocks[1]
    block.non_local.register_forward_hook(lambda module, inputs, output: seen.extend([inputs[0], output]))
    block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    outputs(extended, image(1))
    maps, output, tokens = seen
    assert maps.shape == (1, 32, 5, 7)
    assert torch.equal(tokens, output.flatten(2).transpose(1, 2))
    assert torch.equal(tokens.transpose(1, 2).unflatten(2, (5, 7)), output)


@pytest.mark.parametrize(('entry', 'message'), [
    (dict(cfg=cfg('NonLocal'), modules=['stages.2']), 'cfg needs in_channels'),
    (dict(cfg=cfg('NonLocal', in_channels=32), modules=['stages.9']), "names 'stages.9', which is no module of Swin"),
    (dict(cfg=cfg('NonLocal', in_channels=32), modules=['']), "names '', which"),
    (dict(cfg=cfg('NonLocal', in_channels='32'), modules=['stages.2']), "must be a positive integer, got '32'"),
    (dict(cfg=cfg('NonLocal', in_channels=32), modules='stages.2'), r"\[0\].modules must be a list, got 'st"),
    (dict(cfg=cfg('NonLocal', in_channels=32), modules=[]), 'modules is empty, so that the block would stand nowhere'),
    (dict(cfg=cfg('NonLocal', in_channels=32), modules=['stages']),
     r'stages is a ModuleList, which is never called itself: name one of its parts, such as stages\.3'),
    (dict(cfg=cfg('NonLocal', in_channels=32), modules=[3]), 'names 3, which is no module of Swin'),
    (dict(cfg=cfg('NonLocal', in_channels=32)), r'must be dict\(cfg=dict\(type=...\), modules=\(...\)\)')])
def test_bad_entries(entry, message):
    init_default_scope('mmseg')
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='mmseg_attn.BackboneWithBlocks', backbone=SWIN, after_modules=[entry]))


@pytest.mark.parametrize(('backbone', 'module', 'channels'), [
    (dict(type='MobileNetV2', widen_factor=0.25), 'layer2', 8),
    (dict(type='ResNetV1c', depth=18, base_channels=8, stem_channels=8), 'layer1', 8),
    (dict(type='MobileNetV2', widen_factor=0.25), 'layer2.1', 8),
    (dict(type='MobileNetV2', widen_factor=0.25), 'conv1', 8)])
def test_a_block_is_applied_once(backbone, module, channels):
    """Also behind a Sequential, which calls all that it holds."""
    plain = outputs(MODELS.build(backbone), image(1))
    extended = with_blocks(backbone, channels, module, 'SE')
    calls = []
    block = extended.get_submodule(f'{module}.se')
    block.register_forward_hook(lambda module, inputs, output: calls.append((inputs[0], output)))
    seen = []
    extended.get_submodule(module).register_forward_hook(lambda module, inputs, output: seen.append(output))
    found = outputs(extended, image(1))
    (_, output), = calls
    assert torch.equal(seen[0], output)
    assert not torch.equal(found[-1], plain[-1])
    with pytest.raises(ValueError, match=f'in_channels=7, and the output of {module} has 8 channels'):
        with_blocks(backbone, 7, module, 'BAM', norm_layer=None)(image(1))


def test_a_module_without_a_map_says_so():
    backbone = with_blocks(SWIN, 32, 'stages.2')
    with pytest.raises(ValueError, match=r'non_local cannot stand behind stages\.2, whose output is no map'):
        backbone(image(1))


@pytest.mark.parametrize('kind', ['swin', 'mobilenet'])
def test_other_channels_than_those_of_the_output(kind):
    backbone, channels, module = OTHERS[kind]
    with pytest.raises(ValueError, match=rf'in_channels=16, and the output of {module} has {channels} channels'):
        with_blocks(backbone, 16, module)(image(1))
