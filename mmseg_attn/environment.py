"""Turns a missing or broken OpenMMLab stack into one message that names the command to fix it."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

INSTALL = 'pip install "onedl-mmengine>=0.10.12" "onedl-mmcv>=2.3.6" "onedl-mmsegmentation>=1.4.2"'

DISTRIBUTIONS = {
    'mmengine': ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
}


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
    """Imports mmengine, mmcv and mmseg with its models.

    Raises:
        ImportError: one of them is missing, is installed twice, or does not work with the others. The message
            says which, lists what is installed, and names the command that fixes it.
    """
    found = installed_distributions()
    for package in ('mmengine', 'mmcv', 'mmseg', 'mmseg.models'):
        try:
            import_module(package)
        except Exception as error:  # mmseg checks versions with `assert`, compiled parts raise OSError
            raise ImportError(_explain(package, error, found)) from error


def _explain(package: str, error: Exception, found: dict[str, list[str]]) -> str:
    top = package.split('.')[0]
    installed = ', '.join(name for names in found.values() for name in names) or 'none of the three'
    doubles = [names for names in found.values() if len(names) > 1]
    if not found[top]:
        reason = f'{top} is not installed'
        command = INSTALL
    elif doubles:
        both = ' and '.join(doubles[0])
        reason = f'{both} are both installed and overwrite each other'
        remove = ' '.join(name.split('==')[0] for names in found.values() for name in names)
        command = f'pip uninstall -y {remove} && {INSTALL}'
    elif 'mmcv._ext' in str(error):
        reason = f'{found["mmseg"][0]} needs an mmcv with compiled ops, and {found["mmcv"][0]} has none'
        command = f'pip uninstall -y mmengine mmcv mmcv-lite mmsegmentation && {INSTALL}'
    else:
        reason = f'`import {package}` fails with {type(error).__name__}: {error}'
        command = INSTALL
    return (f'mmseg_attn needs mmengine, mmcv and mmsegmentation: {reason}.\n'
            f'  installed: {installed}\n'
            f'  fix it with: {command}')
