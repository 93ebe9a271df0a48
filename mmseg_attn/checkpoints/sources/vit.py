"""Vision transformers of timm and of DINOv2, as the backbone that mmseg calls VisionTransformer."""

import re

from mmseg_attn.common.errors import UserError

from ..plan import CheckpointSource, ConversionInput, Plan, StateDict, count_keys

# mmseg's model has none; it has a place for the norm behind the last layer, by final_norm=True.
NO_PLACE = {'head': 'a classifier', 'head_dist': 'a classifier', 'fc_norm': 'the norm of a classifier',
            'pre_logits': 'a classifier',
            'mask_token': 'used in pretraining only'}
REGISTERS = ('register_tokens', 'reg_token')
LAYER = {'norm1': 'ln1', 'norm2': 'ln2', 'attn.qkv.weight': 'attn.attn.in_proj_weight',
         'attn.qkv.bias': 'attn.attn.in_proj_bias', 'attn.proj': 'attn.attn.out_proj', 'mlp.fc1': 'ffn.layers.0.0',
         'mlp.fc2': 'ffn.layers.1', 'ls1.gamma': 'attn.attn.out_proj.scale', 'ls2.gamma': 'ffn.layers.1.scale'}
HEAD_CHANNELS = 64


def plan(given: ConversionInput) -> Plan:
    state = given.state
    _check(state)
    depth = count_keys(state, 'blocks.{}.norm1.weight')
    names = {'cls_token': 'cls_token', 'pos_embed': 'pos_embed', 'patch_embed.proj': 'patch_embed.projection',
             'norm': 'ln1'}
    for i in range(depth):
        names |= {f'blocks.{i}.{theirs}': f'layers.{i}.{ours}' for theirs, ours in LAYER.items()}
    return Plan(None, names, dropped=NO_PLACE, finish=_with_scales_folded, notes=(_backbone(state, depth),))


def _check(state: StateDict) -> None:
    registers = [name for name in REGISTERS if name in state]
    if registers:
        raise UserError(f"the file has registers ({registers[0]}), for which mmseg's VisionTransformer has no place: "
                        "TIMMBackbone takes them, with model_name='vit_small_patch14_reg4_dinov2' or the like "
                        '(docs/backbones.md)')
    if any('.mlp.w12.' in key or '.mlp.fc1_g.' in key for key in state):
        raise UserError("the file has gated layers (SwiGLU), for which mmseg's VisionTransformer has no place: "
                        "TIMMBackbone takes them, with model_name='vit_giant_patch14_dinov2' (docs/backbones.md)")
    if any(re.match(r'blocks\.\d+\.\d+\.', key) for key in state):
        raise UserError('the layers are in chunks (blocks.0.0): save the model with block_chunks=0')
    positions = state['pos_embed'].shape[1] - 1
    if round(positions**0.5)**2 != positions:
        raise UserError(f'pos_embed has {positions} positions beside that of the class token, which is no square, and '
                        "mmseg's VisionTransformer takes no other")


def _with_scales_folded(state: StateDict) -> StateDict:
    """Output of a linear layer * scale is that of a layer whose weights are that much larger."""
    state = dict(state)
    for key in [key for key in state if key.endswith('.scale')]:
        scale, layer = state.pop(key), key.removesuffix('.scale')
        state[f'{layer}.weight'] = state[f'{layer}.weight'] * scale[:, None]
        state[f'{layer}.bias'] = state[f'{layer}.bias'] * scale
    return state


def _backbone(state: StateDict, depth: int) -> str:
    channels, _, patch, _ = state['patch_embed.proj.weight'].shape
    side = round((state['pos_embed'].shape[1] - 1)**0.5) * patch
    hidden = len(state['blocks.0.mlp.fc1.bias'])
    settings = dict(
        type='VisionTransformer', img_size=(side, side), patch_size=patch, patch_bias=True, embed_dims=channels,
        num_layers=depth, num_heads=channels // HEAD_CHANNELS, mlp_ratio=hidden // channels,
        out_indices=depth - 1, final_norm='norm.weight' in state, norm_cfg=dict(type='LN', eps=1e-6))
    text = ', '.join(f'{name}={value!r}' for name, value in settings.items())
    return (f"The backbone: dict({text}, init_cfg=dict(type='Pretrained', checkpoint=THE NEW FILE)). The number of "
            f'heads, which the weights do not tell, is that for {HEAD_CHANNELS} channels each.')


SOURCES = (CheckpointSource(('timm', 'dinov2'), 'vit', 'timm or facebookresearch/dinov2',
                            ('cls_token', 'pos_embed', 'patch_embed.proj.weight', 'blocks.0.attn.qkv.weight'), plan),)
