"""hszhao/semseg: PSANet."""

from typing import Any

from ..model import model_config
from ..plan import CheckpointSource, ConversionInput, Plan, psa_branches, square_side
from .backbone import FC, LAYERS, auxiliary

DATA_SETS = {19: 'cityscapes', 21: 'voc', 150: 'ade20k'}


def head_names(psa_type: str) -> dict[str, str]:
    names = {'psa.proj.0': 'attention.proj.conv', 'psa.proj.1': 'attention.proj.norm', 'cls.0': 'bottleneck.conv',
             'cls.1': 'bottleneck.bn', 'cls.4': 'conv_seg'}
    for suffix, direction in psa_branches(psa_type).items():
        ours = f'attention.{direction}'
        names |= {f'psa.reduce{suffix}.0': f'{ours}.reduce.conv', f'psa.reduce{suffix}.1': f'{ours}.reduce.norm',
                  f'psa.attention{suffix}.0': f'{ours}.attention.conv',
                  f'psa.attention{suffix}.1': f'{ours}.attention.norm', f'psa.attention{suffix}.3': f'{ours}.mask'}
    return names


def plan(given: ConversionInput) -> Plan:
    state, notes = given.state, []
    settings: dict[str, Any] = {}
    if 'psa.reduce_p.0.weight' in state:
        settings['decode_head.psa_type'] = 'bi-direction'
    else:
        settings['decode_head.psa_type'] = given.settings.get('decode_head.psa_type', 'collect')
        notes.append('Whether one branch collects or distributes is not in the weights: taken as '
                     f'{settings["decode_head.psa_type"]!r}, which decode_head.psa_type changes.')
    if 'decode_head.mask_size' not in given.settings:
        settings['decode_head.mask_size'] = square_side(state['psa.attention.3.weight'], 'psa.attention.3.weight')
    mid_channels = state['psa.reduce.0.weight'].shape[0]
    if mid_channels != state['cls.0.weight'].shape[0]:
        settings['decode_head.mid_channels'] = mid_channels
    names = ({f'layer0.{i}': f'backbone.stem.{i}' for i in (0, 1, 3, 4, 6, 7)}
             | {f'layer{i}': f'backbone.layer{i}' for i in LAYERS} | auxiliary('aux.0', 'aux.1', 'aux.4')
             | {k: f'decode_head.{v}' for k, v in head_names(settings['decode_head.psa_type']).items()})
    notes.append('compact, shrink_factor, psa_softmax and normalization_factor are not in the weights; the authors '
                 'release False, 2, True and 1.')
    depth = 'r101' if 'layer3.22.conv1.weight' in state else 'r50'
    data = DATA_SETS.get(state['cls.4.weight'].shape[0], 'voc')
    config = f'official/psanet_{depth}_{data}.py'
    mask_size = settings.get('decode_head.mask_size') or given.settings['decode_head.mask_size']
    if tuple(mask_size) != model_config(config)['decode_head']['mask_size'] or 'decode_head.compact' in given.settings:
        settings['decode_head.crop_size'] = None  # of another training
    return Plan(config, names, dropped={'fc': FC}, settings=settings, notes=tuple(notes))


SOURCES = (CheckpointSource(('official', 'semseg'), 'psanet', 'hszhao/semseg',
                            ('psa.proj.0.weight', 'psa.reduce.0.weight', 'cls.4.weight'), plan),)
