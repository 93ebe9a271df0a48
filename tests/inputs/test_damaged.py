"""Images that end too early, of the kinds that Pillow knows and of those that only OpenCV reads."""

import numpy as np
import pytest

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.pictures import PictureReader

from .kinds import KINDS, config_of, write_files

CUT = 'colour', '16 bits', 'floats of one channel', 'floats of three channels', '32 bits', 'bands'


@pytest.mark.parametrize('kind', [KINDS[name] for name in CUT], ids=CUT)
@pytest.mark.parametrize('kept', [0.1, 0.5, 0.99])
def test_nothing_is_filled_in(kind, kept, tmp_path):
    path, *_ = write_files(kind, tmp_path)
    reader = PictureReader(config_of(kind, tmp_path))
    whole = path.read_bytes()
    assert np.isfinite(reader.load(path).pixels).all()
    path.write_bytes(whole[:int(len(whole) * kept)])
    with pytest.raises(UserError, match=f'{path}: '):
        reader.load(path)


def test_what_opencv_does_not_read_is_not_advised_to_be_read_as_it_is(tmp_path, monkeypatch):
    kind = KINDS['floats of one channel']
    path, *_ = write_files(kind, tmp_path)
    reader = PictureReader(config_of(kind, tmp_path))
    monkeypatch.setattr('cv2.imdecode', lambda *arguments: None)
    with pytest.raises(UserError, match="has floats, which OpenCV cannot read: imdecode_backend='tifffile'"):
        reader.load(path)
