import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
import torch
import torch.distributed as dist
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from mmseg_attn.attention.emanet import ExpectationMaximizationAttention, em_attention
from tests.attention.oracles import unflatten
from tests.attention.variants import CHANNELS, NORMS, WIDTHS, any_options
from tests.helpers import GOLDEN, assert_matches_golden, randomize, rename
from tests.naive import emanet as naive

OFFICIAL = {'mu': 'bases', 'conv1': 'in_conv', 'conv2.0': 'out_conv', 'conv2.1': 'norm'}
BLOCKS = {
    '': partial(ExpectationMaximizationAttention, CHANNELS, num_bases=6),
    'renormalized': partial(ExpectationMaximizationAttention, CHANNELS, num_bases=6, renormalize_bases=True),
}
HEADS = {'EMAHead': [dict(ema_channels=8, num_bases=6), dict(ema_channels=8, concat_input=True)]}


def oracle(block, x):
    bases, responsibilities = naive.em_attention(block.in_conv(x)[0].flatten(1), block.bases[0], block.num_stages)
    reconstruction = unflatten(responsibilities @ bases.T, x)
    return block.act(x + block.norm(block.out_conv(block.act(reconstruction))))


PROPERTIES = {
    '': any_options(
        ExpectationMaximizationAttention, oracle, num_bases=WIDTHS,
        num_stages=st.integers(1, 3), norm_layer=NORMS),
}


def _block(**kwargs):
    return randomize(ExpectationMaximizationAttention(8, num_bases=5, **kwargs))


@pytest.mark.parametrize('num_stages', [1, 3])
def test_em_equals_the_loops(num_stages):
    x = torch.randn(2, 4, 7, dtype=torch.float64)
    start = torch.nn.functional.normalize(torch.randn(1, 4, 3, dtype=torch.float64), dim=1)
    bases, responsibilities = em_attention(x, start, num_stages)
    for b in range(2):
        expected_bases, expected_responsibilities = naive.em_attention(x[b], start[0], num_stages)
        torch.testing.assert_close(bases[b], expected_bases)
        torch.testing.assert_close(responsibilities[b], expected_responsibilities)


def test_official_output_and_gradients(golden):
    assert_matches_golden(ExpectationMaximizationAttention(16, num_bases=6), golden('emanet_emau'), OFFICIAL)


def test_official_training_step(golden):
    official = golden('emanet_emau')
    step = official['train_step']
    block = ExpectationMaximizationAttention(
        16, num_bases=6, norm_layer=lambda c: torch.nn.BatchNorm2d(c, momentum=3e-4))
    block.load_state_dict(rename(official['state_dict'], OFFICIAL))
    torch.testing.assert_close(block.train()(step['input']), step['output'], **GOLDEN)
    torch.testing.assert_close(block.bases, step['mu_after'], **GOLDEN)
    for name, value in rename(step['bn_running_after'], OFFICIAL).items():
        torch.testing.assert_close(block.state_dict()[name], value, **GOLDEN)


def test_bases_change_only_in_training_with_gradients():
    block, x = _block(), torch.randn(2, 8, 5, 6)
    before, address = block.bases.clone(), block.bases.data_ptr()
    block.eval()(x)
    with torch.no_grad():
        block.train()(x)
    assert torch.equal(block.bases, before)
    block(x)
    once = block.bases.clone()
    assert not torch.equal(once, before)
    block(x)
    assert not torch.equal(block.bases, once)
    assert block.bases.data_ptr() == address


@pytest.mark.parametrize('use_reentrant', [False, True])
def test_activation_checkpointing_changes_nothing(use_reentrant):
    plain = _block().train()
    checkpointed = copy.deepcopy(plain)
    for _ in range(3):
        x = torch.randn(2, 8, 5, 6)
        gradients = []
        for run in (plain, lambda x: checkpoint(checkpointed, x, use_reentrant=use_reentrant)):
            x_leaf = x.clone().requires_grad_()
            run(x_leaf).square().sum().backward()
            gradients.append(x_leaf.grad)
        torch.testing.assert_close(gradients[1], gradients[0])
        torch.testing.assert_close(checkpointed.bases, plain.bases)
    for (name, a), b in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        if a.requires_grad:
            torch.testing.assert_close(b.grad, a.grad, msg=name)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_bases_stay_float32_in_half_precision(dtype):
    block, x = _block().train(), torch.randn(2, 8, 5, 6)
    reference = copy.deepcopy(block)
    with torch.autocast('cpu', dtype):
        block(x)
    reference(x)
    assert block.bases.dtype == torch.float32
    torch.testing.assert_close(block.bases, reference.bases, rtol=0, atol=2e-3)
    before = block.bases.clone()
    block.to(dtype)
    assert block.bases.dtype == torch.float32
    assert torch.equal(block.bases, before)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_keeps_the_bases_of_many_pixels(dtype):
    """A basis sums thousands of pixels, and float16 ends at 65,504."""
    block, x = _block().train(), 20 + torch.rand(1, 8, 199, 201).to(dtype)
    torch.nn.init.dirac_(block.in_conv.weight)
    torch.nn.init.zeros_(block.in_conv.bias)
    exact = copy.deepcopy(block).double()
    with torch.autocast('cpu', dtype):
        out = block._reconstruct(x)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), exact._reconstruct(x.double()), rtol=2 * torch.finfo(dtype).eps, atol=0)
    torch.testing.assert_close(block.bases.double(), exact.bases, rtol=1e-4, atol=1e-6)


