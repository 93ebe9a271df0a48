"""Where something was measured: hardware, versions, commit, and the settings of PyTorch that change times."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy
import torch

import mmseg_attn
from mmseg_attn.environment import installed_distributions


def hardware(device: torch.device) -> dict[str, object]:
    found = dict(cpu=_cpu_model(), cores=os.cpu_count(), usable_cores=_usable_cores(), device=str(device))
    if device.type == 'cuda':
        properties = torch.cuda.get_device_properties(device)
        found |= dict(gpu=properties.name, gpu_memory_mib=properties.total_memory // 2**20,
                      compute_capability=f'{properties.major}.{properties.minor}')
    return found


def versions() -> dict[str, object]:
    openmmlab = {package: ', '.join(names) for package, names in installed_distributions().items()}
    return dict(mmseg_attn=mmseg_attn.__version__, python=platform.python_version(), torch=torch.__version__,
                cuda=torch.version.cuda, cudnn=torch.backends.cudnn.version(), triton=_version('triton'),
                numpy=numpy.__version__, **openmmlab, os=platform.platform())


def torch_settings() -> dict[str, object]:
    return dict(threads=torch.get_num_threads(), cudnn_benchmark=torch.backends.cudnn.benchmark,
                cudnn_allow_tf32=torch.backends.cudnn.allow_tf32,
                matmul_precision=torch.get_float32_matmul_precision())


def commit() -> dict[str, object] | None:
    """The commit of the working copy, and whether it was changed since; None for an installed package."""
    root = Path(mmseg_attn.__file__).parents[1]
    # The package may lie in an environment inside another project's working copy.
    top = _git(root, 'rev-parse', '--show-toplevel')
    if top is None or Path(top).resolve() != root.resolve():
        return None
    return dict(hash=_git(root, 'rev-parse', 'HEAD'), dirty=bool(_git(root, 'status', '--porcelain')))


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(['git', '-C', str(folder), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _cpu_model() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')),
                platform.processor() or platform.machine())


def _usable_cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
