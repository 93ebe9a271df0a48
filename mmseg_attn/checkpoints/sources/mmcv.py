"""mmcv and mmdet: CARAFE, whose parameters have the same names here, wherever in a network it stands."""

from ..plan import CheckpointSource, ConversionInput, Plan


def plan(given: ConversionInput) -> Plan:
    roots = {key.split('.')[0] for key in given.state}
    return Plan(None, {root: root for root in roots}, notes=(
        "mmcv's CARAFEPack (type='carafe') and mmseg_attn.CARAFE have the same parameters: only the type in the config "
        'changes. up_kernel and up_group are not in the weights, only their product.',))


SOURCES = (CheckpointSource(('mmcv', 'mmdet'), 'carafe', "mmcv's CARAFEPack",
                            ('*channel_compressor.weight', '*content_encoder.weight'), plan),)
