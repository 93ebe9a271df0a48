"""Errors that become one message."""

import pytest

from mmseg_attn.common.errors import EXIT_CODE, readable_errors


class _NotFoundError(FileNotFoundError):
    """As Hugging Face's, which has no errno."""

    __module__ = 'huggingface_hub.errors'


def test_weights_of_timm_that_cannot_be_downloaded(capsys):
    with pytest.raises(SystemExit) as ended, readable_errors():
        raise _NotFoundError('no network, and no copy of the file')
    assert ended.value.code == EXIT_CODE
    assert capsys.readouterr().err == (
        '\nerror: a download failed (no network, and no copy of the file).\n'
        '  Weights of timm on disk: --cfg-options model.backbone.pretrained=False '
        'model.backbone.checkpoint_path=PATH; none at all: only the first\n')


def test_other_errors_of_files_without_a_number_are_ours():
    with pytest.raises(OSError, match='no picture'), readable_errors():
        raise OSError('no picture')
