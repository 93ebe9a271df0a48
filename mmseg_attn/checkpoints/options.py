"""Settings of a model as ``--cfg-options`` takes them."""


def as_options(overrides: dict[str, object]) -> str:
    """The overrides as they are typed in a shell."""
    return ' '.join(f'"{key}={_typed(value)}"' for name in sorted(overrides)
                    for key, value in _leaves(name, overrides[name], replace=True))


def _leaves(name: str, value: object, replace: bool = False) -> list[tuple[str, object]]:
    if not isinstance(value, dict):
        return [(name, value)]
    # Otherwise what the config says there would stay beside it.
    leaves = [(f'{name}._delete_', True)] if replace else []
    return leaves + [leaf for key, inner in value.items() for leaf in _leaves(f'{name}.{key}', inner)]


def _typed(value: object) -> str:
    if isinstance(value, list | tuple):
        left, right = '[]' if isinstance(value, list) else '()'
        return left + ','.join(_typed(v) for v in value) + right
    return str(value)
