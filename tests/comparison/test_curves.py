"""Learning curves that can be read with many heads."""

import itertools

import pytest

from mmseg_attn.comparison import curves
from mmseg_attn.comparison.curves import COLOURS, LINES, MARKERS, spread
from mmseg_attn.comparison.names import display_name


@pytest.mark.parametrize('values', [[1.0], [1.0, 5.0, 3.0], [2.0, 2.0, 2.1], [90.0, 90.1, 90.2, 45.0, 45.0, 89.0]])
def test_names_do_not_cover_each_other(values):
    places = spread(values, 1.0)
    assert all(b - a > 1 - 1e-9 for a, b in itertools.pairwise(sorted(places)))
    assert sorted(range(len(values)), key=places.__getitem__) == sorted(range(len(values)), key=values.__getitem__)
    assert sum(places) == pytest.approx(sum(values))


def test_names_that_have_room_stay_where_they_are():
    assert spread([5.0, 1.0, 3.0], 1.0) == [5.0, 1.0, 3.0]


def test_every_curve_has_a_look_of_its_own():
    looks = {(n % len(COLOURS), n // len(COLOURS) % len(LINES), n % len(MARKERS)) for n in range(28)}
    assert len(looks) == 28


def test_heads_are_called_by_their_method():
    assert [display_name(head) for head in ('non_local', 'glore_blocks', 'fcn', 'pspnet', 'mine')] == [
        'Non-local', 'GloRe blocks', 'FCN', 'PSPNet', 'mine']


def test_a_training_shorter_than_the_interval_of_its_log(tmp_path, monkeypatch):
    run = curves.TrainingRun(seed=0, iters=5, miou=40.0, classes={}, curve=[(5, 40.0)], losses=[],
                             seconds_per_iter=None, memory_mib=None)
    texts = []
    draw = curves.Axes.text
    monkeypatch.setattr(curves.Axes, 'text', lambda self, *args, **kw: texts.append(args[2]) or draw(self, *args, **kw))
    curves.draw({'fcn': [run]}, tmp_path / 'curves.png')
    assert any('no loss was logged' in text for text in texts)
