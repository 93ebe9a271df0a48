"""Small models, and a small picture for them."""

import numpy as np
import torch
from mmengine.config import Config
from mmseg.apis import init_model

from mmseg_attn.common.config_checks import check_config
from tests.helpers import randomize
from tests.tools.command import CONFIGS

SIZE = (44, 60)
SHARPNESS = 12.0
NON_LOCAL = dict(type='mmseg_attn.NLHead')
# A head of mmseg's that takes two maps of different size, and has no attention map.
TWO_STAGES = dict(_delete_=True, type='SegformerHead', in_channels=[16, 32], in_index=[0, 1], channels=16,
                  num_classes=5, norm_cfg=dict(type='BN'), align_corners=False)
# The options of a model at several scales.
MULTI_SCALE = dict(model__type='mmseg_attn.MultiScaleEncoderDecoder', model__test_scales=(0.5, 1.0, 2.0),
                   model__attention_channels=8)


def config(head=NON_LOCAL, **options) -> Config:
    """The config for the built-in data with another head, and with other settings, as 'key.sub_key' -> value."""
    cfg = Config(dict(Config.fromfile(CONFIGS / '_base_' / 'shapes.py')))
    cfg.model.backbone.update(base_channels=16, stem_channels=16)
    cfg.model.decode_head.in_channels = 32
    if head.get('_delete_'):
        cfg.model.decode_head = {name: value for name, value in head.items() if name != '_delete_'}
    else:
        cfg.model.decode_head.update(head)
    if 'test_pipeline' in options:
        cfg.test_dataloader.dataset.pipeline = options['test_pipeline']
    cfg.merge_from_dict({name.replace('__', '.'): value for name, value in options.items()})
    return cfg


def model(head=NON_LOCAL, **options):
    cfg = config(head, **options)
    check_config(cfg)
    built = init_model(cfg, device='cpu')
    randomize(built, std=0.1)
    if head is NON_LOCAL:
        # So large that the maps have peaks.
        for name in ('query', 'key'):
            built.decode_head.attention.get_submodule(name).weight.data.normal_(std=SHARPNESS)
    built.dataset_meta = dict(
        classes=[f'class {i}' for i in range(5)], palette=[(40 * i, 255 - 40 * i, 90) for i in range(5)])
    _balance(built)
    return built


@torch.no_grad()
def _balance(segmentor):
    """Biases with which no class wins everywhere in the picture."""
    image = torch.from_numpy(picture()).permute(2, 0, 1)
    inputs = segmentor.data_preprocessor(dict(inputs=[image]), False)['inputs']
    means = segmentor.decode_head(segmentor.extract_feat(inputs)).mean(dim=(0, 2, 3))
    segmentor.decode_head.conv_seg.bias -= means


def picture(height=SIZE[0], width=SIZE[1], seed=0):
    """BGR, with structure at several scales."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 200, (height // 8 + 1, width // 8 + 1, 3)).repeat(8, axis=0).repeat(8, axis=1)
    return (coarse[:height, :width] + generator.integers(0, 55, (height, width, 3))).astype(np.uint8)


def float64(model):
    """The model in float64, for derivatives."""
    model.double()
    forward = model.data_preprocessor.forward

    def in_float64(data, training=False):
        data = forward(data, training)
        return dict(data, inputs=data['inputs'].to(torch.float64))
    model.data_preprocessor.forward = in_float64
    return model
