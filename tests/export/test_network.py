import pytest
import torch

from mmseg_attn.common.errors import UserError
from mmseg_attn.export.network import Network
from mmseg_attn.export.preparation import preparation_of
from tests.export.models import in_channels, model

SIZE = (60, 77)


def _expected(segmentor, picture):
    """Logits by mmseg's own way from a BGR picture of bytes."""
    data = segmentor.data_preprocessor(dict(inputs=[picture]), False)
    with torch.no_grad():
        return segmentor.encode_decode(data['inputs'], [dict(img_shape=SIZE)])


@pytest.fixture
def picture():
    return torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8)


@pytest.mark.parametrize('options', [
    {}, dict(model__decode_head__align_corners=True),
    dict(model__data_preprocessor__bgr_to_rgb=False, model__data_preprocessor__mean=[104.0, 116.7, 122.7]),
    dict(model__data_preprocessor__mean=None, model__data_preprocessor__std=None)], ids=str)
def test_pictures_are_prepared_inside(picture, options):
    segmentor = model(**options)
    network = Network(segmentor, preparation_of(segmentor.cfg))
    logits = network(picture.flip(0).float()[None])
    torch.testing.assert_close(logits, _expected(segmentor, picture), rtol=1e-4, atol=1e-5)


def test_prepared_images(picture):
    segmentor = model()
    inputs = segmentor.data_preprocessor(dict(inputs=[picture]), False)['inputs']
    torch.testing.assert_close(Network(segmentor)(inputs), _expected(segmentor, picture))


def test_labels(picture):
    segmentor = model()
    data = segmentor.data_preprocessor(dict(inputs=[picture]), False)
    labels = Network(segmentor, argmax=True)(data['inputs'])
    assert labels.dtype == torch.int64
    assert torch.equal(labels, segmentor.predict(data['inputs'])[0].pred_sem_seg.data)


def test_labels_of_one_channel(picture):
    segmentor = model(model__decode_head__num_classes=2, model__decode_head__out_channels=1,
                      model__decode_head__threshold=0.5, model__decode_head__loss_decode__class_weight=None,
                      model__decode_head__loss_decode__use_sigmoid=True)
    data = segmentor.data_preprocessor(dict(inputs=[picture]), False)
    labels = Network(segmentor, argmax=True)(data['inputs'])
    assert torch.equal(labels, segmentor.predict(data['inputs'])[0].pred_sem_seg.data.long())
    assert 0 < labels.sum() < labels.numel()


@pytest.mark.parametrize('channels', [1, 5])
def test_other_than_three_channels(channels):
    segmentor = model(**in_channels(channels))
    picture = torch.randint(0, 256, (channels, *SIZE), dtype=torch.uint8)
    logits = Network(segmentor, preparation_of(segmentor.cfg))(picture.float()[None])
    torch.testing.assert_close(logits, _expected(segmentor, picture), rtol=1e-4, atol=1e-5)


def test_heads_without_logits(picture):
    segmentor = model('danet')
    segmentor.decode_head.train()
    with pytest.raises(UserError, match='DAHead gives tuple'):
        Network(segmentor)(picture.float()[None])


def test_other_kinds_of_models():
    with pytest.raises(UserError, match=r'one decode head.*Identity'):
        Network(torch.nn.Identity())
