"""Archives are unpacked whole, in place, or named."""

import os
import tarfile

import pytest

from mmseg_attn.common.errors import UserError
from mmseg_attn.data_tools.archives import below, locked, unpack
from tests.tools.small_archives import tree, write_tar, write_zip

FILES = {'top/a/one.bin': os.urandom(70_000), 'top/two.txt': b'two', 'README': b'outside'}
WRITERS = {'x.tar': write_tar, 'x.tgz': lambda path, files: write_tar(path, files, 'w:gz'), 'x.zip': write_zip}


@pytest.fixture(params=sorted(WRITERS))
def archive(request, tmp_path):
    path = tmp_path / request.param
    WRITERS[request.param](path, FILES)
    return path


def test_takes_what_lies_below_a_folder(archive, tmp_path):
    unpack(archive, tmp_path / 'out', below('top'))
    assert tree(tmp_path / 'out') == {'a/one.bin': FILES['top/a/one.bin'], 'two.txt': b'two'}


@pytest.mark.parametrize('part', [0, 0.01, 0.5])
def test_a_cut_archive_is_named(archive, tmp_path, part):
    archive.write_bytes(archive.read_bytes()[:int(part * archive.stat().st_size)])
    with pytest.raises(UserError, match=f'the archive .*{archive.name} is damaged at .*get it again'):
        unpack(archive, tmp_path / 'out', below('top'))


@pytest.mark.parametrize('name', ['x.tgz', 'x.zip'])
def test_a_flipped_bit_is_noticed(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path, FILES)
    content = bytearray(path.read_bytes())
    content[35_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=f'{name} is damaged at'):
        unpack(path, tmp_path / 'out', below('top'))


@pytest.mark.parametrize('writer', sorted(WRITERS))
@pytest.mark.parametrize('name', ['top/../../evil', 'top//evil', 'top/..\\evil'])
def test_nothing_is_written_outside(tmp_path, writer, name):
    path = tmp_path / 'archives' / writer
    WRITERS[writer](path, {name: b'evil'})
    with pytest.raises(UserError, match='outside its own folder'):
        unpack(path, tmp_path / 'out', below('top'))
    assert not list(tmp_path.rglob('*evil*'))


def test_links_are_left_out(tmp_path):
    with tarfile.open(tmp_path / 'x.tar', 'w') as archive:
        link = tarfile.TarInfo('top/link')
        link.type, link.linkname = tarfile.SYMTYPE, '/etc/passwd'
        archive.addfile(link)
    unpack(tmp_path / 'x.tar', tmp_path / 'out', below('top'))
    assert not (tmp_path / 'out').exists()


def test_two_files_for_one_place(tmp_path):
    write_zip(tmp_path / 'x.zip', {'a/f': b'1', 'b/f': b'2'})
    with pytest.raises(UserError, match='holds f twice, the second time as b/f'):
        unpack(tmp_path / 'x.zip', tmp_path / 'out', lambda name: name[2:])


def test_no_archive(tmp_path):
    (tmp_path / 'x.zip').write_text('404 Not Found')
    with pytest.raises(UserError, match=r'x.zip is damaged at its beginning \(neither zip nor tar\)'):
        unpack(tmp_path / 'x.zip', tmp_path / 'out', below('top'))


def test_two_runs_at_once(tmp_path):
    with locked(tmp_path / 'a'):
        with locked(tmp_path / 'b'):
            pass
        with pytest.raises(UserError, match=r'another run is preparing .*/a'), locked(tmp_path / 'a'):
            pass
    with locked(tmp_path / 'a'):
        pass
