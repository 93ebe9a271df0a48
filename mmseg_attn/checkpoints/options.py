"""Settings of a model as ``--cfg-options`` takes them."""

import shlex


def as_options(overrides: dict[str, object], model: dict) -> str:
    """Overrides of ``model``, 'model.part.name' -> value, as they are typed in a shell."""
    options = [f'{key}={_typed(value)}' for name in sorted(overrides)
               for key, value in _leaves(name, overrides[name], replace=_has(model, name.split('.')[1:]))]
    return ' '.join(shlex.quote(option) for option in options)


def _leaves(name: str, value: object, replace: bool = False) -> list[tuple[str, object]]:
    if not isinstance(value, dict):
        return [(name, value)]
    # Otherwise what the config says there would stay beside it. mmengine knows the word only where something stands.
    leaves = [(f'{name}._delete_', True)] if replace else []
    return leaves + [leaf for key, inner in value.items() for leaf in _leaves(f'{name}.{key}', inner)]


def _has(model: dict, path: list[str]) -> bool:
    for name in path:
        if not isinstance(model, dict) or name not in model:
            return False
        model = model[name]
    return True


def _typed(value: object) -> str:
    if isinstance(value, list | tuple):
        left, right = '[]' if isinstance(value, list) else '()'
        return left + ','.join(_typed(v) for v in value) + right
    return str(value)
