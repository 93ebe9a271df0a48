"""The pictures show every method, every cost, and no name over another."""

import os
from itertools import combinations

import pytest

pytest.importorskip('matplotlib')

from PIL import Image

from mmseg_attn.benchmark import pictures
from tests.benchmark.test_report import FAILED, row

METHODS = ['ccnet', 'danet', 'emanet', 'new_method']
MODES = ['forward', 'forward+backward']
ROWS = [row(method, size=(side, side), time=(i + 1) * side**2, mode=mode, code=code)
        for i, method in enumerate(METHODS) for side in (8, 16, 32) for mode in MODES
        for code in ('mmseg_attn', 'mmseg')]
# All in one spot.
ACCURACIES = dict(ccnet=70.0, danet=70.1, emanet=70.05, new_method=70.02, absent=3.0)


def test_costs():
    figure = pictures._cost_figure([*ROWS, FAILED], 'a machine')
    assert figure.get_suptitle() == 'a machine'
    panels = figure.get_axes()
    assert [axes.get_title(loc='left') for axes in panels] == ['forward'] * 2 + ['forward+backward'] * 2
    assert {(axes.get_xscale(), axes.get_yscale()) for axes in panels} == {('log', 'log')}
    labels = [text.get_text() for text in panels[1].get_legend().get_texts()]
    assert labels == [f'{name}{code}  1.00, 1.00' for name in ('CCNet', 'DANet', 'EMANet', 'new_method')
                      for code in ('', ' (mmseg)')]
    line = panels[0].get_lines()[2]
    assert list(line.get_xdata()) == [64, 256, 1024]
    assert list(line.get_ydata()) == [2 * 64, 2 * 256, 2 * 1024]


def test_what_has_no_memory_has_a_line_of_its_times_only():
    theirs = [row(size=(side, side), time=side**2, code='mmseg', memory_mib=None, gflops=None) for side in (8, 16, 32)]
    for others in [r for r in ROWS if r.method != 'ccnet'], []:
        figure = pictures._cost_figure([*others, *theirs], '')
        figure.draw_without_rendering()
        time, memory = ({line.get_label().split('  ')[0]: len(line.get_xdata()) for line in axes.get_lines()}
                        for axes in figure.get_axes()[:2])
        assert (time['CCNet (mmseg)'], memory['CCNet (mmseg)']) == (3, 0)


def test_no_two_methods_look_alike():
    rows = [row(f'new_method{i}') for i in range(20)]
    looks = list(pictures._looks(rows).values())
    assert len(looks) > 24
    assert not [look for look in looks if looks.count(look) > 1]


def test_no_exponents_of_two_sizes():
    figure = pictures._cost_figure([r for r in ROWS if r.height < 32], '')
    assert {text.get_text() for text in figure.get_axes()[1].get_legend().get_texts()} >= {'CCNet', 'CCNet (mmseg)'}


def test_labels_of_sizes_have_room():
    assert pictures._size_ticks({8192}) == ([8192], ['8192'])
    assert pictures._size_ticks({1024, 8192, 9409, 65536}) == (
        [1024, 8192, 9409, 65536], ['1024', '8192', '', '65536'])


def test_accuracies_at_the_largest_size():
    figure = pictures._accuracy_figure(ROWS, ACCURACIES, '')
    panels = figure.get_axes()
    assert [axes.get_xlabel() for axes in panels] == [
        'time (ms)', 'peak extra memory (MiB)', 'GFLOPs of one image', 'time (ms)', 'peak extra memory (MiB)',
        'parameters (M)']
    points = [tuple(collection.get_offsets()[0]) for collection in panels[0].collections]
    assert points == [((i + 1) * 1024, ACCURACIES[method]) for i, method in enumerate(METHODS)]
    assert panels[5].collections[0].get_offsets()[0][0] == 1.234567


def test_the_size_of_the_accuracies_is_one_that_all_were_measured_at():
    rows = [r for r in ROWS if r.method != 'danet' or r.height < 32]
    figure = pictures._accuracy_figure(rows, ACCURACIES, '')
    assert figure.get_axes()[0].get_title(loc='left') == 'forward, 16 x 16 pixels'
    assert [len(axes.collections) for axes in figure.get_axes()] == [len(METHODS)] * 6


def test_names_do_not_cover_each_other():
    figure = pictures._accuracy_figure(ROWS, ACCURACIES, '')
    for axes in figure.get_axes():
        assert len(axes.texts) == len(METHODS)
        boxes = [text.get_bbox_patch() or super(type(text), text).get_window_extent() for text in axes.texts]
        for a, b in combinations(boxes, 2):
            assert not a.overlaps(b)


@pytest.mark.parametrize('draw', [
    pictures.draw_cost,
    pytest.param(lambda rows, *a: pictures.draw_accuracy(rows, ACCURACIES, *a), marks=pytest.mark.slow)])
def test_files(tmp_path, draw):
    draw(ROWS, tmp_path / 'picture.png', 'title')
    assert os.listdir(tmp_path) == ['picture.png']
    with Image.open(tmp_path / 'picture.png') as image:
        assert image.width >= 2000
        assert len(set(image.convert('RGB').get_flattened_data() if hasattr(image, 'get_flattened_data')
                       else image.convert('RGB').getdata())) > 50
