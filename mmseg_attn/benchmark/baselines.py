"""mmseg's own head or block of a method, and ours with its options and its weights."""

from torch import Tensor, nn

from mmseg_attn.checkpoints.sources.mmseg import HEADS
from mmseg_attn.environment import has_operators

from .cases import Case, attention_of, build_head, randomize

# What mmseg's configs/_base_/models say beyond what all heads have, by the channels of the head.
MMSEG_ARGUMENTS = {
    'psanet': lambda c: dict(mask_size=(97, 97), psa_type='bi-direction', compact=False, shrink_factor=2,
                             normalization_factor=1.0, psa_softmax=True),
    'danet': lambda c: dict(pam_channels=max(c // 8, 1)),
    'ccnet': lambda c: dict(recurrence=2),
    'isanet': lambda c: dict(isa_channels=max(c // 2, 1), down_factor=(8, 8)),
    'apcnet': lambda c: dict(pool_scales=(1, 2, 3, 6)),
    'emanet': lambda c: dict(ema_channels=2 * c, num_bases=64, num_stages=3, momentum=0.1),
    'non_local': lambda c: dict(reduction=2, use_scale=True, mode='embedded_gaussian'),
}
COMMON_ARGUMENTS = ('in_channels', 'in_index', 'channels', 'num_classes', 'norm_cfg', 'align_corners', 'dropout_ratio')
MMCV_OPS = {'psanet': 'PSAMask', 'ccnet': 'CrissCrossAttention', 'carafe': 'CARAFEPack'}
# What is compiled of these. The third is PyTorch, but cannot be imported without a module of the others.
COMPILED_OPS = {'psanet', 'carafe'}
# What the two may differ by in float64, beyond rounding. The official EMANet and ours add 1e-6 to what they divide by,
# mmseg's does not, which came to 2e-7.
DOUBLE_TOLERANCES = {'emanet': 1e-5}
# mmseg's attention where it is a module that a head calls.
BLOCKS = {
    'danet': lambda head: [head.pam, head.cam],
    'ccnet': lambda head: [Repeated(head.cca, head.recurrence)],
    'apcnet': lambda head: list(head.acm_modules),
    'non_local': lambda head: [head.nl_block],
}


class Repeated(nn.Module):

    def __init__(self, block: nn.Module, times: int):
        super().__init__()
        self.block = block
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            x = self.block(x)
        return x


def why_no_baseline(method: str, level: str) -> str | None:
    """Why mmseg's counterpart cannot be measured here; None if it can."""
    known = method in HEADS if level == 'head' else method in BLOCKS or method == 'carafe'
    if not known:
        return ('mmseg computes it inside its head: --level head' if method in HEADS
                else f'mmseg has no {level} of this method')
    if method in COMPILED_OPS and not has_operators():
        return f"mmseg's needs {MMCV_OPS[method]} of an mmcv with compiled ops"
    if method in MMCV_OPS:
        try:
            import mmcv.ops
        except ImportError:
            return f"mmseg's needs {MMCV_OPS[method]} of an mmcv with compiled ops"
        if not hasattr(mmcv.ops, MMCV_OPS[method]):
            return f"mmseg's needs {MMCV_OPS[method]}, which this mmcv does not have"
    return None


def build_pair(method: str, config: dict, level: str = 'head') -> tuple[Case, Case]:
    """Ours with mmseg's options, and mmseg's, with the same weights.

    Args:
        method: one for which :func:`why_no_baseline` has no reason.
        config: of our head, whose widths, norm and classes are taken.
        level: 'head' or 'block'.
    """
    if method == 'carafe':
        return _carafe_pair(config)
    converter = HEADS[method]
    theirs_config = {k: config[k] for k in COMMON_ARGUMENTS} | MMSEG_ARGUMENTS[method](config['channels'])
    ours_config = converter.defaults | {converter.renamed.get(k, k): v for k, v in theirs_config.items()}
    theirs = randomize(build_head(theirs_config | dict(type=f'mmseg.{converter.type}')))
    ours = build_head(ours_config | converter.ours | dict(type=f'mmseg_attn.{converter.type}'))
    ours.load_state_dict(_renamed(method, theirs, ours_config))
    if level == 'head':
        return Case(ours), Case(theirs)
    attention = attention_of(ours)
    return attention, Case(theirs, BLOCKS[method](theirs), *attention.channels)


def _carafe_pair(config: dict) -> tuple[Case, Case]:
    from mmcv.ops import CARAFEPack
    ours = randomize(attention_of(build_head(config)))
    channels, = ours.channels
    theirs = CARAFEPack(channels, scale_factor=2)
    theirs.load_state_dict(ours.blocks[0].state_dict())
    return ours, Case(theirs, [theirs], channels)


def _renamed(method: str, theirs: nn.Module, settings: dict) -> dict[str, Tensor]:
    """The weights of mmseg's head under the names of ours."""
    converter = HEADS[method]
    state = {k: v.clone() for k, v in theirs.state_dict().items() if not k.endswith('num_batches_tracked')}
    names = converter.names(state, settings)
    renamed = {}
    for key, value in state.items():
        prefix = max((p for p in names if key == p or key.startswith(f'{p}.')), key=len)
        renamed[f'decode_head.{names[prefix]}{key[len(prefix):]}'] = value
    return {k.removeprefix('decode_head.'): v for k, v in converter.finish(renamed).items()}
