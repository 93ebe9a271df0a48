"""What reaches the network is the same, to the bit, whichever command reads the image."""

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmseg.apis import MMSegInferencer, init_model
from mmseg.registry import DATASETS

from mmseg_attn.benchmark.parts import flops_by_part, padded_size
from mmseg_attn.common.config import input_channels
from mmseg_attn.common.config_checks import check_config
from mmseg_attn.common.drawing import Painter
from mmseg_attn.data_tools.check import DataCheck
from mmseg_attn.data_tools.findings import Level
from mmseg_attn.data_tools.overlays import choose, overlay
from mmseg_attn.data_tools.pairs import decode_image, decode_label
from mmseg_attn.datasets.reading_errors import name_files_in_errors
from mmseg_attn.explain import look
from mmseg_attn.inference.prediction import Predictor
from tests.helpers import randomize

from .kinds import KINDS, config_of, write_files


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def files(kind, tmp_path):
    return write_files(kind, tmp_path)


@pytest.fixture
def cfg(kind, files, tmp_path):
    return config_of(kind, tmp_path)


@pytest.fixture
def model(cfg):
    check_config(cfg, 'train_dataloader', 'test_dataloader')
    built = randomize(init_model(cfg, device='cpu'))
    built.dataset_meta = dict(cfg.test_dataloader.dataset.metainfo)
    return built


@pytest.fixture
def seen(model):
    """The images that the network has got."""
    images = []
    model.backbone.register_forward_pre_hook(lambda module, inputs: images.append(inputs[0].clone()))
    return images


@pytest.fixture
def tested(cfg, model, seen):
    """The labels that testing gives; what the network has seen of it comes first."""
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    name_files_in_errors(dataset, input_channels(cfg.model))
    data = pseudo_collate([dataset[0]])
    return model.test_step(data)[0].pred_sem_seg.data[0].numpy()


def test_same_input(kind, cfg, files, model, tested, seen):
    predictor = Predictor(model)
    picture = predictor.reader.load(files[0])
    labels = predictor(picture).labels
    view = look(model, files[0])
    assert [len(images) for images in seen] == [1, 1, 1]
    assert seen[0].shape[1] == kind.channels
    assert all(torch.equal(other, seen[0]) for other in seen[1:])
    assert np.array_equal(labels, tested)
    assert np.array_equal(view.labels.numpy(), tested)
    # What people see has the size of the labels, and is not black.
    shown = Painter(**model.dataset_meta, legend=False)(picture.pixels, labels)
    assert view.picture.shape == shown.shape == (*labels.shape, 3)
    assert view.picture.std() > 20
    check = DataCheck(cfg, 1)
    check.run(['test'])
    assert check.count(Level.ERROR) == 0, check.findings
    [*_, (data, content)] = choose(check.samples('test'))
    sheet, _ = overlay(decode_image(content.pair), decode_label(content.pair), data.class_map)
    assert sheet.shape == shown.shape


@pytest.mark.parametrize('kind', [KINDS[name] for name in ('grey', 'colour', 'transparency', 'bands')], indirect=True,
                         ids=lambda kind: f'{kind.channels} channels')
def test_flops(cfg, model):
    channels = input_channels(cfg.model)
    assert flops_by_part(model, padded_size(model, (64, 64), channels), channels)[''] > 0


@pytest.mark.slow
def test_mmsegs_inferencer(kind, cfg, files, model, tested, seen, tmp_path):
    if not kind.inferencer:
        pytest.skip('mmseg knows LoadImageFromFile by this name only')
    cfg.dump(tmp_path / 'config.py')
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=model.dataset_meta)), tmp_path / 'w.pth')
    inferencer = MMSegInferencer(str(tmp_path / 'config.py'), str(tmp_path / 'w.pth'), device='cpu')
    inferencer.model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    assert np.array_equal(inferencer(str(files[0]))['predictions'], tested)
    assert torch.equal(seen[1], seen[0])
