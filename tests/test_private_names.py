"""PyTorch's private names, which a release may take away: without them everything loads and computes the same.

Tried with PyTorch 2.13.0.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch.utils.flop_counter

PACKAGE = Path(__file__).parents[1] / 'mmseg_attn'
# The expression that finds a private name, and what its absence costs.
NAMES = {
    'torch.autograd.forward_ad._current_level': 'forward-mode derivatives of the operators are zero, not refused',
    'torch._C._current_graph_task_id': "EMANet's bases are updated twice under activation checkpointing",
    'torch._subclasses': 'operations are counted by computing',
    'torch.ops.aten._scaled_dot_product_flash_attention_for_cpu': 'the fused attention is not counted on the CPU',
    'torch.ops.aten._embedding_bag_dense_backward': 'the gradients of DGMN are summed corner by corner',
    'torch.ops.aten._embedding_bag_per_sample_weights_backward': 'the gradients of DGMN are summed corner by corner',
    'ExportedProgram._example_inputs': 'an exported file holds the images it was traced with',
}
WITHOUT = '''
import sys
import torch
from torch.autograd import forward_ad

absent = {'_embedding_bag_dense_backward', '_embedding_bag_per_sample_weights_backward',
          '_scaled_dot_product_flash_attention_for_cpu'}
fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
find = type(torch.ops.aten).__getattr__


def find_others(namespace, name):
    if name in absent:
        raise AttributeError(name)
    return find(namespace, name)


type(torch.ops.aten).__getattr__ = find_others
for name in absent:
    vars(torch.ops.aten).pop(name, None)
    assert not hasattr(torch.ops.aten, name)


class WithoutLevel(type(forward_ad)):
    def __getattribute__(self, name):
        if name == '_current_level':
            raise AttributeError(name)
        return super().__getattribute__(name)


forward_ad.__class__ = WithoutLevel
assert not hasattr(forward_ad, '_current_level')
del torch._C._current_graph_task_id
'''
CHECKS = {
    'operators': '''
from mmseg_attn.ops import message_passing
assert message_passing.TABLE_BACKWARD is message_passing.WEIGHTS_BACKWARD is None
from tests.ops.test_operators import CASES
for make in CASES.values():
    torch.manual_seed(0)
    case = make()
    assert torch.autograd.gradcheck(case, case.tensors, fast_mode=True)
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        case(*case.tensors)
    assert counter.get_total_flops() == case.flops
''',
    'emanet': '''
from mmseg_attn.attention import ExpectationMaximizationAttention
torch.manual_seed(0)
block = ExpectationMaximizationAttention(8, num_bases=4)
x = torch.randn(2, 8, 5, 6, requires_grad=True)
before = block.bases.clone()
block(x).sum().backward()
assert x.grad.isfinite().all() and not block.bases.equal(before)
''',
    'memory': '''
from mmseg_attn.benchmark.memory import peak_memory
a = torch.randn(2**16)
assert peak_memory(lambda: a + a, torch.device('cpu')) == 4 * 2**16
''',
    'flops': '''
import torch._dynamo
hidden = sys.modules['torch._subclasses.fake_tensor']
sys.modules['torch._subclasses.fake_tensor'] = None
from mmseg_attn.benchmark.flops import FakeTensorMode, count_flops
sys.modules['torch._subclasses.fake_tensor'] = hidden
assert FakeTensorMode is None
assert count_flops(torch.nn.Linear(3, 5), [(2, 3)])[''] == 30
''',
}


@pytest.mark.slow
@pytest.mark.parametrize('check', CHECKS)
def test_computes_without_them(check):
    result = subprocess.run([sys.executable, '-c', WITHOUT + CHECKS[check]], capture_output=True, text=True,
                            cwd=PACKAGE.parent)
    assert result.returncode == 0, result.stderr


def _private_names(path: Path) -> set[str]:
    """Names of torch with an underscore: attributes, imports and strings that getattr asks for."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('torch'):
            found |= {f'{node.module}.{alias.name}' for alias in node.names}
        elif isinstance(node, ast.Attribute):
            found.add(ast.unparse(node))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == 'getattr':
            found.add(f'{ast.unparse(node.args[0])}.{getattr(node.args[1], "value", "")}')
    return {name for name in found if re.match(r'(torch|forward_ad|program)\b', name)
            and re.search(r'\._[a-zA-Z]', name)}


def test_there_are_no_others():
    found = {name: path.name for path in PACKAGE.rglob('*.py') for name in _private_names(path)}
    for known in NAMES:
        found = {name: path for name, path in found.items() if not re.search(rf'\b{known.rpartition(".")[2]}\b', name)}
    assert found.keys() <= {'torch._C'}


def test_flops_are_counted_by_what_is_public():
    public = set(torch.utils.flop_counter.__all__)
    for path in PACKAGE.rglob('*.py'):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module == 'torch.utils.flop_counter':
                assert {alias.name for alias in node.names} <= public, path
