"""Annotated TIFF of many bands, and the config that trains on it."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_attn.common.config_checks import check_config
from mmseg_attn.common.image_files import ImageFileError
from mmseg_attn.data_tools.annotations.bands import Bands, has_bands, measure, read_bands
from mmseg_attn.registry import MODELS
from tests.tools.command import fails_here, run_here

from .annotated import HEIGHT, SIZE, WIDTH, labelme, shape, write_image

CAT = shape('cat', 'rectangle', (1, 2), (6, 7))


def _values(seed: int, bands: int = 5, dtype: type = np.uint16) -> np.ndarray:
    values = np.random.default_rng(seed).normal(1000, 100, (HEIGHT, WIDTH, bands)) * (1 + np.arange(bands))
    return values.astype(dtype).squeeze()


def _tiff(values: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, **dict(photometric='minisblack', planarconfig='contig' if values.ndim == 3 else None)
                     | options)
    return out.getvalue()


def _folder(folder: Path, count: int = 4, bands: int = 5, dtype: type = np.uint16) -> Path:
    folder.mkdir()
    for i in range(count):
        (folder / f'{i}.tif').write_bytes(_tiff(_values(i, bands, dtype)))
        labelme(folder / f'{i}.json', [CAT], imagePath=f'{i}.tif')
    return folder


def _prepare(*arguments: object) -> None:
    run_here('prepare_data', 'labelme', *arguments, '--nproc', '1')


@pytest.mark.parametrize(('bands', 'dtype'), [(5, np.uint16), (4, np.uint16), (1, np.float32)])
def test_the_config_trains_on_them(tmp_path, monkeypatch, bands, dtype):
    monkeypatch.chdir(tmp_path)
    _folder(Path('a'), bands=bands, dtype=dtype)
    Path('val.txt').write_text('3\n')
    arguments = ['a', '--data-root', 'mine', '--write-config', 'mine.py', '--val', 'val.txt']
    for _ in range(2):  # the second time it compares
        _prepare(*arguments)
    for i in range(4):
        copied = Path('mine/images', 'val' if i == 3 else 'train', f'{i}.tif')
        assert copied.read_bytes() == Path(f'a/{i}.tif').read_bytes()
    cfg = Config.fromfile('mine.py')
    values = np.stack([_values(i, bands, dtype).reshape(-1, bands) for i in range(3)]).reshape(-1, bands).astype(float)
    preprocessor = cfg.model.data_preprocessor
    np.testing.assert_allclose(preprocessor.mean, values.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(preprocessor.std, values.std(axis=0), rtol=1e-5)
    assert cfg.model.backbone.in_channels == bands
    assert run_here('check_data', 'mine.py', '--out-dir', 'out', '--nproc', '1') == 0
    # One step of training, without the processes of a loader.
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    check_config(cfg, 'train_dataloader')
    model = MODELS.build(cfg.model).train()
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader)))
    data = model.data_preprocessor(batch, True)
    assert data['inputs'].shape == (2, bands, 64, 64)
    assert model.loss(**data)['decode.loss_ce'].isfinite()
    tested = DATASETS.build(cfg.test_dataloader.dataset)[0]
    assert model.eval().test_step(pseudo_collate([tested]))[0].pred_sem_seg.shape == (HEIGHT, WIDTH)


def test_colours_are_no_bands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i, values in enumerate((_values(0, 3, np.uint8), _values(0, 3), _values(0, 1, np.uint8), _values(0, 1))):
        data = _tiff(values, **dict(photometric='rgb') if values.ndim == 3 else {})
        assert not has_bands(data)
        Path(f'a{i}').mkdir()
        for name in '01':
            Path(f'a{i}/{name}.tif').write_bytes(data)
            labelme(Path(f'a{i}/{name}.json'), [CAT], imagePath=f'{name}.tif')
        _prepare(f'a{i}', '--data-root', f'mine{i}', '--write-config', f'mine{i}.py')
        cfg = Config.fromfile(f'mine{i}.py')
        assert cfg.train_pipeline[0] == dict(type='LoadImageFromFile')
        assert cfg.model.backbone.get('in_channels', 3) == 3
    out = io.BytesIO()
    Image.new('RGBA', SIZE).save(out, 'TIFF')
    assert not has_bands(out.getvalue())
    assert not has_bands(b'II*\0 damaged')


@pytest.mark.parametrize(('bands', 'dtype'), [(2, np.uint16), (3, np.float32), (1, np.int16), (1, np.uint32),
                                              (4, np.uint8)])
def test_what_else_is_no_picture(bands, dtype):
    data = _tiff(_values(0, bands, dtype))
    assert has_bands(data)
    np.testing.assert_array_equal(read_bands(data), _values(0, bands, dtype).reshape(HEIGHT, WIDTH, bands))


def test_the_numbers_of_several_images():
    parts = [_values(i, 3, np.float32) for i in range(2)]
    parts[1][0, 0, 1], parts[1][..., 2], parts[0][..., 2] = np.nan, 7, 7
    total = measure(parts[0]) + measure(parts[1])
    assert isinstance(total, Bands)
    assert not total.finite
    values = np.stack(parts).astype(float).reshape(-1, 3)
    np.testing.assert_allclose(total.mean, np.nanmean(values, axis=0))
    np.testing.assert_allclose(total.std, [*np.nanstd(values, axis=0)[:2], 1])


def test_values_that_are_not_finite_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _folder(Path('a'))
    values = _values(1, 5, np.float32)
    values[0, 0, 0] = np.nan
    Path('a/1.tif').write_bytes(_tiff(values))
    _prepare('a', '--data-root', 'mine')
    assert ('Note: images with values that are not finite, with which no network can be trained: 1, such as a/1.tif'
            in capsys.readouterr().out)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda: Path('a/1.tif').write_bytes(_tiff(np.moveaxis(_values(1), 2, 0), planarconfig='separate')),
     'a/1.json: the image a/1.tif has the axes SYX of 5 x 9 x 13, and bands must be in the last one: save it as YXS, '
     'which GDAL calls INTERLEAVE=PIXEL. "Images of other kinds" in docs/your_own_data.md says more'),
    (lambda: Path('a/1.tif').write_bytes(_tiff(_values(1))[:-20]), 'a/1.tif failed to read'),
    (lambda: Path('a/1.tif').write_bytes(_tiff(_values(1, 4))),
     'a/0.tif is a TIFF of 5 bands, and a/1.tif a TIFF of 4 bands: a network takes images of one kind'),
    (lambda: Image.new('RGB', SIZE).save('a/1.tif'),
     'a/0.tif is a TIFF of 5 bands, and a/1.tif of grey or colours: a network takes images of one kind'),
    (lambda: (write_image(Path('a/1.png')), labelme(Path('a/1.json'), [CAT])),
     'a/0.tif has pixels of the kind TIFF of bands, and the images are of several formats'),
    (lambda: Path('a/1.tif').write_bytes(_tiff(_values(1)[:5])), 'and a/1.tif has 13 x 5: the annotations are of'),
    (lambda: (Path('a/1.npy').write_bytes(b''), labelme(Path('a/1.json'), [CAT], imagePath='1.npy')),
     '.ppm. "Images of other kinds" in docs/your_own_data.md says how to train on others')])
def test_what_is_refused(tmp_path, monkeypatch, capsys, change, message):
    monkeypatch.chdir(tmp_path)
    _folder(Path('a'))
    change()
    assert message in fails_here(capsys, 'prepare_data', 'labelme', 'a', '--data-root', 'mine', '--nproc', '1')
    assert not Path('mine').exists()


def test_values_that_no_network_takes():
    with pytest.raises(ImageFileError, match='has values of the type complex64'):
        read_bands(_tiff(_values(0).astype(np.complex64)))


def test_without_tifffile(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _folder(Path('a'))
    monkeypatch.setitem(sys.modules, 'tifffile', None)
    monkeypatch.setattr('mmseg_attn.data_tools.annotations.bands.find_spec', lambda name: None)
    message = fails_here(capsys, 'prepare_data', 'labelme', 'a', '--data-root', 'mine', '--nproc', '1')
    assert ('a/0.tif is no image that Pillow can read. TIFF of many bands or fractions is read after pip install '
            'tifffile: "Images of other kinds" in docs/your_own_data.md') in message
