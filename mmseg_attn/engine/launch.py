"""Several processes, on the CPU as well, which mmengine alone cannot run."""

import os
import subprocess

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.logging import print_log


def prepare_launch(cfg: Config, launcher: str, local_rank: int = 0) -> None:
    """Readies ``cfg`` for a launcher ('none', 'pytorch', 'slurm' or 'mpi'); on the CPU starts the process group.

    ``local_rank`` is what older launchers pass as an argument; torchrun sets the environment variable.
    """
    os.environ.setdefault('LOCAL_RANK', str(local_rank))
    cfg.launcher = launcher
    if launcher == 'none' or torch.cuda.is_available():
        return
    # mmengine.dist.init_dist selects a CUDA device, and its default wrapper passes one to DDP.
    _LAUNCHER_ENVIRONMENT[launcher]()
    dist.init_process_group(backend='gloo')
    cfg.setdefault('env_cfg', {})['dist_cfg'] = dict(backend='gloo')
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False))
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type='mmseg_attn.AverageBuffersHook')]
    if _replace_sync_bn(cfg.model) and dist.get_rank() == 0:
        print_log('No GPU: SyncBN becomes BN, so each process normalises by its own images only.')


def is_main_process(launcher: str) -> bool:
    """Whether this process is the first of all, before the process group is there."""
    variable = dict(none=None, pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')[launcher]
    return variable is None or os.environ.get(variable, '0') == '0'


def end_launch() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _replace_sync_bn(node) -> bool:
    """Changes every ``type='SyncBN'`` below ``node`` to 'BN'; tells whether there was one."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ()
    found = any([_replace_sync_bn(child) for child in children])
    if isinstance(node, dict) and node.get('type') == 'SyncBN':
        node['type'] = 'BN'
        found = True
    return found


def _slurm_environment() -> None:
    environment = os.environ
    if 'MASTER_ADDR' not in environment:
        nodes = subprocess.run(['scontrol', 'show', 'hostnames', environment['SLURM_NODELIST']],
                               capture_output=True, text=True, check=True).stdout.split()
        environment['MASTER_ADDR'] = nodes[0]
    environment.setdefault('MASTER_PORT', '29500')
    environment['RANK'] = environment['SLURM_PROCID']
    environment['LOCAL_RANK'] = environment['SLURM_LOCALID']
    environment['WORLD_SIZE'] = environment['SLURM_NTASKS']


def _mpi_environment() -> None:
    environment = os.environ
    environment.setdefault('MASTER_ADDR', '127.0.0.1')
    environment.setdefault('MASTER_PORT', '29500')
    environment['RANK'] = environment['OMPI_COMM_WORLD_RANK']
    environment['LOCAL_RANK'] = environment['OMPI_COMM_WORLD_LOCAL_RANK']
    environment['WORLD_SIZE'] = environment['OMPI_COMM_WORLD_SIZE']


_LAUNCHER_ENVIRONMENT = dict(pytorch=lambda: None, slurm=_slurm_environment, mpi=_mpi_environment)
