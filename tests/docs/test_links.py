"""Links, headings and files that the documentation names exist."""

import itertools
import re

import pytest

from tests.tools.command import ROOT

from .pages import FENCE, anchors, links, pages

PAGES = pages()
PARTS = ('.ci', 'benchmarks', 'configs', 'docs', 'mmseg_attn', 'tests', 'tools')
# design.md names files below the package.
PREFIXES = ('', 'mmseg_attn/')
# Of mmdetection, PaddleSeg and openseg.pytorch, which the pages of the methods cite.
OTHERS = {'configs/carafe', 'configs/glore', 'configs/cityscapes/R_101_D_8.json'}


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page):
    for link in links(PAGES[page]):
        path, _, anchor = link.partition('#')
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert target.suffix == '.md', link
            assert anchor in anchors(target.read_text()), link


def test_every_page_is_in_the_index():
    found = {path.partition('#')[0] for path in links(PAGES['docs/README.md'])}
    expected = {page.removeprefix('docs/') for page in PAGES if page.count('/') == 1} - {'README.md'}
    assert expected <= found


@pytest.mark.parametrize('page', PAGES)
def test_files_that_are_named_exist(page):
    prose = FENCE.sub('', PAGES[page])
    for name in re.findall(r'`([^`\s]+/[^`\s]*)`', prose):
        folder = name.split('/')[0]
        known = folder in PARTS or (ROOT / 'mmseg_attn' / folder).is_dir()
        if known and name not in OTHERS:
            assert all(_matches(pattern) for pattern in _alternatives(name)), name


def _alternatives(name: str) -> list[str]:
    """`a_{b,c}.py` -> a_b.py, a_c.py; `<method>` -> *."""
    parts = re.split(r'\{([^}]*)\}', re.sub(r'<[^>]*>', '*', name))
    choices = [part.split(',') if i % 2 else [part] for i, part in enumerate(parts)]
    return [''.join(choice) for choice in itertools.product(*choices)]


def _matches(pattern: str) -> bool:
    return any(next(ROOT.glob(prefix + pattern.rstrip('/')), None) for prefix in PREFIXES)
