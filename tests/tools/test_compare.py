"""tools/compare.py trains what is asked for, once."""

import json
import subprocess
import sys

import pytest

from tests.tools.command import ROOT, environment, fails, succeeds


def _compare(folder, *arguments):
    return subprocess.run([sys.executable, str(ROOT / 'tools' / 'compare.py'), *arguments], cwd=folder,
                          capture_output=True, text=True, env=environment())


@pytest.fixture
def folder(tmp_path, shapes_root):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'context_shapes').symlink_to(shapes_root)
    return tmp_path


@pytest.mark.slow
def test_a_table_of_all_heads_that_is_not_computed_twice(folder):
    arguments = ['--methods', 'fcn', 'glore', '--iters', '121', '--cfg-options', 'train_dataloader.batch_size=1',
                 'val_dataloader.dataset.indices=2', 'model.decode_head.norm_cfg=None']
    run = _compare(folder, *arguments)
    succeeds(run)
    results = folder / 'work_dirs' / 'compare_shapes'
    rows = {name: json.loads((results / f'{name}-121-seed0.json').read_text()) for name in ('fcn', 'glore')}
    assert rows['fcn']['options'] == arguments[6:]
    assert rows['fcn']['head_parameters'] == 128 * 64 * 9 + 64 + 5 * 65  # of the model with the options
    table = (results / 'README.md').read_text()
    for name, row in rows.items():
        assert f'| {name} | {row["mIoU"]:.1f} | 121 |' in table
        assert f'{name}: mIoU {row["mIoU"]:.1f} after 121 iterations' in run.stdout
    log = results / 'fcn-121-seed0' / 'train.log'
    written = log.stat().st_mtime_ns
    assert _compare(folder, *arguments).stdout == run.stdout
    assert log.stat().st_mtime_ns == written


def test_other_options_are_another_comparison(folder):
    results = folder / 'work_dirs' / 'compare_shapes'
    results.mkdir(parents=True)
    row = dict(mIoU=45.3, iters=400, options=['train_dataloader.batch_size=4'], seconds_per_iter=None, minutes=1.0,
               head_parameters=8)
    (results / 'fcn-400-seed0.json').write_text(json.dumps(row))
    assert 'was trained with the options' in fails(_compare(folder, '--methods', 'fcn'))
    run = _compare(folder, '--methods', 'fcn', '--cfg-options', 'train_dataloader.batch_size=4')
    assert '| fcn | 45.3 | 400 |' in succeeds(run)


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--methods', 'glorious'], 'no config for glorious; --methods takes a2net'),
    (['--iters', '100'], 'more than the 120 of the warm-up, got 100'),
    (['--iters', '0'], 'more than the 120 of the warm-up, got 0')])
def test_wrong_arguments(folder, arguments, message):
    result = _compare(folder, *arguments)
    assert result.returncode != 0
    assert message in result.stderr + result.stdout
    assert 'Traceback' not in result.stderr
