"""A wheel works installed, outside the checkout."""

import shutil
import subprocess
import sys

import pytest

from tests.tools.command import FEW, ROOT, environment, succeeds


@pytest.mark.slow
def test_the_wheel_works_on_its_own(tmp_path, shapes_root):
    source, site = tmp_path / 'source', tmp_path / 'site'
    files = subprocess.run(['git', 'ls-files'], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split('\n')
    for name in filter(None, files):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    dist = str(tmp_path / 'dist')
    for command in (['-m', 'build', '--no-isolation', '--outdir', dist, str(source)],
                    ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', str(site), '--no-index',
                     '--find-links', dist, 'mmseg-attn']):
        succeeds(subprocess.run([sys.executable, *command], capture_output=True, text=True))
    mim = site / 'mmseg_attn' / '.mim'
    for folder in ('configs', 'tools'):
        shipped = {p.relative_to(mim) for p in (mim / folder).rglob('*')
                   if p.is_file() and p.suffix != '.pyc'}
        assert shipped == {p.relative_to(source) for p in (source / folder).rglob('*') if p.is_file()}
    assert not (site / 'tests').exists()
    assert (site / 'mmseg_attn' / 'py.typed').exists()

    elsewhere = tmp_path / 'elsewhere'
    (elsewhere / 'data').mkdir(parents=True)
    (elsewhere / 'data' / 'context_shapes').symlink_to(shapes_root)

    def run(*words):
        environment_ = environment(PYTHONPATH=str(site), MMSEG_ATTN_TRACEBACK='1')
        return succeeds(subprocess.run([sys.executable, *map(str, words)], cwd=elsewhere, env=environment_,
                                       capture_output=True, text=True))
    few = ['--cfg-options', *FEW, 'val_dataloader.dataset.indices=2']
    assert 'mIoU:' in run(mim / 'tools/train.py', mim / 'configs/emanet_r18_shapes.py', *few)
    # What pip makes of the entry point in pyproject.toml.
    command, = (site / 'bin').glob('mmseg-attn*')
    assert run(command, 'configs', 'emanet_r18_shapes') == 'emanet_r18_shapes\n'
    assert 'mIoU:' in run(command, 'train', 'emanet_r18_shapes', '--work-dir', 'work', *few)
    assert '\nmIoU ' in run(command, 'test', 'emanet_r18_shapes', 'work/iter_4.pth', '--cfg-options',
                            'test_dataloader.dataset.indices=2')
    page = run(command, 'explore_attention', 'emanet_r18_shapes', 'work/iter_4.pth',
               'data/context_shapes/JPEGImages/val_0003.png', '--out', 'pages', '--seconds', '0.1')
    assert 'pages/val_0003.html: ' in page
