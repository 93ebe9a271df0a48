"""The page in a browser: what it shows, read from the screen, is what the model computes."""

import dataclasses

import matplotlib
import numpy as np
import pytest
import torch

from mmseg_attn.explain import attention_maps, influence_maps, look, write_page
from mmseg_attn.explain.grad_cam import ClassMap
from mmseg_attn.explain.scales import scales_of
from tests.explain.browser import DESKTOP, PHONE, Page, chromium
from tests.explain.models import MULTI_SCALE, model, picture
from tests.explain.test_influence import FCN
from tests.explain.test_view import PADDED, SLIDE

pytestmark = pytest.mark.slow
DGMN = dict(type='mmseg_attn.DGMNHead')
PICTURE, MAP, PREDICTION = '#picture', '#head-0 .map .stage', '#head-0 .prediction .stage'
SECOND_MAP = '#head-1 .map .stage'
HEIGHT, WIDTH = 48, 64
POINT, OTHER = (19.5, 35.5), (44, 12)  # the first is the centre of a cell of 8 x 8 pixels


@pytest.fixture(scope='module')
def views():
    torch.manual_seed(0)
    models = dict(non_local=model(), fcn=model(FCN), dgmn=model(DGMN), slide=model(**SLIDE),
                  scales=model(**MULTI_SCALE))
    names = dict(non_local='Non-local', fcn='FCN', dgmn='DGMN', slide='slide', scales='three scales')
    return {key: look(segmentor, picture(HEIGHT, WIDTH), names[key]) for key, segmentor in models.items()}


@pytest.fixture(scope='module')
def desktop(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp('profile')) as browser:
        yield browser


@pytest.fixture(scope='module')
def phone(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp('profile'), PHONE) as browser:
        yield browser


@pytest.fixture
def show(tmp_path):
    def write_and_open(browser, *views, **settings):
        write_page(tmp_path / 'page.html', views, title='street.png', **dict(seconds=1000) | settings)
        return Page(browser, tmp_path / 'page.html')
    return write_and_open


def _at(maps, x, y):
    """The value of a PointMaps of one point at a pixel, and the largest of its map."""
    row, column = maps.places[0].nearest(torch.tensor([[x, y]]))[0]
    return maps.values[0, row, column].item(), maps.values[0].abs().max().item()


@pytest.mark.parametrize('stage', [PICTURE, MAP, PREDICTION])
def test_click_a_pixel_and_read_its_map(show, desktop, views, stage):
    page = show(desktop, views['non_local'])
    page.click(stage, *POINT)
    assert page.chosen() == pytest.approx(POINT, abs=1e-6)
    assert page.value() is None
    maps = attention_maps(views['non_local'], [POINT])
    for where in (OTHER, (41, 9), (0, 0), (63, 47), POINT):
        page.mouse('mouseMoved', MAP, *where)
        expected, peak = _at(maps, *where)
        assert page.value() == pytest.approx(expected, abs=peak / 509)
    assert page.chosen() == pytest.approx(POINT, abs=1e-6)


