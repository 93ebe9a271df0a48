"""What is done about an mmcv without compiled operators, in an environment of stand-ins for OpenMMLab."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORIGINALS = {'mmengine': 'mmengine==0.10.7', 'mmcv': 'mmcv-lite==2.1.0', 'mmseg': 'mmsegmentation==1.2.2'}
CONTINUATION = {'mmengine': 'onedl-mmengine==0.10.12', 'mmcv': 'onedl-mmcv==2.3.6',
                'mmseg': 'onedl-mmsegmentation==1.4.2'}
# As in mmcv/utils/ext_loader.py, and as in the modules of mmcv/ops.
OPS = '''
from importlib import import_module
ext = import_module('mmcv._ext')
assert hasattr(ext, 'psamask_forward')
'''
SAID = 'mmcv-lite==2.1.0 has no compiled operators: mmseg_attn needs none, and what needs one will say so.'


@pytest.fixture
def run(tmp_path):
    """Code in a process that sees, beside Python's own modules, the given distributions and this repository."""
    def run(code, distributions=ORIGINALS, compiled=None, models='import mmcv.ops'):
        for package, distribution in distributions.items():
            (tmp_path / package).mkdir()
            (tmp_path / package / '__init__.py').touch()
            name, version = distribution.split('==')
            metadata = tmp_path / f'{name.replace("-", "_")}-{version}.dist-info' / 'METADATA'
            metadata.parent.mkdir()
            metadata.write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
        (tmp_path / 'mmcv' / 'ops.py').write_text(OPS)
        (tmp_path / 'mmseg' / 'models.py').write_text(models)
        if compiled is not None:
            (tmp_path / 'mmcv' / '_ext.py').write_text(compiled)
        paths = f'import sys; sys.path[:0] = {[str(tmp_path), str(ROOT)]}\n'
        # -S: without the site packages.
        return subprocess.run([sys.executable, '-S', '-c', paths + code], capture_output=True, text=True)

    return run


REQUIRE = '''
from mmseg_attn.environment import has_operators, require_openmmlab
require_openmmlab()
require_openmmlab()
print(has_operators())
'''


def test_mmseg_works_without_operators_and_one_line_says_so(run):
    result = run(REQUIRE)
    assert result.stdout == 'False\n'
    assert result.stderr.splitlines() == [SAID]


def test_an_operator_says_that_it_is_missing_and_what_brings_it(run):
    result = run(REQUIRE + 'import mmcv.ops as ops\nops.ext.psamask_forward(1, k=2)')
    error = result.stderr.split('ImportError: ')[1]
    assert error.startswith('psamask_forward is a compiled operator, and mmcv-lite==2.1.0 has none.\n')
    assert 'pip uninstall -y mmcv mmcv-lite && ' in error
    assert 'MMCV_WITH_OPS=1 pip install' in error


def test_compiled_operators_stay(run):
    result = run(REQUIRE + 'print(sys.modules["mmcv._ext"].psamask_forward)', compiled='psamask_forward = 3')
    assert (result.stdout, result.stderr) == ('True\n3\n', '')


def test_compiled_operators_that_do_not_load_are_told(run):
    result = run(REQUIRE, compiled='raise ImportError("_ext.so: undefined symbol: _ZN3c10")')
    assert 'mmseg_attn needs mmengine, mmcv and mmsegmentation: `import mmseg.models` fails with ImportError: ' \
           '_ext.so: undefined symbol' in result.stderr
    assert 'fix it with: pip uninstall -y mmengine mmcv-lite mmsegmentation && pip install "onedl-' in result.stderr


def test_the_continuation_is_left_alone(run):
    result = run(REQUIRE + 'print("mmcv._ext" in sys.modules)', CONTINUATION, models='')
    assert (result.stdout, result.stderr) == ('True\nFalse\n', '')
