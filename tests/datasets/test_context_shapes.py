import multiprocessing
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from mmseg_attn.datasets import context_shapes
from mmseg_attn.datasets.context_shapes import MARKER, ContextShapesDataset, generate_if_needed
from mmseg_attn.datasets.shapes_drawing import KEY_DISTANCE, KEY_LABEL, draw_image
from mmseg_attn.registry import MODELS

RECEPTIVE_FIELD = 119  # pixels a side of one logit of the backbone with fcn_r18_shapes' head, before upsampling


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(context_shapes, 'CONTENT', dict(version=1, train=6, val=3))


def _influence(model, row, column) -> torch.Tensor:
    """Which pixels of the image the upsampled logits at one pixel depend on."""
    image = torch.randn(1, 3, 320, 320, requires_grad=True)
    logits = model.decode_head(model.backbone(image))
    logits = torch.nn.functional.interpolate(logits, size=image.shape[2:], mode='bilinear')
    logits[0, :, row, column].abs().sum().backward()
    return (image.grad[0] != 0).any(0)


@pytest.mark.parametrize(('head', 'field'), [(dict(), RECEPTIVE_FIELD), (dict(num_convs=2, concat_input=True), 151)])
def test_no_fcn_head_sees_the_key_from_a_shape(head, field):
    init_default_scope('mmseg')
    config = Config.fromfile('configs/fcn_r18_shapes.py').model
    config.decode_head.update(head)
    model = MODELS.build(config).double().float().eval()
    for parameter in model.parameters():
        # Positive everywhere, so that no path is switched off by a ReLU or cancelled by another.
        parameter.data = parameter.data.abs() + 1e-3
    reach = 0
    for row, column in ((160, 160), (163, 157), (156, 164)):
        rows, columns = _influence(model, row, column).nonzero().T
        reach = max(reach, *(int((at - centre).abs().max()) for at, centre in ((rows, row), (columns, column))))
        assert field <= int(rows.max() - rows.min()) + 1 <= field + 16
    assert reach < KEY_DISTANCE


def test_every_shape_is_farther_from_the_key_than_that():
    for seed in range(100):
        label = draw_image(np.random.RandomState(seed))[1]
        shapes, key = (np.argwhere(mask) for mask in ((label > 0) & (label < KEY_LABEL), label == KEY_LABEL))
        distance = np.abs(shapes[:, None] - key[None, ::19]).max(-1)
        assert distance.min() > KEY_DISTANCE
        assert len(key) == 400


def test_the_class_is_the_colour_of_the_key():
    classes = set()
    for seed in range(30):
        image, label = draw_image(np.random.RandomState(seed))
        present = set(np.unique(label)) - {0, KEY_LABEL}
        assert len(present) == 1
        assert present == {1 + image[label == KEY_LABEL].mean(0).argmax()}
        shape_pixels = image[(label > 0) & (label < KEY_LABEL)]
        assert (shape_pixels.min(1) == shape_pixels.max(1)).all()
        classes |= present
    assert classes == {1, 2, 3}


def test_drawn_on_first_use_the_same_every_time(tmp_path, small):
    dataset = ContextShapesDataset(data_root=str(tmp_path / 'a'))
    assert len(dataset) == 6
    assert len(ContextShapesDataset(data_root=str(tmp_path / 'a'), ann_file='ImageSets/Segmentation/val.txt')) == 3
    generate_if_needed(tmp_path / 'b')
    for path in sorted((tmp_path / 'a').glob('*/*.png')):
        assert path.read_bytes() == (tmp_path / 'b' / path.relative_to(tmp_path / 'a')).read_bytes()
    label = np.array(Image.open(dataset[0]['seg_map_path']))
    assert set(np.unique(label)) <= {0, 1, 2, 3, 4}


def test_nothing_is_drawn_to_look_at_a_config(tmp_path, small):
    dataset = ContextShapesDataset(data_root=str(tmp_path / 'data'), lazy_init=True, pipeline=[])
    assert not (tmp_path / 'data').exists()
    dataset.full_init()
    assert len(dataset) > 0


def test_an_interrupted_generation_is_redone(tmp_path, small, monkeypatch):
    root = tmp_path / 'shapes'

    def interrupt(*_):
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(context_shapes, 'draw_image', interrupt)
        with pytest.raises(KeyboardInterrupt):
            generate_if_needed(root)
    assert not root.exists()
    generate_if_needed(root)
    assert len(list(root.glob('JPEGImages/*'))) == 9
    for damage in (lambda: next(root.glob('JPEGImages/*')).unlink(),
                   lambda: next(root.glob('SegmentationClass/*')).write_bytes(b''),
                   lambda: shutil.rmtree(root / 'ImageSets'),
                   lambda: (root / MARKER).write_text('')):
        damage()
        generate_if_needed(root)
        assert all(path.stat().st_size for path in root.rglob('*.*'))
        assert len(list(root.glob('*/*.png'))) == 18
        assert len(list(root.glob('ImageSets/Segmentation/*.txt'))) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ['shapes', 'shapes.lock']


def test_a_folder_with_other_content_is_left_alone(tmp_path, small):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'photo.png').write_text('precious')
    with pytest.raises(ValueError, match='not a ContextShapes data set'):
        generate_if_needed(tmp_path / 'mine')
    assert (tmp_path / 'mine' / 'photo.png').read_text() == 'precious'


def test_several_processes_may_start_at_once(tmp_path, small):
    processes = [multiprocessing.get_context('fork').Process(target=generate_if_needed, args=(tmp_path / 'shapes',))
                 for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / 'shapes' / MARKER).exists()
    assert not (tmp_path / 'shapes.partial').exists()
    shutil.rmtree(tmp_path / 'shapes')
