"""What each trained network costs: counted, and measured side by side in one process."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from mmseg.models import BaseSegmentor

from mmseg_attn.benchmark.flops import count_flops
from mmseg_attn.benchmark.memory import peak_memory
from mmseg_attn.benchmark.timing import interleaved_times, quartiles
from mmseg_attn.common.amp import autocast

ROUNDS = 7


@dataclass(frozen=True)
class Cost:
    """Of a whole network on one image. GFLOPs count a multiply-add as one; quartiles are in milliseconds."""

    parameters: int
    head_parameters: int
    gflops: float
    quartiles_ms: tuple[float, float, float]
    memory_mib: float


class _Inference:
    """The network on one image, as :func:`interleaved_times` runs it."""

    def __init__(self, model: BaseSegmentor, image: torch.Tensor, dtype: torch.dtype | None):
        self.model = model
        self.image = image
        self.dtype = dtype

    def prepare(self) -> None:
        pass

    @torch.no_grad()
    def __call__(self) -> None:
        with autocast(str(self.image.device), self.dtype):
            self.model(self.image, mode='tensor')


def measure_costs(models: dict[str, BaseSegmentor], shape: tuple[int, int, int], device: str,
                  dtype: torch.dtype | None = None, after_round: Callable[[], None] = lambda: None) -> dict[str, Cost]:
    """Costs of a forward in evaluation, one image of ``shape`` (C, H, W).

    Args:
        models: name -> model on ``device`` in evaluation mode, without auxiliary head.
        shape: of the image.
        device: where they are.
        dtype: of autocast; None for none.
        after_round: called after each of the ROUNDS timed rounds.
    """
    image = torch.rand(1, *shape, device=device)
    steps = {name: _Inference(model, image, dtype) for name, model in models.items()}
    for step in steps.values():
        step()
    memory = {name: peak_memory(step, torch.device(device)) / 2**20 for name, step in steps.items()}
    times = interleaved_times(steps, ROUNDS, torch.device(device), after_round=after_round)
    return {name: Cost(
        parameters=_parameters(model), head_parameters=_parameters(model.decode_head),
        gflops=count_flops(copy.deepcopy(model).cpu(), [(1, *shape)])[''] / 1e9,
        quartiles_ms=quartiles(times[name]), memory_mib=memory[name]) for name, model in models.items()}


def _parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