def test_pointing_is_enough(show, desktop, views):
    page = show(desktop, views['non_local'])
    for point in (POINT, (51.5, 3.5)):
        page.mouse('mouseMoved', PREDICTION, *point)
        assert page.chosen() == pytest.approx(point, abs=1e-6)
        best = int(attention_maps(views['non_local'], [point]).values[0].argmax())
        x, y = 3.5 + 8 * (best % 8), 3.5 + 8 * (best // 8)
        found = page.run("return document.querySelector('#head-0 .map .found b').textContent")
        assert found == f'{round(x + 0.01)}, {round(y + 0.01)}'


def test_colours_are_those_of_the_legend(show, desktop, views):
    page = show(desktop, views['non_local'])
    page.click(PICTURE, *POINT)
    values = attention_maps(views['non_local'], [POINT]).values[0].numpy()
    codes = np.round(values / values.max() * 255).astype(int)
    for name, scale, of in (('inferno', 'linear', lambda code: code),
                            ('viridis', 'root', lambda code: np.floor(np.sqrt(code / 255) * 255 + 0.5).astype(int))):
        for control, setting in (('colours', name), ('scale', scale)):
            page.run('''const control = document.getElementById(arguments[0]); control.value = arguments[1];
                     control.dispatchEvent(new Event('change'));''', control, setting)
        expected = matplotlib.colormaps[name](of(codes), bytes=True)
        assert np.array_equal(page.canvas(f'{MAP} canvas'), expected)
        ticks = page.run("return [...document.querySelectorAll('#head-0 .map .legend li')].map(tick => "
                         "Number(tick.textContent))")
        middle = 0.25 if scale == 'root' else 0.5
        assert ticks == pytest.approx([0, values.max() * middle, values.max()], rel=6e-3)
        legend = np.array(page.canvas('#head-0 .map .legend canvas'))
        assert np.array_equal(legend[0], matplotlib.colormaps[name](np.arange(256), bytes=True))


def test_two_heads_are_linked(show, desktop, views):
    page = show(desktop, views['non_local'], views['fcn'])
    page.click(SECOND_MAP, *POINT)
    page.mouse('mouseMoved', SECOND_MAP, *OTHER)
    for i, maps in enumerate((attention_maps(views['non_local'], [POINT]), influence_maps(views['fcn'], [POINT]))):
        expected, peak = _at(maps, *OTHER)
        assert page.value(i) == pytest.approx(expected, abs=peak / 509)
    kinds = page.run("return [...document.querySelectorAll('.title summary')].map(node => node.textContent)")
    assert kinds == ['attention map', 'exact influence']
    marks = page.run("return [...document.querySelectorAll('.mark')].map(mark => [mark.style.left, mark.style.top])")
    assert len(marks) == 5
    for left, top in marks:
        assert (float(left[:-1]), float(top[:-1])) == pytest.approx((100 * 20 / WIDTH, 100 * 36 / HEIGHT))


def test_negative_weights(show, desktop, views):
    page = show(desktop, views['dgmn'])
    page.click(PICTURE, *POINT)
    maps = attention_maps(views['dgmn'], [POINT])
    lowest = int(maps.values[0].argmin())
    assert maps.values.min() < 0
    page.mouse('mouseMoved', MAP, 3.5 + 8 * (lowest % 8), 3.5 + 8 * (lowest // 8))
    assert page.value() == pytest.approx(maps.values.min().item(), abs=maps.values.abs().max().item() / 253)
    ticks = page.run("return [...document.querySelectorAll('#head-0 .map .legend li')].map(tick => tick.textContent)")
    assert ticks[0] == f'-{ticks[2]}'


def test_windows(show, desktop, views):
    page = show(desktop, views['slide'])
    for point in ((4, 4), (56, 44), (33, 20)):
        page.run('hold(false)')
        page.click(PICTURE, *point)
        chosen = page.chosen()
        assert chosen == pytest.approx(point, abs=4.1)
        maps = attention_maps(views['slide'], [chosen])
        place = maps.places[0]
        inside = [float(axis.centres()[2]) for axis in (place.x, place.y)]
        page.mouse('mouseMoved', MAP, *inside)
        expected, peak = _at(maps, *inside)
        assert page.value() == pytest.approx(expected, abs=peak / 509)
        box = page.run("const style = document.querySelector(arguments[0]).style; "
                       "return [style.left, style.width].map(parseFloat)", f'{MAP} canvas')
        left, right = place.x.edges
        assert box == pytest.approx([100 * (left + 0.5) / WIDTH, 100 * (right - left) / WIDTH], rel=1e-4)


def test_beyond_the_window_there_is_no_value(show, desktop, views):
    page = show(desktop, views['slide'])
    page.click(PICTURE, 4, 4)
    for where, inside in (((38, 30), True), ((60, 4), False), ((4, 44), False)):
        page.mouse('mouseMoved', PICTURE, *where)
        assert (page.value() is not None) == inside
        assert page.text('#head-0 .map .found b').startswith('outside the window') != inside


def test_one_pixel_in_each_window(show, desktop):
    options = dict(model__test_cfg=dict(mode='slide', crop_size=(32, 40), stride=(4, 24)))
    page = show(desktop, look(model(FCN, **options), picture(HEIGHT, WIDTH)), seconds=1e-9)
    # Windows begin at x = 0 and 24 and y = 0, 4, ..., 16, and the pixel lies at 19.5, 19.5 in each.
    page.click(PICTURE, 5, 5)
    for key, expected in ((None, (19.5, 19.5)), ('ArrowRight', (43.5, 19.5)), ('ArrowRight', (43.5, 19.5)),
                          ('ArrowDown', (43.5, 23.5)), ('ArrowUp', (43.5, 19.5)), ('ArrowLeft', (19.5, 19.5))):
        if key:
            page.run("document.getElementById('picture').focus()")
            page.key(key)
        assert page.chosen() == pytest.approx(expected)
        marks = page.run("return [...document.querySelectorAll('.mark')].map(mark => mark.style.cssText)")
        assert marks == marks[:1] * 3


def test_the_last_cells_of_a_padded_input(show, desktop):
    segmentor = model(dict(type='mmseg_attn.NLHead', align_corners=True), **PADDED)
    page = show(desktop, look(segmentor, picture(HEIGHT, WIDTH)))  # their centres are at x = 64 and y = 48
    page.click(PICTURE, 62, 46)
    assert page.chosen() == (63, 47)
    page.click(PICTURE, 30, 21)
    assert page.chosen() == pytest.approx((32, 24))


def test_the_prediction_is_shown(show, desktop, views):
    view = views['non_local']
    page = show(desktop, view)
    expected = np.array(view.palette)[view.labels.numpy()]
    assert np.array_equal(np.array(page.canvas(f'{PREDICTION} canvas'))[..., :3], expected)
    page.click(PICTURE, *POINT)
    assert page.text('#head-0 .prediction .found').endswith(view.classes[view.label_at(*POINT)])
    counts = np.bincount(view.labels.flatten().numpy(), minlength=5)
    assert page.text('#head-0 .classes li:first-child').startswith(view.classes[counts.argmax()])


def test_shares_of_the_classes(show, desktop, views):
    view = views['non_local']
    page = show(desktop, view)
    page.click(PICTURE, *POINT)
    maps = attention_maps(view, [POINT])
    weights = np.zeros(5)
    for row, y in enumerate(maps.places[0].y.centres()):
        for column, x in enumerate(maps.places[0].x.centres()):
            weights[view.label_at(float(x), float(y))] += maps.values[0, row, column]
    first = f'{view.classes[weights.argmax()]} {round(100 * weights.max() / maps.values.sum().item())}\u00a0%'
    assert page.text('#head-0 .shares-text').startswith(first)


def test_the_keyboard(show, desktop, views):
    page = show(desktop, views['non_local'])
    page.key('Tab')
    assert page.run('return document.activeElement.id') == 'picture'
    start = page.chosen()
    page.key('ArrowRight')
    assert page.chosen() == pytest.approx((start[0] + 8, start[1]))
    assert page.run('return state.held')
    page.key('ArrowUp')
    page.key('ArrowLeft', shift=True)
    assert page.chosen() == pytest.approx((3.5, start[1] - 8))
    page.key('ArrowLeft')
    assert page.chosen() == pytest.approx((3.5, start[1] - 8))
    said = page.text('#status')
    assert said.startswith('Pixel 4, ')
    assert 'Non-local: class' in said
    assert 'looks most at' in said
    page.key('Escape')
    assert not page.run('return state.held')
    outline = page.run("return getComputedStyle(document.getElementById('picture')).outlineStyle")
    assert outline == 'solid'


def test_every_control_is_reached_and_named(show, desktop, views):
    page = show(desktop, views['non_local'])
    reached = []
    for _ in range(14):
        page.key('Tab')
        reached.append(page.run('''const node = document.activeElement;
            return node.id || node.getAttribute('aria-label') || node.textContent.trim()'''))
    assert {'picture', 'Map of Non-local', 'x', 'y', 'hold', 'read', 'opacity', 'prediction-opacity', 'colours',
            'scale', 'smooth', 'attention map', 'Display'} <= set(reached)
    unnamed = page.run('''return [...document.querySelectorAll('input, select')].filter(
        control => !control.labels.length).map(control => control.id)''')
    assert unnamed == []


def test_alternative_texts(show, desktop, views):
    page = show(desktop, views['non_local'])
    assert page.all('#picture img', 'alt') == ['The picture street.png']
    page.click(PICTURE, *POINT)
    texts = page.all('.stage canvas', 'aria-label')
    assert texts[0].startswith('Where 20, 36 looks by Non-local: most at ')
    assert texts[1].startswith('Prediction of Non-local: class ')


def test_opacity_and_smoothing(show, desktop, views):
    page = show(desktop, views['non_local'])
    style = f"return getComputedStyle(document.querySelector('{MAP} canvas'))"
    page.run('''const slider = document.getElementById('opacity'); slider.value = 30;
             slider.dispatchEvent(new Event('input'));''')
    assert float(page.run(f'{style}.opacity')) == pytest.approx(0.3)
    assert page.run(f'{style}.imageRendering') == 'auto'
    page.run("document.getElementById('smooth').click()")
    assert page.run(f'{style}.imageRendering') == 'pixelated'


def test_typing_a_pixel(show, desktop, views):
    page = show(desktop, views['non_local'])
    page.run('''document.getElementById('x').value = 50; const y = document.getElementById('y'); y.value = 3;
             y.dispatchEvent(new Event('change'));''')
    assert page.chosen() == pytest.approx((51.5, 3.5))
    for typed, shown in (('', '52'), ('999', '60')):
        page.run('''const x = document.getElementById('x'); x.value = arguments[0];
                 x.dispatchEvent(new Event('change'));''', typed)
        assert page.run("return document.getElementById('x').value") == shown


def test_reading_values_by_click_and_keyboard(show, desktop, views):
    page = show(desktop, views['non_local'])
    page.click(PICTURE, *POINT)
    page.run("document.getElementById('read').click()")
    page.click(MAP, *OTHER)
    expected, peak = _at(attention_maps(views['non_local'], [POINT]), *OTHER)
    assert page.value() == pytest.approx(expected, abs=peak / 509)
    assert page.chosen() == pytest.approx(POINT, abs=1e-6)
    page.run("document.getElementById('picture').focus()")
    page.key('ArrowLeft')
    expected, peak = _at(attention_maps(views['non_local'], [POINT]), OTHER[0] - 8, OTHER[1])
    assert page.value() == pytest.approx(expected, abs=peak / 509)
    assert page.text('#status').startswith('Values at ')
    page.key('Escape')
    assert page.all('#read', 'aria-pressed') == ['false']
    page.mouse('mouseMoved', MAP, *OTHER)
    assert page.value() is None


def test_grad_cam(show, desktop, views):
    view = views['non_local']
    values = torch.rand(6, 8, generator=torch.Generator().manual_seed(0))
    values /= values.max()
    page = show(desktop, view, class_maps=[ClassMap(2, (16, 12, 48, 36), values, view.windows[0].place(6, 8))])
    page.click(PICTURE, *POINT)
    shown = np.array(page.canvas('#head-0 .cam canvas'))
    codes = np.round(values.numpy() * 255).astype(int)
    assert np.array_equal(shown, matplotlib.colormaps['inferno'](codes, bytes=True))
    assert float(page.text('#head-0 .cam .found b')) == pytest.approx(values[4, 2].item(), abs=1 / 400)
    region = page.run("const style = document.querySelector('.region').style; "
                      "return [style.left, style.top, style.width, style.height].map(parseFloat)")
    assert region == pytest.approx([25, 25, 50, 50])


def test_which_scale_decides(show, desktop, views):
    # Of a network that is not trained all weights are alike.
    weights = torch.randn(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    weights = torch.nn.functional.interpolate(4 * weights, (HEIGHT, WIDTH), mode='bilinear')[0].softmax(dim=0)
    view = dataclasses.replace(views['scales'], scale_weights=weights)
    page = show(desktop, view)
    canvas, text = '#head-0 .scales .stage canvas', '#head-0 .scales .found'
    codes = np.round(weights.numpy() * 255).astype(int)
    most = codes.argmax(axis=0)
    assert len(set(most.ravel())) == 3
    assert np.array_equal(np.array(page.canvas(canvas))[..., :3], np.array(scales_of(view).colours)[most])
    page.click(PICTURE, *POINT)
    x, y = (int(position + 0.5) for position in page.chosen())
    shares = ['<\u00a01\u00a0%' if code < 2.55 else f'{round(100 * code / 255)}\u00a0%' for code in codes[:, y, x]]
    parts = [f'{name}: {share}' for name, share in zip(('2', '1', '0.5'), shares, strict=True)]
    assert page.text(text) == f'Weights at {x}, {y}: ' + ' · '.join(parts)
    page.mouse('mouseMoved', '#head-0 .scales .stage', *OTHER)
    assert page.text(text).startswith('Weights at 44, 12: ')
    shares = [page.text(f'#head-0 .scales li:nth-child({i + 1})') for i in range(3)]
    assert [share.split(' of the pixels, mean weight ')[0] for share in shares] == [
        f'{name}: {round(100 * (most == i).mean())}\u00a0%' for i, name in enumerate(('2', '1', '0.5'))]
    page.run("""const control = document.getElementById('scale-shown-0'); control.value = '1';
             control.dispatchEvent(new Event('change'));""")
    assert np.array_equal(page.canvas(canvas), matplotlib.colormaps['inferno'](codes[1], bytes=True))
    ticks = "return [...document.querySelectorAll('#head-0 .scales .legend li')].map(tick => tick.textContent)"
    assert page.run(ticks) == ['0', '0.5', '1']
    assert page.all(canvas, 'aria-label')[0].startswith('Weight of the scale 1 in three scales: ')


@pytest.mark.parametrize('size', [DESKTOP, PHONE], ids=['desktop', 'phone'])
@pytest.mark.parametrize('names', [['non_local'], ['scales', 'fcn'], ['non_local', 'fcn', 'dgmn', 'slide'], ['scales']],
                         ids=' '.join)
def test_nothing_is_cut_off(show, request, views, names, size):
    page = show(request.getfixturevalue('desktop' if size == DESKTOP else 'phone'), *(views[name] for name in names))
    assert page.run('return document.documentElement.scrollWidth') <= size[0]
    wide = page.run('''return [...document.querySelectorAll('body *')].filter(node =>
        node.getBoundingClientRect().right > innerWidth + 1 && !node.closest('.stage, #status')).map(
        node => node.className || node.tagName)''')
    assert wide == []


def test_tapping_on_a_phone(show, phone, views):
    page = show(phone, views['non_local'])
    page.tap(PICTURE, *POINT)
    page.run('return new Promise(requestAnimationFrame)')
    assert page.chosen() == pytest.approx(POINT, abs=1e-6)
    assert page.run("return document.querySelector('.map .stage').getBoundingClientRect().width") > 300
    page.run("document.getElementById('read').click()")
    page.tap(MAP, *OTHER)
    expected, peak = _at(attention_maps(views['non_local'], [POINT]), *OTHER)
    assert page.value() == pytest.approx(expected, abs=peak / 509)
    targets = page.run('''return [...document.querySelectorAll('button, select, input[type=number]')].filter(
        node => node.offsetHeight).map(node => node.offsetHeight)''')
    assert min(targets) >= 44


def test_nothing_is_loaded_and_nothing_complains(show, desktop, views):
    page = show(desktop, views['non_local'], views['fcn'])
    assert [entry for entry in page.run("return performance.getEntriesByType('resource')")
            if not entry['name'].startswith('data:')] == []
    # That the tests read canvases is no fault of the page.
    assert [entry['message'] for entry in page.browser.get_log('browser') if 'Canvas2D' not in entry['message']] == []
