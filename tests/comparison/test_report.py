"""The report says what the runs say."""

import re

import numpy as np
import pytest
from PIL import Image

from mmseg_attn.benchmark.results import read_accuracies
from mmseg_attn.common.document import Heading, Paragraph, Picture, Table, to_html, to_markdown
from mmseg_attn.comparison import curves, report, samples
from mmseg_attn.comparison.costs import Cost
from mmseg_attn.comparison.runs import TrainingRun

COST = Cost(parameters=2_500_000, head_parameters=500_000, gflops=1.25, quartiles_ms=(8.0, 9.0, 11.0), memory_mib=7.4)


def _run(seed, miou, iters=4):
    return TrainingRun(seed, iters, miou, dict(sky=miou + 10, car=miou - 10), [(2, miou / 2), (iters, miou)],
                       [(1, 2.0), (iters, 1.0)], 0.5, None)


def _findings(scores, iters=4, failures=None):
    found = {head: [_run(seed, miou, iters) for seed, miou in enumerate(values)] for head, values in scores.items()}
    return report.Findings(found, dict.fromkeys(found, COST), failures or {}, (180, 240))


def _tables(findings):
    return [block for block in report.build(findings, ['by hand'], []) if isinstance(block, Table)]


def _text(findings):
    return '\n'.join(block.text for block in report.build(findings, ['by hand'], []) if isinstance(block, Paragraph))


def test_tables():
    results, differences, classes = _tables(_findings(dict(fcn=[40.0, 41.0], ccnet=[60.0, 61.0], glore=[60.4, 61.4])))
    assert results.rows[0] == ['glore', '60.90', '0.71', '60.40 61.40', '4', '2.50', '0.50', '1.25', '9 (8-11)', '7',
                               '0.50']
    assert 'training, MiB' not in results.header
    assert differences.rows == [['glore', 'fcn', 'ccnet', '-'], ['ccnet', 'fcn', 'glore', '-'],
                                ['fcn', '-', '-', 'glore, ccnet']]
    assert classes.header == ['head', 'sky', 'car']
    assert classes.rows[-1] == ['fcn', '50.5', '30.5']


def test_what_cannot_be_said_is_not_said():
    findings = _findings(dict(fcn=[40.0], ccnet=[60.0]))
    assert len(_tables(findings)) == 2
    assert 'the noise is not known' in _text(findings)
    assert 'do not tell any head from another' in _text(_findings(dict(fcn=[40.0, 50.0], ccnet=[41.0, 52.0])))
    assert 'one head only' in _text(_findings(dict(fcn=[40.0, 50.0])))


def test_failures_are_told():
    assert 'ccnet is missing or has fewer seeds: seed 1 failed' in _text(
        _findings(dict(fcn=[40.0, 41.0], ccnet=[60.0]), failures=dict(ccnet='seed 1 failed')))


def test_both_forms(tmp_path):
    Image.new('RGB', (3, 2)).save(tmp_path / 'a.png')
    blocks = [Heading('A <b>'), Paragraph('x & y'), Table(['head', 'mIoU'], [['a|b', '3.0'], ['c', '4.5']]),
              Picture(tmp_path / 'a.png', 'a "picture"')]
    page, text = to_html('T', blocks), to_markdown('T', blocks)
    assert '<h2>A &lt;b&gt;</h2>' in page
    assert 'x &amp; y' in page
    assert re.search(r'<img alt="a &quot;picture&quot;" src="data:image/png;base64,iVBOR', page)
    assert 'http' not in page
    assert '| a\\|b | 3.0 |' in text
    assert '![a "picture"](a.png)' in text


def test_the_benchmark_reads_the_report(tmp_path):
    blocks = report.build(_findings(dict(fcn=[40.0, 41.0], ccnet=[60.0, 61.0])), ['by hand'], [])
    (tmp_path / 'README.md').write_text(to_markdown('T', blocks))
    assert read_accuracies(tmp_path / 'README.md') == dict(fcn=40.5, ccnet=60.5)


def test_bands():
    steps, low, mean, high = curves.mean_and_range([[(1, 2.0), (2, 4.0), (3, 1.0)], [(1, 4.0), (3, 5.0)]])
    assert (steps, low, mean, high) == ([1, 3], [2.0, 1.0], [3.0, 3.0], [4.0, 5.0])


@pytest.mark.slow
def test_pictures(tmp_path):
    curves.draw({f'h{i}': [_run(0, 40.0 + i)] for i in range(22)}, tmp_path / 'curves.png')
    labels = np.array([[0, 1, 255], [1, 1, 0]])
    assert samples.colour(labels, [[9, 8, 7], [1, 2, 3]]).tolist() == [
        [[9, 8, 7], [1, 2, 3], [0, 0, 0]], [[1, 2, 3], [1, 2, 3], [9, 8, 7]]]
    sample = samples.Sample('x', np.zeros((2, 3, 3), np.uint8), labels, {f'h{i}': labels for i in range(9)})
    samples.draw([sample, sample], dict(classes=['a', 'b'], palette=[[9, 8, 7], [1, 2, 3]]), tmp_path / 'samples.png')
    for name in ('curves.png', 'samples.png'):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 300
            assert len(np.unique(np.asarray(picture.convert('RGB')).reshape(-1, 3), axis=0)) > 3
