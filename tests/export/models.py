"""Small models with every head, and small files of them."""

import torch
from mmengine.config import Config
from mmseg.apis import init_model
from torch import nn

from mmseg_attn.common.config import input_channels
from mmseg_attn.common.config_checks import check_config
from mmseg_attn.export.check import random_pictures
from mmseg_attn.export.preparation import preparation_of
from tests.attention.blocks import HEADS_OF
from tests.helpers import randomize
from tests.tools.command import CONFIGS

# Large enough for two cells of 8 x 8 pixels at stride 8 and three quarters.
SIZE = (136, 152)
# Every method as its own test has it, unless it needs other options at this size, and what else exports differently.
HEADS = {stem: dict(variants[0], type=name) for stem, heads in HEADS_OF.items() for name, variants in heads.items()} | {
    'a2net-cat': dict(type='A2Head', fusion='cat', scale=2),
    # Three upsamplers of nine taps each; `non_local-carafe` has one of 25.
    'carafe': dict(type='CARAFEUPerHead', in_channels=[16, 32], in_index=[0, 1], strides=(4, 8), pool_scales=(1, 3),
                   carafe=dict(up_kernel=3)),
    'dgmn': dict(type='DGMNHead', rates=(3, ), groups=2),
    'dgmn-fast': dict(type='DGMNHead', rates=(2, ), groups=2, rigorous=False),
    'emanet': dict(type='EMAHead', ema_channels=16, num_bases=6),
    'glore': dict(type='GloReHead', num_nodes=6),
    'isanet': dict(type='ISAHead'),
    'isanet-masked': dict(type='ISAHead', down_factors=((4, 2), ), mask_padding=True),
    'non_local-dot_product': dict(type='NLHead', mode='dot_product'),
    'non_local-concatenation': dict(type='NLHead', mode='concatenation'),
    'non_local-sub_sample': dict(type='NLHead', sub_sample='after'),
    'non_local-carafe': dict(type='NLHead', upsample_features=dict(type='mmseg_attn.CARAFE', scale_factor=2)),
    # Every block of every grid is in the graph by itself: the paper's four grids take four minutes.
    'ocnet-pyramid': dict(type='OCHead', context='pyramid', context_cfg=dict(scales=(1, 2))),
    'ocnet-asp': dict(type='OCHead', context='asp', context_cfg=dict(dilations=(2, 4))),
    'psanet': dict(type='PSAHead', crop_size=SIZE),
    'psanet-small_mask': dict(type='PSAHead', mask_size=(5, 7), psa_type='collect', shrink_factor=1),
    'psanet-compact': dict(type='PSAHead', crop_size=SIZE, compact=True),
    'psanet-mmseg': dict(type='PSAHead', mask_size=(16, 18), mmseg_compatible=True),
}
# What the method is, and not the way it is computed, ties to one size.
FIXED = {'psanet-compact', 'psanet-mmseg'}


class TwoConvs(nn.Module):
    """Maps of 16 and 32 channels at strides 4 and 8, with the sizes of a ResNet's, and a fraction of its graph."""

    def __init__(self, channels: int):
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(channels, 16, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.coarse = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU())

    def forward(self, x):
        fine = self.fine(x)
        return fine, self.coarse(fine)


def config(name: str, **options) -> Config:
    """The config for the built-in data with a small model, and with other settings, as 'key__sub_key' -> value."""
    cfg = Config(dict(Config.fromfile(CONFIGS / '_base_' / 'shapes.py')))
    head = HEADS[name]
    cfg.model.backbone.update(base_channels=16, stem_channels=16, out_indices=(0, 1))
    cfg.model.decode_head.update(in_channels=32, in_index=1, channels=16)
    cfg.model.decode_head.update(head | dict(type=f'mmseg_attn.{head["type"]}'))
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    return cfg


def in_channels(channels: int) -> dict:
    """Options of a config for images of ``channels``."""
    return dict(model__backbone__in_channels=channels, model__data_preprocessor__type='mmseg_attn.SegDataPreProcessor',
                model__data_preprocessor__mean=[30.0 + i for i in range(channels)],
                model__data_preprocessor__std=[50.0 + i for i in range(channels)])


def model(name: str = 'glore', **options):
    """With random weights and :class:`TwoConvs`, as :func:`mmseg_attn.explain.load_model` gives it."""
    built = _built(config(name, **options))
    built.backbone = TwoConvs(input_channels(built.cfg.model)).eval()
    randomize(built, std=0.2).requires_grad_(False)
    _balance(built)
    built.dataset_meta = dict(
        classes=[f'class {i}' for i in range(5)], palette=[(40 * i, 250 - i, 9) for i in range(5)])
    return built


def _built(cfg: Config):
    check_config(cfg)
    return init_model(cfg, device='cpu')


def _balance(built):
    """Biases with which no class wins everywhere."""
    preparation = preparation_of(built.cfg)
    features = built.extract_feat(preparation(random_pictures((1, *SIZE), preparation.channels)))
    built.decode_head.conv_seg.bias -= built.decode_head(features).mean(dim=(0, 2, 3))


def save(folder, name: str = 'glore', **options) -> list[str]:
    """Writes a config with a small ResNet and a checkpoint of its model, and returns the paths of both."""
    cfg, path = config(name, **options), folder / f'{name}.py'
    cfg.dump(path)
    torch.save(dict(state_dict=randomize(_built(cfg)).state_dict()), folder / f'{name}.pth')
    return [str(path), str(path.with_suffix('.pth'))]
