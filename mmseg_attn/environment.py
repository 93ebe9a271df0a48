"""Turns a missing or broken OpenMMLab stack into one message that names the command to fix it."""

import logging
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import ModuleType

INSTALL = 'pip install "onedl-mmengine>=0.10.12" "onedl-mmcv>=2.3.6" "onedl-mmsegmentation>=1.4.2"'
# Without its cache, in which pip keeps what it has built before without operators.
INSTALL_OPERATORS = ('pip uninstall -y mmcv mmcv-lite && pip install "setuptools<81" wheel ninja psutil && '
                     'MMCV_WITH_OPS=1 pip install --no-cache-dir --no-build-isolation mmcv==2.1.0')
OPERATORS = 'mmcv._ext'

DISTRIBUTIONS = {
    'mmengine': ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
}


class MissingOperators(ModuleType):
    """In the place of ``mmcv._ext``: it has every operator, and each says when it is called that it is missing."""

    def __init__(self, mmcv: str):
        super().__init__(OPERATORS)
        self.__spec__ = ModuleSpec(OPERATORS, loader=None)
        self._mmcv = mmcv

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('__'):
            # Python asks every module for such names, __file__ and __path__ among them.
            raise AttributeError(name)

        def missing(*args, **kwargs):
            raise ImportError(f'{name} is a compiled operator, and {self._mmcv} has none.\n'
                              f'  an mmcv with operators: {INSTALL_OPERATORS}')
        return missing


def installed_distributions() -> dict[str, list[str]]:
    """The distributions that provide mmengine, mmcv and mmseg here, each as ``name==version``."""
    found: dict[str, list[str]] = {}
    for package, names in DISTRIBUTIONS.items():
        found[package] = []
        for name in names:
            try:
                found[package].append(f'{name}=={version(name)}')
            except PackageNotFoundError:
                continue
    return found


def require_openmmlab() -> None:
    """Imports mmengine, mmcv and mmseg with its models, which an mmcv without compiled operators does not stop.

    Raises:
        ImportError: one of them is missing, is installed twice, or does not work with the others. The message
            says which, lists what is installed, and names the command that fixes it.
    """
    found = installed_distributions()
    for package in ('mmengine', 'mmcv', 'mmseg', 'mmseg.models'):
        try:
            import_module(package)
            if package == 'mmcv':
                replace_missing_operators()
        except Exception as error:  # mmseg checks versions with `assert`, compiled parts raise OSError
            raise ImportError(_explain(package, error, found)) from error


def replace_missing_operators() -> None:
    """Puts :class:`MissingOperators` in the place of ``mmcv._ext`` where there is none, and says so once.

    The original mmsegmentation imports operators that it rarely calls, and nothing here calls one. It must not have
    been imported yet. Its continuation, onedl, does without and is left alone.
    """
    found = installed_distributions()
    continued = any(name.startswith('onedl-') for names in found.values() for name in names)
    if continued or OPERATORS in sys.modules or find_spec('mmcv') is None or find_spec(OPERATORS) is not None:
        return
    mmcv = ' and '.join(found['mmcv']) or 'mmcv'
    sys.modules[OPERATORS] = MissingOperators(mmcv)
    # With no handler set, logging prints just this line on stderr.
    logging.getLogger(__name__).warning(
        '%s has no compiled operators: mmseg_attn needs none, and what needs one will say so.', mmcv)


def has_operators() -> bool:
    """Whether the operators that ``mmcv.ops`` shows, where it can be imported, can be called."""
    return not isinstance(sys.modules.get(OPERATORS), MissingOperators)


def _explain(package: str, error: Exception, found: dict[str, list[str]]) -> str:
    top = package.split('.')[0]
    names = [name for names in found.values() for name in names]
    installed = ', '.join(names) or 'none of the three'
    doubles = [names for names in found.values() if len(names) > 1]
    if not found[top]:
        reason = f'{top} is not installed'
    elif doubles:
        reason = f'{" and ".join(doubles[0])} are both installed and overwrite each other'
    else:
        reason = f'`import {package}` fails with {type(error).__name__}: {error}'
    command = INSTALL
    if not all(name.startswith('onedl-') for name in names):
        # The two stacks have files of the same names, so that none of the other may stay.
        command = f'pip uninstall -y {" ".join(name.split("==")[0] for name in names)} && {INSTALL}'
    return (f'mmseg_attn needs mmengine, mmcv and mmsegmentation: {reason}.\n'
            f'  installed: {installed}\n'
            f'  fix it with: {command}')
