"""Automatic mixed precision on GPUs and CPUs: the dtype, and what the machine makes of it."""

import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from mmengine.config import Config

from .errors import UserError

DTYPES = {'float16': torch.float16, 'bfloat16': torch.bfloat16}
# Of x86 and ARM, as Linux names them.
CPU_INSTRUCTIONS = re.compile(r'\b(amx_bf16|avx512_bf16|bf16)\b')


def amp_dtype(cfg: Config, device: str) -> torch.dtype:
    """The dtype of ``--amp``: ``optim_wrapper.dtype`` of the config, or else float16 on a GPU and bfloat16 on a CPU.

    Args:
        cfg: the config.
        device: where the model computes, such as 'cpu' or 'cuda:1'.

    Raises:
        UserError: the device cannot compute with it.
    """
    kind = torch.device(device).type
    name = (cfg.get('optim_wrapper') or {}).get('dtype') or ('bfloat16' if kind == 'cpu' else 'float16')
    if name not in DTYPES:
        raise UserError(f'optim_wrapper.dtype={name!r}: --amp takes {" and ".join(DTYPES)}')
    if kind == 'mps':
        raise UserError('--amp works on CPUs and on GPUs of CUDA and ROCm, not on mps')
    if kind == 'cpu' and name == 'float16':
        raise UserError('optim_wrapper.dtype=float16: gradients in float16 need a scaled loss, which PyTorch has for '
                        'GPUs only, and few CPUs have instructions for it. On a CPU: optim_wrapper.dtype=bfloat16')
    if kind == 'cuda' and name == 'bfloat16' and not torch.cuda.is_bf16_supported():
        raise UserError(f'optim_wrapper.dtype=bfloat16: {torch.cuda.get_device_name(device)} has no instructions for '
                        'it, which GPUs have from Ampere on. With this one: optim_wrapper.dtype=float16')
    return DTYPES[name]


def describe_amp(device: str, dtype: torch.dtype) -> str:
    """A line on what ``--amp`` does here."""
    text = f'AMP: autocast to {str(dtype).removeprefix("torch.")}'
    if torch.device(device).type != 'cpu':
        return text
    has_them = has_bfloat16_instructions()
    if has_them is None:
        return f'{text}, which is faster on CPUs that have instructions for it (AVX512_BF16, AMX) and slow on others'
    return f'{text}, for which this CPU has instructions' if has_them else (
        f'{text}, for which this CPU has no instructions: it takes many times as long as without --amp')


def has_bfloat16_instructions() -> bool | None:
    """Whether the CPU multiplies bfloat16 in hardware; None where that cannot be known."""
    try:
        text = Path('/proc/cpuinfo').read_text()
    except OSError:
        return None
    # Of the processes in containers and virtual machines this is what they may use.
    return bool(CPU_INSTRUCTIONS.search(text))


def autocast(device: str, dtype: torch.dtype | None) -> AbstractContextManager:
    """Computes under autocast to ``dtype``; with None as without this."""
    return nullcontext() if dtype is None else torch.autocast(torch.device(device).type, dtype)
