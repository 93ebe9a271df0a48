"""Converts a checkpoint of another code base into one of ours, and says under which config it is exact."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import mmseg_attn
from mmseg_attn.common.classes import readable_classes
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import atomic_write

from .model import check_fit, model_config, overrides_between, read_sizes, with_settings
from .plan import CheckpointSource, ConversionInput, Plan, StateDict
from .reading import Checkpoint, read_checkpoint
from .sources import SOURCES
from .writing import write_checkpoint

ABN_EPS = 1e-5
COUNTER = 'the number of batches, which only a norm without momentum uses'


@dataclass
class Conversion:
    """A converted checkpoint.

    Args:
        source: whose checkpoint it was.
        state_dict: the weights in our names.
        mapped: (their key, our key).
        dropped: (their key or part of the file, why).
        config: the nearest config, relative to ``configs/``; None where the weights are not a whole model's.
        overrides: what must be set in it to make the result exact, as 'model.decode_head.num_classes' -> value.
        model: the whole model under which the result is exact.
        notes: what the weights do not tell.
        source_config: the config that the file holds.
        dataset_meta: the names of the classes and their colours that the file holds, which inference draws with.
    """

    source: CheckpointSource
    state_dict: StateDict
    mapped: list[tuple[str, str]]
    dropped: list[tuple[str, str]]
    config: str | None
    overrides: dict[str, object]
    model: dict | None
    notes: list[str]
    source_config: dict | None
    dataset_meta: dict | None

    def check(self, model: dict, name: str) -> dict[str, object]:
        """Whether the weights fit another model, and what must be set in it to make the result exact.

        Where it has no auxiliary head, that of the weights, which only training uses, is left out from here on.

        Raises:
            UserError: they do not; the message names the keys.
        """
        if not model.get('auxiliary_head'):
            auxiliary = [key for key in self.state_dict if key.startswith('auxiliary_head.')]
            self.dropped += [(key, f'used in training only, and {name} has no auxiliary head') for key in auxiliary]
            self.state_dict = {key: value for key, value in self.state_dict.items() if key not in auxiliary}
        try:
            check_fit(model, self.state_dict, name)
        except UserError as error:
            if self.config is None:
                raise
            with_these = f' with {", ".join(f"{k}={v!r}" for k, v in self.overrides.items())}' if self.overrides else ''
            raise UserError(f'{error}\n  They fit configs/{self.config}{with_these}.') from error
        if not self.model:
            return {}
        return overrides_between(model, dict(self.model, auxiliary_head=model.get('auxiliary_head')))

    def save(self, path: str | Path, dataset_meta: dict | None = None) -> None:
        """Writes ``dict(state_dict=..., meta=...)``, or a file of that suffix in the format of safetensors."""
        meta = dict(source=self.source.names[0], description=self.source.description, method=self.source.method,
                    config=self.config, overrides={k: repr(v) for k, v in self.overrides.items()},
                    mmseg_attn_version=mmseg_attn.__version__)
        if dataset_meta or self.dataset_meta:
            meta['dataset_meta'] = dataset_meta or self.dataset_meta
        with atomic_write(path) as partial:
            write_checkpoint(self.state_dict, meta, partial)


def convert_checkpoint(checkpoint: str | Path | Checkpoint, method: str | None = None, source: str | None = None, *,
                       settings: dict[str, object] | None = None, inplace_abn: bool | None = None,
                       allow_pickle: bool = False) -> Conversion:
    """Converts the weights of an official code base, mmsegmentation or mmcv.

    Args:
        checkpoint: the file, or what :func:`read_checkpoint` made of it.
        method: stem of the method, such as 'emanet'; recognised from the keys when not given.
        source: 'official', 'openseg', 'mmseg', ...; recognised from the keys when not given.
        settings: of the model, where the weights do not tell them: {'decode_head.recurrence': 3}.
        inplace_abn: whether the norms are InPlaceABN, which multiplies by ``|weight| + 1e-5``; as the authors' when not
            given.
        allow_pickle: also read a file that runs code when it is read.

    Raises:
        UserError: the file cannot be read; nothing here recognises it, or not what is asked for; keys that are
            unknown, missing or of another shape than the model's.
    """
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = read_checkpoint(checkpoint, allow_pickle)
    found = _find_source(checkpoint, method, source)
    settings = {key.removeprefix('model.'): value for key, value in (settings or {}).items()}
    what = f'{checkpoint.path}, read as {found.description}'
    try:
        plan = found.plan(ConversionInput(checkpoint.state_dict, checkpoint.meta, settings))
        state = checkpoint.state_dict
        if plan.inplace_abn if inplace_abn is None else inplace_abn:
            state = _without_inplace_abn(state)
        state, mapped, dropped = _rename(state, plan, checkpoint)
        state = plan.finish(_fold_biases(state, plan.folded))
        sizes = {} if plan.config is None or plan.model else read_sizes(state)
    except (IndexError, KeyError, AttributeError, RuntimeError) as error:
        raise UserError(f'{what}: weights are missing or have another number of dimensions ({error})') from error
    dropped += [(name, 'not weights') for name in checkpoint.other_entries]
    config, overrides, model = plan.config, {}, plan.model
    if config is not None:
        base = model_config(config)
        model = with_settings(model or base, sizes | settings | plan.settings)
        check_fit(model, state, what)
        overrides = overrides_between(base, model)
    # A copy of its own for each: a view would be saved with all of what it is a view of.
    state = {key: value.clone(memory_format=torch.contiguous_format) for key, value in state.items()}
    return Conversion(found, state, mapped, dropped, config, overrides, model, list(plan.notes), plan.source_config,
                      _dataset_meta(checkpoint.meta))


def _find_source(checkpoint: Checkpoint, method: str | None, source: str | None) -> CheckpointSource:
    method, source = (name and name.lower() for name in (method, source))
    wanted = [s for s in SOURCES if s.is_meant(method, source)]
    if not wanted:
        known = sorted({(s.method, name) for s in SOURCES for name in s.names})
        raise UserError(f'there is no conversion for method {method!r} from source {source!r}; there are '
                        + ', '.join(f'{m} from {n}' for m, n in known))
    found = _first_that_recognises(wanted, checkpoint)
    if found is None:
        asked = ' or '.join(sorted({s.title for s in wanted})) if method or source else 'any source known here'
        raise UserError(f'{checkpoint.path} is not a checkpoint of {asked}: {_what_it_looks_like(checkpoint)}')
    return found


def _first_that_recognises(sources: Sequence[CheckpointSource], checkpoint: Checkpoint) -> CheckpointSource | None:
    return next((s for s in sources if s.recognises(checkpoint.state_dict)), None)


def _what_it_looks_like(checkpoint: Checkpoint) -> str:
    other = _first_that_recognises(SOURCES, checkpoint)
    if other is not None:
        return f'it looks like {other.title}'
    keys = list(checkpoint.state_dict)
    return f'its {len(keys)} keys are {", ".join(keys[:4])} ... {keys[-1]}'


def _rename(state: StateDict, plan: Plan, checkpoint: Checkpoint) -> tuple[StateDict, list, list]:
    renamed, mapped, dropped, unknown = {}, [], [], []
    for key, value in state.items():
        prefixes = [p for p in (*plan.names, *plan.dropped) if key == p or key.startswith(f'{p}.')]
        if not prefixes:
            unknown.append(key)
            continue
        prefix = max(prefixes, key=len)
        if prefix in plan.dropped:
            dropped.append((key, plan.dropped[prefix]))
        elif key.endswith('.num_batches_tracked'):
            dropped.append((key, COUNTER))
        else:
            ours = plan.names[prefix] + key[len(prefix):]
            mapped.append((key, ours))
            renamed[ours] = value
    if unknown:
        raise UserError(f'{checkpoint.path} has {len(unknown)} keys that are not known: {", ".join(unknown[:5])}'
                        f'{" ..." if len(unknown) > 5 else ""}; is it a modified network?')
    return renamed, mapped, dropped


def _dataset_meta(meta: dict) -> dict | None:
    theirs = readable_classes(meta.get('dataset_meta'))
    return dict(classes=tuple(theirs['classes']), palette=theirs['palette'] or None) if theirs['classes'] else None


def _without_inplace_abn(state: StateDict) -> StateDict:
    return {key: value.abs() + ABN_EPS if key.endswith('.weight') and value.ndim == 1 else value
            for key, value in state.items()}


def _fold_biases(state: StateDict, folded: dict[str, str]) -> StateDict:
    """Convolution + bias before a norm is the convolution before a norm of a mean that much smaller."""
    state = dict(state)
    for conv, norm in folded.items():
        bias = state.pop(f'{conv}.bias', None)
        if bias is not None:
            state[f'{norm}.running_mean'] = state[f'{norm}.running_mean'] - bias
    return state
