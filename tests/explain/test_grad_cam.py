import builtins

import pytest
import torch

from mmseg_attn.explain import grad_cam, look
from mmseg_attn.explain.grad_cam import require_grad_cam
from mmseg_attn.explain.view import scores
from tests.explain.models import NON_LOCAL, TWO_STAGES, model, picture
from tests.explain.test_view import PADDED, SLIDE

# The library adds 1e-7 to what it divides by.
CLOSE = dict(rtol=0, atol=1e-3)


@pytest.fixture
def library():
    try:
        require_grad_cam()
    except ImportError as error:
        pytest.skip(str(error).splitlines()[0])


def _by_hand(view, window, label, mask, stage=0):
    """Selvaraju et al. 2017, with the score summed over a mask."""
    features = [feature.detach().requires_grad_() for feature in window.features]
    score = (scores(view, window, features)[label] * mask).sum()
    gradient = torch.autograd.grad(score, features[stage])[0][0]
    weighted = (gradient.mean(dim=(1, 2))[:, None, None] * window.features[stage][0]).sum(dim=0).relu()
    return (weighted - weighted.min()) / (weighted.max() - weighted.min() + 1e-7)


@pytest.mark.usefixtures('library')
@pytest.mark.parametrize('options', [{}, SLIDE], ids=['whole', 'slide'])
def test_in_a_region(options):
    view = look(model(**options), picture())
    found = [grad_cam(view, label, (30, 20, 50, 40)) for label in range(5)]
    window = view.window_of(39.5, 29.5)
    mask = torch.zeros(window.inputs.shape[2:])
    left, top = (round(axis.axis(axis.pixels).first) for axis in (window.x, window.y))
    mask[20 - top:40 - top, 30 - left:50 - left] = 1
    for label, class_map in enumerate(found):
        torch.testing.assert_close(
            class_map.values, _by_hand(view, window, label, mask), **CLOSE)
        assert class_map.place == window.place(*class_map.values.shape)
    # Where everything speaks against a class, its map is zero.
    assert {round(class_map.values.max().item(), 2) for class_map in found} >= {1.0}


@pytest.mark.usefixtures('library')
@pytest.mark.parametrize('options', [{}, PADDED], ids=['whole', 'padded'])
def test_where_it_is_predicted(options):
    view = look(model(**options), picture())
    label = int(view.labels.flatten().mode()[0])
    window = view.windows[0]
    mask = torch.zeros(window.inputs.shape[2:])
    mask[:44, :60] = (view.labels == label).float()
    torch.testing.assert_close(
        grad_cam(view, label).values, _by_hand(view, window, label, mask), **CLOSE)


@pytest.mark.usefixtures('library')
def test_the_last_of_several_stages():
    view = look(model(TWO_STAGES, model__backbone__out_indices=(0, 1)), picture())
    found = grad_cam(view, 1, (0, 0, 60, 44))
    torch.testing.assert_close(
        found.values, _by_hand(view, view.windows[0], 1, torch.ones(44, 60), stage=1), **CLOSE)


@pytest.mark.usefixtures('library')
def test_the_two_classes_of_a_binary_head():
    view = look(model(NON_LOCAL | dict(num_classes=2, out_channels=1, threshold=0.5, loss_decode=dict(
        type='CrossEntropyLoss', use_sigmoid=True))), picture())
    region, ones = (0, 0, 60, 44), torch.ones(44, 60)
    found = [grad_cam(view, label, region).values for label in (0, 1)]
    for values, sign in zip(found, (-1, 1), strict=True):
        torch.testing.assert_close(
            values, _by_hand(view, view.windows[0], 0, sign * ones), **CLOSE)
    assert max(values.max() for values in found) > 0.99


@pytest.mark.usefixtures('library')
def test_a_class_that_is_predicted_nowhere():
    view = look(model(), picture())
    view.labels = torch.zeros_like(view.labels)
    found = grad_cam(view, 2)
    assert found.values is None
    assert found.place is None


@pytest.mark.usefixtures('library')
def test_the_model_stays_as_it_was():
    segmentor = model()
    before = {name: value.clone() for name, value in segmentor.state_dict().items()}
    grad_cam(look(segmentor, picture()), 1, (0, 0, 60, 44))
    assert all(torch.equal(value, before[name]) for name, value in segmentor.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in segmentor.parameters())
    assert not any(module._forward_hooks for module in segmentor.modules())


@pytest.mark.parametrize('region', [(5, 5, 5, 9), (0, 0, 61, 44), (-1, 0, 4, 4), (9, 9, 3, 20)])
def test_a_region_outside_the_picture(region):
    with pytest.raises(ValueError, match='is empty or not within the picture of 60 x 44'):
        grad_cam(look(model(), picture()), 1, region)


def test_an_unknown_class():
    with pytest.raises(ValueError, match='there is no class 5: the model has 5'):
        grad_cam(look(model(), picture()), 5)


def test_a_missing_library_is_told(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith('pytorch_grad_cam'):
            raise ImportError('No module named pytorch_grad_cam')
        return real(name, *args, **kwargs)
    monkeypatch.setattr(builtins, '__import__', refuse)
    with pytest.raises(ImportError, match='pip install grad-cam torchvision'):
        require_grad_cam()
