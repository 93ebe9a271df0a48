import pytest

from mmseg_attn.export.onnx_file import _foreign_operators, _strip

helper = pytest.importorskip('onnx').helper


def _model(inner_domain: str):
    """A node, and one within a branch of it."""
    branch = helper.make_graph([helper.make_node('Inner', [], ['y'], domain=inner_domain)], 'branch', [], [])
    node = helper.make_node('If', ['x'], ['z'], then_branch=branch, else_branch=branch)
    return helper.make_model(helper.make_graph([node], 'graph', [], []))


def test_operators_of_others_are_found_within_branches():
    assert _foreign_operators(_model('mmseg_attn')) == {'mmseg_attn::Inner'}
    assert not _foreign_operators(_model(''))


def test_notes_for_developers_are_taken_out():
    model = _model('')
    nodes = [model.graph.node[0], model.graph.node[0].attribute[0].g.node[0]]
    for node in nodes:
        node.metadata_props.add(key='stack_trace', value='File "/home/me/head.py"')
    nodes[0].doc_string = 'File "/home/me/head.py"'
    _strip(model)
    assert b'/home/me' not in model.SerializeToString()
