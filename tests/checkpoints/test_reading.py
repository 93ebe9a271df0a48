"""Files of every kind: weights in any wrapping are found, anything else is told, and nothing in a file is run."""

import argparse
import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file
from torch import nn

from mmseg_attn.checkpoints import read_checkpoint
from mmseg_attn.checkpoints.writing import write_checkpoint
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import atomic_write

WEIGHTS = {
    'conv.weight': torch.randn(3, 2, 1, 1), 'conv.bias': torch.randn(3), 'bn.num_batches_tracked': torch.tensor(7)}


def _prefixed(prefix):
    return {prefix + key: value for key, value in WEIGHTS.items()}


@pytest.mark.parametrize(('content', 'other_entries'), [
    (WEIGHTS, []),
    (_prefixed('module.'), []),
    (_prefixed('module._orig_mod.'), []),
    (dict(state_dict=WEIGHTS, optimizer=dict(state={}), epoch=3), ['optimizer', 'epoch']),
    (dict(net=_prefixed('module.'), iter=3), ['iter']),
    (dict(model=WEIGHTS, iteration=3), ['iteration']),
    (dict(state_dict=dict(model=WEIGHTS, scheduler={}), epoch=1), ['epoch', 'scheduler']),
    (WEIGHTS | dict(epoch=3), ['epoch']),
    (dict(model=WEIGHTS, rng_state=torch.zeros(9, dtype=torch.uint8)), ['rng_state']),
], ids=lambda value: '-'.join(list(value)[:3]))
@pytest.mark.parametrize('zipped', [True, False])
def test_weights_in_any_wrapping(tmp_path, content, other_entries, zipped):
    torch.save(content, tmp_path / 'file.pth', _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(tmp_path / 'file.pth')
    assert checkpoint.other_entries == other_entries
    assert checkpoint.state_dict.keys() == WEIGHTS.keys()
    assert all(torch.equal(checkpoint.state_dict[key], value) for key, value in WEIGHTS.items())


def test_what_mmengine_keeps_beside_the_weights(tmp_path):
    hub = dict(loss=HistoryBuffer([1.0, 2.0], [1, 1]), iter=np.int64(3))
    torch.save(dict(meta=dict(cfg='a = 1', epoch=0), state_dict=WEIGHTS, message_hub=hub), tmp_path / 'file.pth')
    checkpoint = read_checkpoint(tmp_path / 'file.pth')
    assert checkpoint.meta['cfg'] == 'a = 1'
    assert checkpoint.other_entries == ['meta', 'message_hub']


class _Command:
    """What a hostile file holds: a call that is made when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path), )


@pytest.mark.parametrize('zipped', [True, False])
def test_code_is_not_run(tmp_path, zipped):
    victim, file = tmp_path / 'victim', tmp_path / 'file.pth'
    torch.save(dict(state_dict=WEIGHTS, extra=_Command(victim)), file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r'(?s)file\.pth can only be read by .*mkdir.*convert_checkpoint .*--allow'):
        read_checkpoint(file)
    assert not victim.exists()
    assert read_checkpoint(file, allow_pickle=True).state_dict.keys() == WEIGHTS.keys()
    assert victim.exists()


def test_bare_pickles_are_not_run(tmp_path):
    victim, file = tmp_path / 'victim', tmp_path / 'file.pth'
    file.write_bytes(pickle.dumps(_Command(victim)))
    with pytest.raises(UserError, match=r'file\.pth'):
        read_checkpoint(file)
    assert not victim.exists()


def test_harmless_objects_need_permission_too(tmp_path):
    file = tmp_path / 'file.pth'
    torch.save(dict(state_dict=WEIGHTS, args=argparse.Namespace(lr=0.1)), file)
    with pytest.raises(UserError, match=r'argparse\.Namespace(.|\n)*--allow-pickle'):
        read_checkpoint(file)
    assert 'args' in read_checkpoint(file, allow_pickle=True).other_entries


def test_a_whole_module(tmp_path):
    torch.save(nn.Conv2d(2, 3, 1), tmp_path / 'file.pth')
    with pytest.raises(UserError, match='--allow-pickle'):
        read_checkpoint(tmp_path / 'file.pth')
    assert read_checkpoint(tmp_path / 'file.pth', allow_pickle=True).state_dict.keys() == {'weight', 'bias'}


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('share', [0.02, 0.5, 0.99])
def test_a_download_that_was_cut_off(tmp_path, zipped, share):
    file = tmp_path / 'file.pth'
    torch.save(dict(state_dict={f'conv{i}.weight': torch.randn(50) for i in range(50)}), file,
               _use_new_zipfile_serialization=zipped)
    content = file.read_bytes()
    file.write_bytes(content[:int(share * len(content))])
    with pytest.raises(UserError, match=r'file\.pth is not a checkpoint of PyTorch, or is damaged'):
        read_checkpoint(file)


@pytest.mark.parametrize(('content', 'message'), [
    (b'', 'is empty'), (b'<html>not found</html>', 'a web page, not a checkpoint'),
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', 'a pointer of Git LFS'),
    (b'\x80\x02.', 'not a checkpoint'),
    (bytes(range(256)), 'not a checkpoint'), (b'PK\x03\x04' + bytes(100), 'not a checkpoint')])
def test_what_is_no_checkpoint(tmp_path, content, message):
    (tmp_path / 'file.pth').write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_checkpoint(tmp_path / 'file.pth')


@pytest.mark.parametrize(('content', 'message'), [
    (dict(epoch=3), r'holds no weights.*found a dictionary with epoch'), ([1, 2], 'holds no weights.*found a list'),
    (dict(state_dict={}), 'holds no weights'), (dict(state_dict=dict(a=dict(b=1))), 'holds no weights'),
    (torch.ones(3), 'holds no weights.*found a Tensor'),
    (dict(WEIGHTS, model=WEIGHTS), "holds weights twice: conv.weight and others, .* under 'model'"),
    (dict(a=torch.tensor([1.0, float('nan')])), 'a holds values that are not finite'),
    (dict(a=torch.ones(3, 3).to_sparse()), 'a is a sparse'), (dict(a=torch.ones(3, device='meta')), 'a is a sparse'),
    (dict(a=torch.zeros(1).expand(10**13)), 'a claims 10000000000000 values and holds fewer'),
    ({'a\x1b[0m': torch.ones(3)}, 'the file is damaged')])
def test_without_usable_weights(tmp_path, content, message):
    torch.save(content, tmp_path / 'file.pth')
    with pytest.raises(UserError, match=message):
        read_checkpoint(tmp_path / 'file.pth')


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path, dtype):
    torch.save(dict(a=torch.tensor([0.5, 2.0], dtype=dtype)), tmp_path / 'file.pth')
    assert torch.equal(read_checkpoint(tmp_path / 'file.pth').state_dict['a'], torch.tensor([0.5, 2.0]))


@pytest.mark.parametrize('dtype', [torch.int64, torch.uint8, torch.bool])
def test_buffers_of_integers_are_kept(tmp_path, dtype):
    torch.save({'relative_position_index': torch.tensor([1, 0], dtype=dtype)}, tmp_path / 'file.pth')
    value = read_checkpoint(tmp_path / 'file.pth').state_dict['relative_position_index']
    assert value.dtype == dtype
    assert value.tolist() == [1, 0]


def test_safetensors(tmp_path):
    path, meta = tmp_path / 'file.safetensors', dict(dataset_meta=dict(classes=['a', 'b']))
    write_checkpoint(WEIGHTS, meta, path)
    checkpoint = read_checkpoint(path)
    assert checkpoint.meta == meta
    assert all(torch.equal(checkpoint.state_dict[key], value) for key, value in WEIGHTS.items())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r'file\.safetensors is not a checkpoint of PyTorch, or is damaged'):
        read_checkpoint(path)


@pytest.mark.parametrize('meta', [None, 'none of ours', '[1]'])
def test_safetensors_of_other_programs(tmp_path, meta):
    save_file(WEIGHTS, tmp_path / 'file.safetensors', meta and dict(meta=meta))
    checkpoint = read_checkpoint(tmp_path / 'file.safetensors')
    assert checkpoint.state_dict.keys() == WEIGHTS.keys()
    assert checkpoint.meta == {}


def test_the_format_is_that_of_the_content(tmp_path):
    write_checkpoint(WEIGHTS, {}, tmp_path / 'a.safetensors')
    write_checkpoint(WEIGHTS, {}, tmp_path / 'b.pth')
    for path, other in (tmp_path / 'a.safetensors', 'a.pth'), (tmp_path / 'b.pth', 'b.safetensors'):
        assert read_checkpoint(path.rename(tmp_path / other)).state_dict.keys() == WEIGHTS.keys()


@pytest.mark.skipif(os.name != 'posix', reason='limits the size of files')
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_full_disk(tmp_path, suffix):
    import resource
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limit[1]))
    try:
        with (pytest.raises(UserError, match=f'cannot write .*file{suffix}: File too large'),
              atomic_write(tmp_path / f'file{suffix}') as partial):
            write_checkpoint(dict(a=torch.zeros(1 << 16)), {}, partial)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list(tmp_path.iterdir()) == []


def test_no_file(tmp_path):
    with pytest.raises(UserError, match='there is no checkpoint'):
        read_checkpoint(tmp_path / 'nothing.pth')
    with pytest.raises(UserError, match='is a folder, not a checkpoint'):
        read_checkpoint(tmp_path)
