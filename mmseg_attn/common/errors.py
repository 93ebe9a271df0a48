"""Errors that a user can mend, shown as one message instead of a trace."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

EXIT_CODE, INTERRUPTED, PIPE_CLOSED = 2, 130, 141
PACKAGE = Path(__file__).parents[1]
# Of a class that a config names, called with what else the config says.
WRONG_ARGUMENT = re.compile(r"unexpected keyword argument|missing \d+ required|got multiple values for")
BUILDERS = 'mmengine/registry/build_functions.py', 'mmcv/cnn/bricks/plugin.py', 'mmcv/cnn/bricks/conv.py'


class UserError(ValueError):
    """Something in the command, the config or the data is wrong; the message says what to do."""


class DataError(UserError):
    """An image or a label map cannot be used. It comes out of the workers of a loader without their traceback."""

    def __init__(self, message: str):
        # PyTorch makes the error anew, from the text of the traceback.
        name = f'{type(self).__module__}.{type(self).__qualname__}: '
        super().__init__(message.rpartition(name)[2].strip() if message.startswith('Caught ') else message)


@contextmanager
def readable_errors() -> Iterator[None]:
    """Prints an error that the user can mend, and exits with code 2.

    Such are a UserError, an ImportError of the OpenMMLab stack, a failed download, a file that cannot be read or
    written, a ValueError that a part of this package raises about its arguments, and a setting of the config that its
    class does not take. MMSEG_ATTN_TRACEBACK=1 in the environment shows the trace as well. An interruption ends with
    code 130.
    """
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has enough of it. Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(PIPE_CLOSED)
    except (UserError, ImportError, OSError, ValueError, TypeError) as error:
        if os.environ.get('MMSEG_ATTN_TRACEBACK') == '1' or not _is_the_users(error):
            raise
        print(f'\nerror: {_message(error)}', file=sys.stderr, flush=True)
        sys.exit(EXIT_CODE)


def _is_the_users(error: Exception) -> bool:
    if isinstance(error, TypeError):
        return bool(WRONG_ARGUMENT.search(str(error))) and any(
            Path(file).match(builder) for file in _files_of(error) for builder in BUILDERS)
    if isinstance(error, OSError):
        return isinstance(error, URLError) or bool(error.strerror) or _is_of_the_hub(error)
    return isinstance(error, UserError | ImportError) or _is_raised_here(error)


def _is_of_the_hub(error: Exception) -> bool:
    """Whether Hugging Face's library, with which timm loads weights, found neither a network nor its copy of a file."""
    return type(error).__module__.partition('.')[0] == 'huggingface_hub'


def _is_raised_here(error: Exception) -> bool:
    """Whether the line that raised ``error`` lies in this package, and not in what it calls."""
    files = _files_of(error)
    return bool(files) and Path(files[-1]).is_relative_to(PACKAGE)


def _files_of(error: Exception) -> list[str]:
    """The files of the trace, that of the line which raised the error last."""
    files, trace = [], error.__traceback__
    while trace is not None:
        files.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return files


def _message(error: Exception) -> str:
    if isinstance(error, TypeError):
        return f'a setting of the config does not fit the class that it is for: {error}'
    if isinstance(error, URLError):
        return (f'a download failed ({error.reason}).\n'
                '  Pretrained weights on disk: --cfg-options model.pretrained=PATH; none at all: model.pretrained=None')
    if _is_of_the_hub(error):
        return (f'a download failed ({error}).\n'
                "  Weights of timm on disk: --cfg-options model.backbone.pretrained=False "
                'model.backbone.checkpoint_path=PATH; none at all: only the first')
    if isinstance(error, OSError):
        return f'{error.filename}: {error.strerror}' if error.filename else str(error.strerror)
    return str(error)
