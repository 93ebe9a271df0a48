"""The metric from samples to the files of the report."""

import csv
import pickle

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_attn.analysis import AnalysisMetric, metric
from mmseg_attn.analysis.metric import confidence_of
from mmseg_attn.common.errors import UserError
from tests.analysis import naive
from tests.analysis.test_counts import CLASSES, IGNORE, maps

NAMES = 'sky', 'road', 'car, large', 'moose'
PALETTE = [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]


def sample(folder, seed, logits=True):
    label, prediction = maps(seed)
    path = folder / f'{seed}.png'
    Image.fromarray(np.zeros((*label.shape, 3), np.uint8)).save(path)
    found = SegDataSample(metainfo=dict(img_path=str(path)))
    found.gt_sem_seg = PixelData(data=torch.tensor(label)[None])
    found.pred_sem_seg = PixelData(data=torch.tensor(prediction)[None])
    if logits:
        values = torch.randn(CLASSES, *label.shape, generator=torch.Generator().manual_seed(seed))
        found.seg_logits = PixelData(data=values)
    return found.to_dict() | found.metainfo


def build(folder, **options):
    found = AnalysisMetric(str(folder), **options)
    found.dataset_meta = dict(classes=NAMES, palette=PALETTE)
    return found


def rows(path):
    return list(csv.reader(path.read_text().splitlines()))


def test_the_report_has_the_numbers_of_all_images(tmp_path):
    analysis = build(tmp_path / 'report', worst=2)
    for seed in range(4):
        analysis.process({}, [sample(tmp_path, seed)])
    metrics = analysis.evaluate(4)
    expected = sum(naive.confusion(*maps(seed), IGNORE, CLASSES) for seed in range(4))
    table = rows(tmp_path / 'report' / 'confusion.csv')
    assert table[0] == ['label', *NAMES]
    assert np.array_equal(np.array([row[1:] for row in table[1:]], int), expected)
    right = np.diagonal(expected)
    values = rows(tmp_path / 'report' / 'classes.csv')
    for index, row in enumerate(values[1:4]):
        assert [row[1], row[3], row[4]] == [f'{100 * right[index] / n:.2f}' for n in (
            expected[index].sum() + expected[:, index].sum() - right[index], expected[:, index].sum(),
            expected[index].sum())]
    assert values[4][3:5] == ['0.00', '-']  # the moose: predicted, and in no label
    images = [float(row[1]) for row in rows(tmp_path / 'report' / 'images.csv')[1:]]
    assert len(images) == 4
    assert images == sorted(images)
    assert sorted(path.name for path in (tmp_path / 'report').glob('worst_*')) == ['worst_01.png', 'worst_02.png']
    page = (tmp_path / 'report' / 'report.html').read_text()
    assert page.count('<img') == 5
    assert 'car, large' in page
    assert f'{metrics["boundary_mIoU"]:.2f}' in page
    assert f'{metrics["ECE"]:.2f}' in page
    assert not analysis.images  # for another test


def test_without_logits_there_is_no_calibration(tmp_path):
    analysis = build(tmp_path / 'report')
    analysis.process({}, [sample(tmp_path, 0, logits=False), sample(tmp_path, 1, logits=False)])
    assert list(analysis.evaluate(2)) == ['boundary_mIoU']
    assert not (tmp_path / 'report' / 'calibration.csv').exists()
    assert 'Calibration' not in (tmp_path / 'report' / 'report.html').read_text()


def test_only_the_worst_images_are_kept(tmp_path):
    analysis = build(tmp_path, worst=2)
    for seed in range(6):
        analysis.process({}, [sample(tmp_path, seed)])
    assert len(analysis.worst_maps) == 2
    assert len(pickle.dumps(analysis.images)) < 1000


@pytest.mark.parametrize('size', [4, 5])
def test_several_processes_equal_one(size, tmp_path, monkeypatch):
    """The sampler gives process 1 image 0 once more where five images are shared by two."""
    one = build(tmp_path / 'one', worst=1)
    for seed in range(size):
        one.process({}, [sample(tmp_path, seed)])
    expected = one.evaluate(size)
    processes = [build(tmp_path / 'two', worst=1) for _ in range(2)]
    for rank, process in enumerate(processes):
        for seed in [*range(rank, size, 2)] or [0]:
            process.process({}, [sample(tmp_path, seed)])
    if size % 2:
        processes[1].process({}, [sample(tmp_path, 0)])
    sent = []
    monkeypatch.setattr(metric, 'get_world_size', lambda: 2)
    monkeypatch.setattr(metric, 'all_gather_object', lambda part: [*sent, part])
    monkeypatch.setattr(metric, 'broadcast_object_list', lambda values: values)
    for rank in 1, 0:  # process 0 writes when it has what process 1 has counted
        monkeypatch.setattr(metric, 'get_rank', lambda rank=rank: rank)
        part = processes[rank]
        if rank == 1:
            monkeypatch.setattr(part, '_finish', lambda parts: sent.append(parts[-1]) or {})
        found = part.evaluate(size)
    assert found == expected
    for name in 'confusion.csv', 'images.csv', 'trimap.csv', 'components.csv', 'calibration.csv':
        assert (tmp_path / 'two' / name).read_text() == (tmp_path / 'one' / name).read_text()


def test_confidence():
    logits = torch.tensor([[0.0, 2.0], [0.0, -1.0]])[..., None]
    expected = [0.5, 1 / (1 + np.exp(-3))]
    np.testing.assert_allclose(confidence_of(logits, False)[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(confidence_of(logits.softmax(0), True)[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(confidence_of(torch.tensor([[[0.2, 0.7]]]), False), [[0.8, 0.7]], rtol=1e-6)


def test_images_that_only_the_pipeline_reads_and_ignored_images(tmp_path):
    analysis = build(tmp_path / 'report')
    other = sample(tmp_path, 0)
    other['img_path'] = str(tmp_path / 'bands.npy')
    ignored = sample(tmp_path, 1)
    ignored['gt_sem_seg']['data'][:] = IGNORE
    analysis.process({}, [other, ignored])
    analysis.evaluate(2)
    assert rows(tmp_path / 'report' / 'images.csv')[2][1:] == ['-', '-']


def test_images_without_labels_are_refused(tmp_path):
    unlabelled = sample(tmp_path, 0)
    del unlabelled['gt_sem_seg']
    with pytest.raises(UserError, match=r'--analyse needs labels, and .*0\.png has none'):
        build(tmp_path / 'report').process({}, [unlabelled])
