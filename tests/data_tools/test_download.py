"""Downloads from a server of the test's own, which breaks off, forgets and lies as asked."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from mmseg_attn.common.errors import UserError
from mmseg_attn.data_tools import download
from mmseg_attn.data_tools.download import RemoteFile, fetch

CONTENT = np.random.RandomState(0).bytes(3_500_001)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT under every path.

    Attributes:
        most: bytes that are sent before the connection breaks off.
        knows_ranges: whether it can continue.
        code: of an error to answer with.
        ranges: the Range headers of the requests so far.
    """
    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.most, self.knows_ranges, self.code, self.ranges, self.paths = None, True, None, [], []

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.server_port}/files/big.tar'


class Handler(BaseHTTPRequestHandler):

    def do_GET(self):
        wanted = self.headers.get('Range')
        self.server.ranges.append(wanted)
        self.server.paths.append(self.path)
        if self.server.code:
            self.send_error(self.server.code)
            return
        start = int(wanted.removeprefix('bytes=').removesuffix('-')) if wanted and self.server.knows_ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header('Content-Range', f'bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}')
        self.send_header('Content-Length', str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start:][:self.server.most])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.01))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def _remote(server, md5=MD5) -> RemoteFile:
    return RemoteFile('big.tar', server.url, md5)


def _names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file(server, tmp_path):
    path = fetch(_remote(server), tmp_path / 'new' / 'archives')
    assert path.read_bytes() == CONTENT
    assert _names(path.parent) == ['big.tar']
    assert server.ranges == [None]


def test_what_is_there_is_not_asked_for(server, tmp_path):
    (tmp_path / 'big.tar').write_bytes(CONTENT)
    fetch(_remote(server), tmp_path)
    assert server.ranges == []


def test_an_interrupted_download_goes_on(server, tmp_path):
    (tmp_path / 'big.tar.part').write_bytes(CONTENT[:1_234_567])
    assert fetch(_remote(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ['bytes=1234567-']
    assert _names(tmp_path) == ['big.tar']


def test_connections_that_break_off(server, tmp_path):
    server.most = 1_000_000
    assert fetch(_remote(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, 'bytes=1000000-', 'bytes=2000000-', 'bytes=3000000-']


def test_a_download_that_was_whole_but_not_yet_named(server, tmp_path):
    (tmp_path / 'big.tar.part').write_bytes(CONTENT)
    assert fetch(_remote(server), tmp_path).read_bytes() == CONTENT


def test_a_server_that_cannot_continue_starts_anew(server, tmp_path):
    server.knows_ranges = False
    (tmp_path / 'big.tar.part').write_bytes(b'x' * 1000)
    assert fetch(_remote(server), tmp_path).read_bytes() == CONTENT


def test_a_server_that_sends_nothing(server, tmp_path):
    server.most = 0
    (tmp_path / 'big.tar.part').write_bytes(CONTENT[:10])
    with pytest.raises(UserError, match=r'failed .* after 10 bytes.\n +Run again to continue'):
        fetch(_remote(server), tmp_path)
    assert len(server.ranges) == download.MAX_RETRIES
    assert (tmp_path / 'big.tar.part').read_bytes() == CONTENT[:10]


def test_another_content_is_not_kept(server, tmp_path):
    with pytest.raises(UserError, match=f'its MD5 is {MD5}, not 00ff'):
        fetch(_remote(server, md5='00ff'), tmp_path)
    assert _names(tmp_path) == []


def test_a_beginning_of_another_file_is_not_kept(server, tmp_path):
    (tmp_path / 'big.tar.part').write_bytes(b'x' * 1000)
    with pytest.raises(UserError, match='of another content'):
        fetch(_remote(server), tmp_path)
    assert fetch(_remote(server), tmp_path).read_bytes() == CONTENT


def test_a_damaged_file_is_named_and_left_alone(server, tmp_path):
    (tmp_path / 'big.tar').write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match=r'big.tar is damaged .*\n +Remove it'):
        fetch(_remote(server), tmp_path)
    assert (tmp_path / 'big.tar').read_bytes() == CONTENT[:-1]
    assert server.ranges == []


@pytest.mark.parametrize('code', [404, 503])
def test_an_error_of_the_server(server, tmp_path, code):
    server.code = code
    with pytest.raises(UserError, match=f'big.tar answers {code} .*\n.*--url'):
        fetch(_remote(server), tmp_path)
    assert len(server.ranges) == 1


def test_no_server(tmp_path):
    with pytest.raises(UserError, match=r'failed .*refused.* after 0 bytes'):
        fetch(RemoteFile('big.tar', 'http://127.0.0.1:9/big.tar', MD5), tmp_path)


def test_a_mirror(server, tmp_path):
    mirror = server.url.replace('/files/big.tar', '/mirror/')
    fetch(RemoteFile('big.tar', 'http://127.0.0.1:9/x', MD5), tmp_path, mirror)
    assert server.paths == ['/mirror/big.tar']


def test_a_folder_as_a_mirror(tmp_path):
    (tmp_path / 'mirror').mkdir()
    (tmp_path / 'mirror' / 'big.tar').write_bytes(CONTENT)
    remote = RemoteFile('big.tar', 'http://127.0.0.1:9/x', MD5)
    assert fetch(remote, tmp_path / 'here', (tmp_path / 'mirror').as_uri()).read_bytes() == CONTENT


def test_a_full_disk(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, 'disk_usage', lambda path: SimpleNamespace(free=3_000_000))
    with pytest.raises(UserError, match='has 3 MB free, and 4 MB are needed'):
        fetch(_remote(server), tmp_path)
