"""Configs as Python text: written without delay, and read without being run."""

import ast
import re
from typing import Any

from mmengine.config import Config


def text_of(cfg: Config) -> str:
    """What :meth:`Config.dump` writes, but not formatted, which takes yapf seconds for a long config."""
    return Config(cfg.to_dict(), format_python_code=False).pretty_text


def literals_of(text: str) -> dict[str, object]:
    """The variables that ``text``, a config as mmengine writes it, assigns literals and ``dict(...)`` to.

    mmengine itself would execute the text, which may come from anywhere. What is not a literal is left out; all of it
    where the text is no Python.
    """
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    values = {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                values[statement.targets[0].id] = _value(statement.value)
            except (ValueError, TypeError, RecursionError):
                continue
    return values


def _value(node: ast.expr) -> object:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        # mmengine writes dict({'.bias': ...}) where a key is no name.
        first: list[Any] = [_value(argument) for argument in node.args]
        return dict(*first, **{_name(keyword): _value(keyword.value) for keyword in node.keywords})
    if isinstance(node, ast.Dict):
        return {_key(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    return ast.literal_eval(node)


def _name(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        raise ValueError('** unpacks what need not be a literal')
    return keyword.arg


def _key(node: ast.expr | None) -> object:
    if node is None:
        raise ValueError('** unpacks what need not be a literal')
    # mmengine writes keys into a config as they are: quotes in one would begin code.
    key = _value(node)
    if isinstance(key, str) and not re.fullmatch(r'[\w. /:-]*', key):
        raise ValueError(f'a key with signs that no config has: {key!r}')
    return key