def _on_two_ranks(monkeypatch, run):
    """``[run(0), run(1)]`` in two threads, between which gloo works as between processes."""
    store, this = dist.HashStore(), threading.local()

    def start(rank):
        this.group = dist.ProcessGroupGloo(store, rank, 2, timedelta(seconds=60))
        return run(rank)

    monkeypatch.setattr(dist, 'is_initialized', lambda: True)
    monkeypatch.setattr(dist, 'get_world_size', lambda: 2)
    monkeypatch.setattr(dist, 'all_reduce', lambda tensor: this.group.allreduce([tensor]).wait())
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(start, range(2)))


def _train(block, x):
    block.train()(x)
    return block.bases


@pytest.mark.parametrize('renormalize_bases', [False, True])
def test_two_ranks_average_over_their_images_as_one_process_does(monkeypatch, renormalize_bases):
    """Batches of one and of four images, so that a mean of the ranks' means is another number."""
    block = _block(renormalize_bases=renormalize_bases).double()
    images = torch.randn(5, 8, 3, 5, dtype=torch.float64)
    expected = _train(copy.deepcopy(block), images)
    batches, blocks = images.split((1, 4)), [copy.deepcopy(block) for _ in range(2)]
    for bases in _on_two_ranks(monkeypatch, lambda rank: _train(blocks[rank], batches[rank])):
        torch.testing.assert_close(bases, expected)


def test_ranks_that_start_apart_agree_from_the_first_update_on(monkeypatch):
    blocks = [_block(momentum=0.25).double() for _ in range(2)]
    batches = torch.randn(5, 8, 3, 5, dtype=torch.float64).split((1, 4))
    old = (blocks[0].bases + 4 * blocks[1].bases) / 5
    new = torch.cat([em_attention(block.in_conv(x).flatten(2), block.bases, 3)[0]
                     for block, x in zip(blocks, batches, strict=True)]).mean(dim=0, keepdim=True)
    first, second = _on_two_ranks(monkeypatch, lambda rank: _train(blocks[rank], batches[rank]))
    assert torch.equal(first, second)
    torch.testing.assert_close(first, 0.75 * old + 0.25 * new)


def test_attention_map_rebuilds_the_reconstruction():
    block, x = _block().double().eval(), torch.randn(2, 8, 5, 6, dtype=torch.float64)
    points = torch.tensor([[0, 0], [4, 5], [2, 3]])
    features = block.in_conv(x).flatten(2)
    bases, responsibilities = em_attention(features, block.bases, block.num_stages)
    reconstruction = (bases @ responsibilities.transpose(1, 2)).unflatten(2, (5, 6))
    summed = torch.einsum('bpn,bcn->bcp', block.attention_map(x, points).flatten(2), features)
    torch.testing.assert_close(summed, reconstruction[:, :, points[:, 0], points[:, 1]])


def test_starts_as_the_official_network():
    block = ExpectationMaximizationAttention(64, num_bases=5)
    for conv in block.in_conv, block.out_conv:
        torch.testing.assert_close(conv.weight.std().item(), (2 / 64)**0.5, rtol=0.1, atol=0)
    torch.testing.assert_close(block.bases.norm(dim=1), torch.ones(1, 5))


@pytest.mark.parametrize('wrong', [dict(num_stages=0), dict(num_bases=2.5), dict(momentum=1.5)])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ExpectationMaximizationAttention(8, **wrong)


def test_a_look_between_forward_and_backward_disturbs_no_checkpointing():
    plain = _block().train()
    checkpointed = copy.deepcopy(plain)
    x = torch.randn(2, 8, 5, 6)
    plain(x)
    out = checkpoint(checkpointed, x.clone().requires_grad_(), use_reentrant=False)
    checkpointed.attention_map(x, torch.tensor([[0, 0]]))
    out.sum().backward()
    torch.testing.assert_close(checkpointed.bases, plain.bases)
