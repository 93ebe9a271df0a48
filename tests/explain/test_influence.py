"""Against derivatives computed without autograd, and against autograd's full Jacobian."""

import pytest
import torch

from mmseg_attn.explain import influence_maps, look
from mmseg_attn.explain.view import scores
from tests.explain.models import NON_LOCAL, TWO_STAGES, float64, model, picture
from tests.explain.test_view import PADDED, SLIDE

POINT = (41, 23)
FCN = dict(type='FCNHead', num_convs=1, concat_input=False)


def _score(view, window, features, point):
    """The score of the class predicted at a point of a picture that is not resized."""
    x, y = point
    label = int(view.labels[y, x])
    row, column = (round(position - axis.axis(axis.pixels).first) for position, axis in ((y, window.y), (x, window.x)))
    found = scores(view, window, features)
    return found[min(label, len(found) - 1), row, column]


@pytest.mark.parametrize('head', [FCN, NON_LOCAL, dict(type='mmseg_attn.CCHead')], ids=lambda head: head['type'])
def test_against_finite_differences(head):
    view = look(float64(model(head)), picture())
    window, values = view.windows[0], influence_maps(view, [POINT]).values[0]
    feature = window.features[0]
    step = 1e-5
    for row, column in [(2, 5), (3, 4), (0, 0)]:
        # The direction in which the features at this place change the score most, and the change along it.
        steepest = torch.zeros_like(feature)
        for channel in range(feature.shape[1]):
            ends = []
            for sign in (1, -1):
                moved = feature.clone()
                moved[0, channel, row, column] += sign * step
                ends.append(_score(view, window, [moved], POINT))
            steepest[0, channel, row, column] = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close(values[row, column], steepest.norm(), rtol=1e-5, atol=1e-8)
    assert values.max() > 0


@pytest.mark.parametrize('options', [{}, SLIDE, PADDED], ids=['whole', 'slide', 'padded'])
def test_against_the_jacobian(options):
    view = look(float64(model(**options)), picture())
    window = view.window_of(*POINT)
    jacobian = torch.autograd.functional.jacobian(
        lambda feature: _score(view, window, [feature], POINT), window.features[0])
    found = influence_maps(view, [POINT])
    torch.testing.assert_close(found.values[0], jacobian[0].norm(dim=0))
    assert found.places[0] == window.place(*found.values.shape[1:])


def test_two_stages_count_together_at_every_place():
    view = look(float64(model(TWO_STAGES, model__backbone__out_indices=(0, 1))), picture())
    window = view.windows[0]
    fine, coarse = window.features
    assert fine.shape[2:] == (11, 15)
    assert coarse.shape[2:] == (6, 8)
    jacobians = torch.autograd.functional.jacobian(
        lambda *features: _score(view, window, features, POINT), (fine, coarse))
    values = influence_maps(view, [POINT]).values[0]
    for row, column in [(0, 0), (5, 10), (10, 14), (6, 7)]:
        below = int((row + 0.5) * 6 / 11), int((column + 0.5) * 8 / 15)
        at_place = torch.cat([jacobians[0][0, :, row, column], jacobians[1][0, :, below[0], below[1]]])
        torch.testing.assert_close(values[row, column], at_place.norm())


def test_one_backward_pass_for_each_point(monkeypatch):
    view, grad, calls = look(model(FCN), picture()), torch.autograd.grad, []
    monkeypatch.setattr(torch.autograd, 'grad', lambda *args, **kwargs: calls.append(1) or grad(*args, **kwargs))
    influence_maps(view, [POINT, (3, 4)])
    assert len(calls) == 2


def test_an_unused_stage_does_not_count():
    view = look(model(model__backbone__out_indices=(0, 1), model__decode_head__in_index=1), picture())
    assert influence_maps(view, [POINT]).values.shape[1:] == (6, 8)


def test_a_binary_head_has_one_score():
    segmentor = model(NON_LOCAL | dict(num_classes=2, out_channels=1, threshold=0.5, loss_decode=dict(
        type='CrossEntropyLoss', use_sigmoid=True)))
    view = look(segmentor, picture())
    assert view.labels.unique().tolist() == [0, 1]
    points = [(int(x), int(y)) for y, x in ((view.labels == label).nonzero()[0] for label in (0, 1))]
    assert (influence_maps(view, points).values.amax(dim=(1, 2)) > 0).all()


def test_weights_stay_as_they_are():
    segmentor = model()
    influence_maps(look(segmentor, picture()), [POINT])
    assert all(parameter.requires_grad and parameter.grad is None for parameter in segmentor.parameters())


def test_features_that_are_no_maps():
    view = look(model(), picture())
    view.windows[0].features = [view.windows[0].features[0][0]]
    view.model.encode_decode = lambda inputs, metas: torch.zeros(1, 5, *inputs.shape[2:])
    with pytest.raises(ValueError, match='does not depend differentiably'):
        influence_maps(view, [POINT])
