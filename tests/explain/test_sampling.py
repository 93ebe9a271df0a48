from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from mmseg_attn.explain import sampling
from mmseg_attn.explain.place import Axis, Place
from mmseg_attn.explain.sampling import grids_of, sample
from tests.explain.unpacking import unpack


class Clock:
    """The time as the test tells it."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class FakeSource:
    """Maps of noise, each of which takes so many seconds."""

    kind = 'influence'

    def __init__(self, rows, columns, clock=None, seconds=0.0):
        self.place = Place(Axis(3.5, 8.0, columns), Axis(3.5, 8.0, rows))
        self.clock, self.seconds, self.asked = clock, seconds, []

    def maps(self, points):
        if self.clock:
            self.clock.now += self.seconds * len(points)
        cells = self.place.nearest(points)
        self.asked += map(tuple, cells.tolist())
        numbers = torch.arange(self.place.y.cells * self.place.x.cells).reshape(self.place.y.cells, -1)
        mixed = numbers * 7919 + cells[:, :1, None] * 104729 + cells[:, 1:, None] * 1299709
        return (mixed * mixed // 4096 % 256) / 255


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(sampling, 'time', clock)
    return clock


def _view(windows=1):
    return SimpleNamespace(windows=[None] * windows)


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (11, 15), (64, 128), (45, 60)])
def test_each_grid_contains_the_coarser_ones(size):
    grids = grids_of(*size)
    assert len(grids[0]) <= 4
    assert (grids[-1].rows, grids[-1].columns) == (range(size[0]), range(size[1]))
    for coarse, fine in pairwise(grids):
        assert set(coarse.cells(1)) < set(fine.cells(1))
        assert len(fine) <= 3 * len(coarse)
    for grid in grids:
        for cells, count in ((grid.rows, size[0]), (grid.columns, size[1])):
            assert max(cells[0], count - 1 - cells[-1]) < cells.step


def test_everything_where_it_fits():
    source = FakeSource(6, 9)
    found = sample(_view(), lambda view, window: source, seconds=1000, num_bytes=10**6)
    assert found.num_points == 54
    values = unpack(found.maps.data, found.maps.peaks, found.maps.signed, 9).reshape(6, 9, 6, 9)
    expected = source.maps(torch.tensor([[3.5 + 8 * 7, 3.5 + 8 * 4]]))[0]
    torch.testing.assert_close(torch.from_numpy(values[4, 7]).float(), expected, rtol=0, atol=1 / 500)


def test_no_map_is_computed_twice():
    source = FakeSource(20, 20)
    sample(_view(), lambda view, window: source, seconds=1000, num_bytes=10**6)
    assert len(source.asked) == len(set(source.asked)) == 400


def test_slow_maps_are_fewer_and_in_time(clock):
    source = FakeSource(64, 128, clock, seconds=0.1)
    found = sample(_view(), lambda view, window: source, seconds=10, num_bytes=10**8)
    assert clock.now <= 10
    assert found.num_points == len(source.asked) == 64


def test_preparing_takes_of_the_time(clock):
    source = FakeSource(64, 128, clock, seconds=0.1)

    def prepare(view, window):
        clock.now += 6
        return source
    sample(_view(), prepare, seconds=10, num_bytes=10**8)
    assert clock.now <= 10


def test_the_first_map_comes_whatever_it_takes(clock):
    source = FakeSource(8, 8, clock, seconds=50)
    found = sample(_view(), lambda view, window: source, seconds=10, num_bytes=10**8)
    assert found.num_points == 1


@pytest.mark.parametrize('num_bytes', [10_000, 100_000, 1_000_000])
def test_large_maps_are_fewer(num_bytes):
    source = FakeSource(32, 48)
    found = sample(_view(), lambda view, window: source, seconds=1000, num_bytes=num_bytes)
    assert found.maps.num_bytes <= num_bytes
    grids = grids_of(32, 48)
    finer = grids[grids.index(found.grid) + 1]
    assert len(source.asked) <= len(finer)
    everything = FakeSource(32, 48)
    points = torch.tensor([[3.5 + 8 * column, 3.5 + 8 * row] for _, row, column in finer.cells(1)])
    assert sampling.pack(everything.maps(points), len(finer.columns)).num_bytes > num_bytes


def test_every_window_has_the_same_points():
    sources = [FakeSource(5, 7), FakeSource(5, 7)]
    remaining = iter(sources)
    found = sample(_view(2), lambda view, window: next(remaining), seconds=1000, num_bytes=10**6)
    assert found.num_points == 70
    assert sorted(sources[0].asked) == sorted(sources[1].asked)


def test_what_can_never_fit():
    with pytest.raises(ValueError, match='do not fit'):
        sample(_view(), lambda view, window: FakeSource(40, 40), seconds=1000, num_bytes=100)
