"""Errors that a user can mend, shown as one message instead of a trace."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError

EXIT_CODE = 2


class UserError(ValueError):
    """Something in the command, the config or the data is wrong; the message says what to do."""


@contextmanager
def readable_errors() -> Iterator[None]:
    """Prints a UserError, an ImportError of the OpenMMLab stack or a failed download, and exits with code 2.

    MMSEG_ATTN_TRACEBACK=1 in the environment shows the trace as well.
    """
    try:
        yield
    except (UserError, ImportError, URLError) as error:
        if os.environ.get('MMSEG_ATTN_TRACEBACK') == '1':
            raise
        print(f'\nerror: {_message(error)}', file=sys.stderr, flush=True)
        sys.exit(EXIT_CODE)


def _message(error: Exception) -> str:
    if isinstance(error, URLError):
        return (f'a download failed ({error.reason}).\n'
                '  Pretrained weights on disk: --cfg-options model.pretrained=PATH; none at all: model.pretrained=None')
    return str(error)
