"""What the tests of the methods declare for the batteries (variants.py), under '<stem>-<variant>'.

Every file of ``mmseg_attn/attention`` has a test that declares it: without one, the batteries do not load.
"""

from importlib import import_module
from pkgutil import iter_modules

import pytest

from mmseg_attn import attention

STEMS = sorted(module.name for module in iter_modules(attention.__path__) if module.name != 'layers')
TESTS = {stem: import_module(f'tests.attention.test_{stem}') for stem in STEMS}


def _collect(attribute, *default):
    return {f'{stem}-{variant}' if variant else stem: value for stem, test in TESTS.items()
            for variant, value in getattr(test, attribute, *default).items()}


BLOCKS = _collect('BLOCKS')
PROPERTIES = _collect('PROPERTIES')
EXPORT_MULTIPLE = _collect('EXPORT_MULTIPLE', {})
WITHOUT_MAP = _collect('WITHOUT_MAP', {}).keys()
HEADS_OF = {stem: test.HEADS for stem, test in TESTS.items()}
HEADS = {name: variants for heads in HEADS_OF.values() for name, variants in heads.items()}


def first_of_each_class(names):
    """Of the variants the first of every class of block."""
    found = {}
    for name in names:
        found.setdefault(type(BLOCKS[name]()), name)
    return list(found.values())


def variants_slow(names):
    """The first variant of each class in the quick run. test_properties.py tries the options of all in it too."""
    names = list(names)
    quick = first_of_each_class(names)
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in names]
