"""A real Chromium without a window, driven by Selenium."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FLAGS = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync']
KEYS = dict(Tab=9, Escape=27, ArrowLeft=37, ArrowUp=38, ArrowRight=39, ArrowDown=40)
DESKTOP, PHONE = (1400, 900), (390, 844)


@contextmanager
def chromium(profile: Path, size: tuple[int, int] = DESKTOP) -> Iterator:
    """A browser with a fresh profile; a size below 600 pixels is a phone with a touch screen."""
    webdriver = pytest.importorskip('selenium.webdriver')
    browser = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    driver = shutil.which('chromedriver')
    if not browser or not driver:
        pytest.skip('needs chromium and chromedriver: apt-get install chromium chromium-driver')
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f'--user-data-dir={profile}'):
        options.add_argument(flag)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    metrics = dict(width=size[0], height=size[1], deviceScaleFactor=1, mobile=size[0] < 600)
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    try:
        opened.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', metrics)
        opened.execute_cdp_cmd('Emulation.setTouchEmulationEnabled', dict(enabled=metrics['mobile']))
        yield opened
    finally:
        opened.quit()


class Page:
    """An open page of the explorer."""

    def __init__(self, browser, path: Path):
        self.browser = browser
        browser.get(path.as_uri())
        browser.set_script_timeout(60)
        browser.execute_async_script('''
            const done = arguments[0];
            const wait = () => document.body.dataset.ready || !document.getElementById('problem').hidden
                ? done() : setTimeout(wait, 20);
            wait();''')
        assert self.run("return document.getElementById('problem').hidden"), self.text('#problem')

    def run(self, script: str, *arguments):
        return self.browser.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        return self.run('return document.querySelector(arguments[0]).textContent', selector)

    def all(self, selector: str, attribute: str) -> list:
        return self.run('return [...document.querySelectorAll(arguments[0])].map(node => '
                        'node.getAttribute(arguments[1]))', selector, attribute)

    def at(self, selector: str, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the picture is on the screen, in a stage that is scrolled into view."""
        return tuple(self.run('''
            const stage = document.querySelector(arguments[0]);
            stage.scrollIntoView({block: 'center'});
            const box = stage.getBoundingClientRect();
            return [box.left + (arguments[1] + 0.5) / page.width * box.width,
                    box.top + (arguments[2] + 0.5) / page.height * box.height];''', selector, x, y))

    def mouse(self, kind: str, selector: str, x: float, y: float) -> None:
        left, top = self.at(selector, x, y)
        self.browser.execute_cdp_cmd('Input.dispatchMouseEvent', dict(
            type=kind, x=left, y=top, button='none' if kind == 'mouseMoved' else 'left', clickCount=1))

    def click(self, selector: str, x: float, y: float) -> None:
        for kind in ('mouseMoved', 'mousePressed', 'mouseReleased'):
            self.mouse(kind, selector, x, y)

    def tap(self, selector: str, x: float, y: float) -> None:
        left, top = self.at(selector, x, y)
        self.browser.execute_cdp_cmd('Input.dispatchTouchEvent', dict(
            type='touchStart', touchPoints=[dict(x=left, y=top)]))
        self.browser.execute_cdp_cmd('Input.dispatchTouchEvent', dict(type='touchEnd', touchPoints=[]))

    def key(self, key: str, shift: bool = False) -> None:
        for kind in ('rawKeyDown', 'keyUp'):
            self.browser.execute_cdp_cmd('Input.dispatchKeyEvent', dict(
                type=kind, key=key, code=key, modifiers=8 * shift,
                windowsVirtualKeyCode=KEYS[key]))

    def chosen(self) -> tuple[float, float]:
        return tuple(self.run('return [state.x, state.y]'))

    def value(self, head: int = 0) -> float | None:
        """What the page says that the map of a head is where it is read."""
        found = self.run('return document.querySelector(arguments[0]).dataset.value', f'#head-{head} .map .found')
        return float(found) if found else None

    def canvas(self, selector: str) -> list:
        """(rows, columns, RGBA) of a canvas."""
        width, height, values = self.run('''
            const canvas = document.querySelector(arguments[0]);
            const values = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            return [canvas.width, canvas.height, [...values]];''', selector)
        return [[values[4 * (width * row + column):][:4] for column in range(width)] for row in range(height)]
