"""What the kernels take of a GPU that need not be there. Run as a script, without Triton's interpreter.

Usage: resources.py CAPABILITY (80) SHARED_MEMORY (bytes) [few]. Prints a line of JSON for every kernel launched; with
`few` of three kinds of attention and one dtype of the others, which takes half a minute instead of one and a half.
"""

import json
import re
import sys
from contextlib import redirect_stdout
from io import StringIO

import torch
from triton import knobs
from triton.compiler import CompiledKernel
from triton.runtime.errors import OutOfResources

from mmseg_attn.ops.triton.attention import attention_backward, attention_forward
from mmseg_attn.ops.triton.carafe import carafe_backward, carafe_forward
from mmseg_attn.ops.triton.message_passing import message_passing_backward, message_passing_forward
from tests.ops.triton.ahead_of_time import compile_instead_of_launching

# dtype, D and E: of DANet, ISANet with mask_padding, DANet in float32, Non-local, OCNet's pyramid, criss-cross (which
# excludes itself), and a head of odd widths.
ATTENTION = [(torch.bfloat16, 64, 512, False), (torch.bfloat16, 257, 256, False), (torch.float32, 64, 512, False),
             (torch.bfloat16, 256, 256, False), (torch.bfloat16, 256, 512, False), (torch.bfloat16, 64, 512, True),
             (torch.float16, 300, 5, False)]


def attention(dtype: torch.dtype, d: int, e: int, exclude_itself: bool) -> None:
    query, key, value = (torch.zeros(1, 2, 1024, width, dtype=dtype) for width in (d, d, e))
    out, lse = attention_forward(query, key, value, 1.0, exclude_itself)
    attention_backward(out, query, key, value, lse, lse, 1.0, exclude_itself)


def carafe(dtype: torch.dtype) -> None:
    x, masks = torch.zeros(2, 256, 64, 128, dtype=dtype), torch.zeros(2, 25, 128, 256, dtype=dtype)
    carafe_backward(carafe_forward(x, masks, 5, 1, 2), x, masks, 5, 1, 2)


def message_passing(dtype: torch.dtype) -> None:
    x = torch.zeros(2, 512, 64, 128, dtype=dtype)
    positions, weights = torch.zeros(2, 9, 2, 64, 128), torch.zeros(2, 4, 9, 64, 128)
    message_passing_backward(message_passing_forward(x, positions, weights), x, positions, weights)


def resources(log: str) -> dict[str, int]:
    """From what ptxas says of a kernel: registers of a thread, and bytes that one stores to and loads from memory for
    want of more."""
    return {name: int(re.search(pattern, log)[1]) for name, pattern in (
        ('registers', r'Used (\d+) registers'), ('spill_stores', r'(\d+) bytes spill stores'),
        ('spill_loads', r'(\d+) bytes spill loads'))}


def main(capability: int, shared_memory: int, few: bool) -> None:
    case, found = '', {}

    def compiled(kernel: CompiledKernel) -> None:
        log = printed.getvalue()
        printed.seek(0)
        printed.truncate()
        if kernel.hash not in found:  # otherwise it was launched before, and is not compiled again
            found[kernel.hash] = resources(log)
        if kernel.metadata.shared > shared_memory:
            raise OutOfResources(kernel.metadata.shared, shared_memory, 'shared memory')
        print(json.dumps(dict(case=case, kernel=kernel.metadata.name, shared=kernel.metadata.shared)
                         | found[kernel.hash]), flush=True, file=sys.__stdout__)

    compile_instead_of_launching(capability, compiled, shared_memory)
    knobs.nvidia.dump_ptxas_log = True
    with redirect_stdout(StringIO()) as printed:
        for dtype, d, e, exclude_itself in ATTENTION[:3] if few else ATTENTION:
            case = f'attention {str(dtype)[6:]} D={d} E={e}' + (' exclude_itself' if exclude_itself else '')
            attention(dtype, d, e, exclude_itself)
        for dtype in (torch.bfloat16,) if few else (torch.bfloat16, torch.float32):
            for launch in carafe, message_passing:
                case = f'{launch.__name__} {str(dtype)[6:]}'
                launch(dtype)


if __name__ == '__main__':
    main(int(sys.argv[1]), int(sys.argv[2]), few='few' in sys.argv[3:])
