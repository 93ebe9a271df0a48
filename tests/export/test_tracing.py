import pytest
import torch
from torch import nn

from mmseg_attn.export.network import Network
from mmseg_attn.export.tracing import foreign_operators, free_axes, nodes_of, trace
from mmseg_attn.ops.criss_cross import criss_cross
from tests.export.models import model


class _AnySize(nn.Module):
    def forward(self, image):
        return image.relu()


class _Square(nn.Module):
    def forward(self, image):
        return image + image.transpose(2, 3)


class _OneHeight(nn.Module):
    def forward(self, image):
        return image + torch.ones(64, 1)


class _Ours(nn.Module):
    def forward(self, image):
        return criss_cross(image, image, image)[0]


@pytest.mark.parametrize(('module', 'expected'), [(_AnySize(), ['batch', 'height', 'width']),
                                                  (_OneHeight(), ['batch', 'width']), (_Square(), ['batch'])])
def test_axes_that_are_free(module, expected):
    assert free_axes(trace(module, (64, 64), free_size=True)) == expected


def test_a_fixed_size():
    assert free_axes(trace(_AnySize(), (64, 96), free_size=False)) == ['batch']


def test_operators_of_ours_are_found():
    assert foreign_operators(trace(_Ours(), (8, 9), free_size=False)) == {'mmseg_attn.criss_cross.default'}


def test_a_graph_tells_no_paths():
    program = trace(Network(model()), (64, 64), free_size=True)
    assert not foreign_operators(program)
    assert not any('stack_trace' in node.meta for node in nodes_of(program))
