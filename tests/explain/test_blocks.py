"""The attention of blocks inside the backbone."""

import pytest
import torch

from mmseg_attn.common.errors import UserError
from mmseg_attn.explain import attention_maps, draw_figure, look, write_page
from tests.explain.models import model, picture
from tests.explain.test_view import SLIDE
from tests.helpers import randomize

FCN = dict(type='FCNHead', num_convs=1, concat_input=False)
BLOCK = 'backbone.layer2.0.non_local'


def with_block(type='NonLocal', blocks=((), (0,)), **options):
    return model(FCN, model__backbone__type='mmseg_attn.ResNetV1c', model__backbone__after_blocks=[
        dict(cfg=dict(type=f'mmseg_attn.{type}'), blocks=blocks)], **options)


def test_maps_are_those_of_the_block():
    segmentor = with_block()
    view = look(segmentor, picture(), block=BLOCK)
    inputs = []
    block = segmentor.get_submodule(BLOCK)
    handle = block.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    segmentor.extract_feat(view.windows[0].inputs)
    handle.remove()
    expected = block.attention_map(inputs[0], torch.tensor([[1, 2], [5, 7]]))[0]
    found = attention_maps(view, [(20, 10), (59, 43)])
    torch.testing.assert_close(found.values, expected)
    assert found.kind == 'attention'


def test_every_window_has_its_own():
    view = look(with_block(**SLIDE), picture(), block=BLOCK)
    assert len(view.windows) > 1
    crop = view.windows[1]
    alone = look(with_block_like(view), crop_of(view, crop), block=BLOCK)
    assert crop.block_input.shape[2:] == alone.windows[0].block_input.shape[2:]
    torch.testing.assert_close(crop.block_input, alone.windows[0].block_input, rtol=1e-4, atol=1e-4)


def with_block_like(view):
    other = with_block()
    other.load_state_dict(view.model.state_dict())
    return other


def crop_of(view, window):
    """The part of the picture that a window shows, in BGR."""
    height, width = window.inputs.shape[2:]
    left, top = int(window.x.start), int(window.y.start)
    return view.picture[top:top + height, left:left + width, ::-1].copy()


def test_page_and_figure_say_whose_attention_it_is(tmp_path):
    view = look(with_block(), picture(), 'fcn', block=BLOCK)
    samples, = write_page(tmp_path / 'page.html', [view], seconds=1)
    assert samples.kind == 'attention'
    text = (tmp_path / 'page.html').read_text()
    assert f'NonLocal {BLOCK}, FCNHead' in text
    assert '(NonLocal.attention_map)' in text
    draw_figure(tmp_path / 'figure.png', [view], [(5, 5)])
    assert (tmp_path / 'figure.png').stat().st_size


def test_a_block_inside_the_head():
    segmentor = model()
    ours, heads = look(segmentor, picture(), block='decode_head.attention'), look(segmentor, picture())
    torch.testing.assert_close(attention_maps(ours, [(5, 5)]).values, attention_maps(heads, [(5, 5)]).values)


@pytest.mark.parametrize(('type', 'block', 'message'), [
    ('NonLocal', 'backbone.layer2', f'backbone.layer2 is no block with an attention map; the model has {BLOCK}'),
    ('SE', 'backbone.layer2.0.se', r'backbone.layer2.0.se: SE has no map over pixels')])
def test_no_such_block(type, block, message):
    with pytest.raises(UserError, match=message):
        look(with_block(type), picture(), block=block)


def test_what_is_called_twice_cannot_be_shown():
    segmentor = with_block()
    segmentor.backbone.layer2[0].register_forward_hook(
        lambda module, inputs, output: segmentor.get_submodule(BLOCK)(output))
    with pytest.raises(UserError, match='sees every picture 2 times'):
        look(randomize(segmentor, std=0.1), picture(), block=BLOCK)
