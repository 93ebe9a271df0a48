"""What a source of checkpoints has to say about a file of its own."""

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mmseg_attn.common.errors import UserError

StateDict = dict[str, Tensor]


@dataclass(frozen=True)
class ConversionInput:
    """What a plan is made from: the weights, mmengine's meta, and the settings that the user gives."""

    state: StateDict
    meta: dict = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Plan:
    """How the weights of one file become those of one of our models.

    Args:
        config: the config whose model they are for but for ``settings``, relative to ``configs/``; None for weights
            that are not a whole model's.
        names: their prefix -> ours; the longest that fits a key is taken.
        dropped: their prefix -> why it is left out.
        settings: what the weights tell about the model beyond the sizes that all models have, as 'decode_head.psa_type'
            -> value.
        inplace_abn: whether norms are InPlaceABN, which multiplies by ``|weight| + 1e-5``.
        folded: convolutions, in our names, whose bias goes into the norm that follows, in our names.
        finish: the last change, on our names.
        notes: what the user should know that the weights do not tell.
        model: the whole model where the file itself describes it; ``config`` is then only the nearest one.
        source_config: the config in the file, if it can be used with our configs' tools.
    """

    config: str | None
    names: dict[str, str]
    dropped: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    inplace_abn: bool = False
    folded: dict[str, str] = field(default_factory=dict)
    finish: Callable[[StateDict], StateDict] = lambda state: state
    notes: tuple[str, ...] = ()
    model: dict | None = None
    source_config: dict | None = None


@dataclass(frozen=True)
class CheckpointSource:
    """A code base whose checkpoints of one method can be converted.

    Args:
        names: what selects it, the first being its name.
        method: the stem of the method.
        description: whose code.
        signature_keys: every file of it has these, and together no other source has them; ``*`` stands for anything.
        plan: makes the plan for one file.
    """

    names: tuple[str, ...]
    method: str
    description: str
    signature_keys: tuple[str, ...]
    plan: Callable[[ConversionInput], Plan]

    @property
    def title(self) -> str:
        return f'{self.method} of {self.description}'

    def is_meant(self, method: str | None, name: str | None) -> bool:
        """Whether the user asks for it; None asks for any."""
        return method in (None, self.method) and (name is None or name in self.names)

    def recognises(self, state: StateDict) -> bool:
        return all(fnmatch.filter(state, key) for key in self.signature_keys)


def count_keys(state: StateDict, template: str) -> int:
    """How many of the keys ``template.format(0)``, ``template.format(1)``, ... there are, without a gap."""
    number = 0
    while template.format(number) in state:
        number += 1
    return number


def psa_branches(psa_type: str) -> dict[str, str]:
    """What stands after the names of a branch of PSANet, in semseg and in mmseg -> its direction."""
    return {'': 'collect', '_p': 'distribute'} if psa_type == 'bi-direction' else {'': psa_type}


def square_side(mask: Tensor, key: str) -> tuple[int, int]:
    """Sides of PSANet's mask from the ``mask.shape[0]`` positions it has, if they are a square."""
    side = round(mask.shape[0]**0.5)
    if side**2 != mask.shape[0]:
        raise UserError(f'{key} has {mask.shape[0]} positions, which is no square: give the mask as '
                        '--cfg-options "model.decode_head.mask_size=(height,width)"')
    return side, side
