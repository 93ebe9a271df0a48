"""tools/compare.py trains what is asked for, once, and reports it."""

import json
import shutil
from functools import partial

import pytest

from mmseg_attn.common.errors import UserError
from tests.tools.command import CONFIGS, run_here, succeeds, tool

OPTIONS = ['--cfg-options', 'train_dataloader.batch_size=1', 'val_dataloader.dataset.indices=2',
           'model.decode_head.norm_cfg=None', 'default_hooks.logger.interval=5',
           'param_scheduler.0.end=10', 'param_scheduler.1.begin=10',
           'model.backbone.stem_channels=8', 'model.backbone.base_channels=8', 'model.decode_head.in_channels=16']


def _compare(folder, *arguments):
    return tool('compare.py', *arguments, cwd=folder)


@pytest.fixture
def folder(tmp_path, shapes_root):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'context_shapes').symlink_to(shapes_root)
    return tmp_path


@pytest.mark.slow
def test_a_report_of_heads_and_seeds_that_goes_on_where_it_stopped(folder):
    arguments = ['--methods', 'fcn', 'glore', '--iters', 31, '--samples', 1]
    results = folder / 'work_dirs' / 'compare_shapes'
    first = succeeds(_compare(folder, *arguments, *OPTIONS))
    assert 'the noise is not known' in (results / 'README.md').read_text()
    log = results / 'fcn' / 'seed0' / 'train.log'
    written = log.stat().st_mtime_ns
    # As if glore's training had been interrupted after its last checkpoint, and with one more seed.
    before = json.loads((results / 'glore' / 'seed0' / 'result.json').read_text())
    (results / 'glore' / 'seed0' / 'result.json').unlink()
    second = succeeds(_compare(folder, *arguments, '--seeds', 0, 1, *OPTIONS))
    assert log.stat().st_mtime_ns == written
    assert (results / 'glore' / 'seed0' / 'train.log').read_text().count('Iter(train) [31/31]') <= 1
    runs = {(head, seed): json.loads((results / head / f'seed{seed}' / 'result.json').read_text())
            for head in ('fcn', 'glore') for seed in (0, 1)}
    assert runs['glore', 0] == before
    for (head, seed), run in runs.items():
        assert f'{head}, seed {seed}: mIoU {run["miou"]:.2f} after 31 iterations' in second
        assert run['curve'] == [[31, run['miou']]]
        assert len(run['losses']) == 6
        assert run['classes']['background'] > 10
    assert f'fcn, seed 0: mIoU {runs["fcn", 0]["miou"]:.2f}' in first
    text = (results / 'README.md').read_text()
    for head in ('fcn', 'glore'):
        scores = [runs[head, seed]['miou'] for seed in (0, 1)]
        assert f'| {head} | {sum(scores) / 2:.2f} |' in text
        assert f'| {scores[0]:.2f} {scores[1]:.2f} | 31 |' in text
    assert 'pooled over all heads, 2 degrees of freedom' in text
    page = (results / 'report.html').read_text()
    assert page.count('data:image/png;base64,') == 2
    # Without its checkpoints a training counts, and has no predictions.
    for path in results.glob('glore/*/*'):
        if path.name not in ('config.py', 'result.json'):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    succeeds(_compare(folder, *arguments, '--seeds', 0, 1, *OPTIONS))
    assert {path.name for path in results.glob('glore/*/*')} == {'config.py', 'result.json'}
    rows = [next(line for line in of_report.splitlines() if line.startswith("| glore |")).split('|')[1:9]
            for of_report in (text, (results / 'README.md').read_text())]
    assert rows[0] == rows[1]
    assert (results / 'report.html').read_text().count('data:image/png;base64,') == 2
    assert json.loads((results / 'results.json').read_text())['costs']['fcn']['head_parameters'] == (
        16 * 64 * 9 + 64 + 5 * 65)


@pytest.mark.slow
def test_one_that_fails_does_not_stop_the_others(folder):
    broken = folder / 'broken.py'
    broken.write_text(f"_base_ = r'{CONFIGS}/fcn_r18_shapes.py'\nmodel = dict(decode_head=dict(num_convs=-1))\n")
    fcn = CONFIGS / 'fcn_r18_shapes.py'
    run = _compare(folder, '--configs', broken, fcn, '--iters', 31, '--samples', 0, '--work-dir', 'out', *OPTIONS)
    assert run.returncode == 1, run.stdout + run.stderr
    text = (folder / 'out' / 'README.md').read_text()
    assert '| fcn_r18_shapes |' in text
    assert 'broken is missing or has fewer seeds: seed 0 failed' in text


@pytest.fixture
def main(tmp_path, monkeypatch):
    """The tool inside this process, as its errors come before any work."""
    monkeypatch.chdir(tmp_path)
    return partial(run_here, 'compare')


def test_a_training_with_other_settings_is_refused(tmp_path, main):
    results = tmp_path / 'work_dirs' / 'compare_shapes' / 'fcn' / 'seed0'
    results.mkdir(parents=True)
    (results / 'config.py').write_text('train_cfg = dict(max_iters=7)\n')
    with pytest.raises(UserError, match='holds a training with other settings'):
        main('--methods', 'fcn')


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--methods', 'glorious'], 'no config for glorious; --methods takes a2net'),
    (['--iters', '100'], 'more than the 120 of the warm-up'),
    (['--iters', '0'], 'at least 1, got 0'),
    (['--seeds', '1', '1'], 'different numbers from 0, got 1 1'),
    ([], r'a2net_blocks and ccnet differ in train_cfg\.max_iters, param_scheduler\.'),
    (['--configs', 'gone.py'], r'no config file gone\.py'),
    (['--configs', 'gone.py', '--methods', 'fcn'], 'takes the place of'),
    (['--data', 'camvid', '--methods', 'fcn'], r'prepare_data camvid prepares it')])
def test_wrong_arguments(main, arguments, message):
    with pytest.raises(UserError, match=message):
        main(*arguments)
