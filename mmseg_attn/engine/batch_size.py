"""Says with which batch size and learning rate a training really runs, and where between its updates it is."""

from mmengine.config import Config
from mmengine.optim import OptimWrapper, OptimWrapperDict


def count_accumulation(cfg: Config) -> None:
    """Where the learning rate is to be scaled, multiplies it by the accumulated batches, which mmengine leaves out."""
    if (cfg.get('auto_scale_lr') or {}).get('enable'):
        cfg.optim_wrapper.optimizer.lr *= cfg.optim_wrapper.get('accumulative_counts', 1)


def describe_batch_size(cfg: Config, num_processes: int) -> str:
    """One or more lines: the effective batch size, the learning rate, and what to do when they do not fit.

    ``cfg`` has been through :func:`count_accumulation`.
    """
    per_process = cfg.train_dataloader.get('batch_size')
    optimizer = cfg.optim_wrapper.get('optimizer') or {}
    if per_process is None or 'lr' not in optimizer:
        return 'Effective batch size and learning rate: set by the batch sampler or the optimizer of this config.'
    accumulated = cfg.optim_wrapper.get('accumulative_counts', 1)
    batch_size = per_process * num_processes * accumulated
    lr = optimizer.lr
    scale_lr = cfg.get('auto_scale_lr') or {}
    base = scale_lr.get('base_batch_size')
    text = (f'Effective batch size {batch_size} = {per_process} images x {num_processes} processes'
            + (f' x {accumulated} accumulated' if accumulated > 1 else ''))
    if scale_lr.get('enable') and base:
        scaled = lr * per_process * num_processes / base
        return f'{text}; learning rate {scaled:g}, scaled from {lr / accumulated:g} for {base}.'
    if base in (None, batch_size):
        return f'{text}; learning rate {lr:g}.'
    return (f'{text}; learning rate {lr:g}, which was chosen for a batch of {base}.\n'
            f'  Either pass --auto-scale-lr, or reach {base} with more processes (tools/dist_train.sh), with\n'
            '  --cfg-options train_dataloader.batch_size=..., or with optim_wrapper.accumulative_counts=...')


def has_updated(wrapper: OptimWrapper | OptimWrapperDict) -> bool:
    """Whether no gradients are being accumulated, which a checkpoint does not hold."""
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return all(each.should_update() for each in wrappers)
