"""Compiling for a GPU that need not be there. In a process without Triton's interpreter."""

from collections.abc import Callable

from triton.backends.compiler import GPUTarget
from triton.compiler import CompiledKernel
from triton.runtime import jit
from triton.runtime.driver import driver

from mmseg_attn.ops.triton import attention
from mmseg_attn.ops.triton.tiles import Limits


def compile_instead_of_launching(capability: int, compiled: Callable[[CompiledKernel], None],
                                 shared_memory: int | None = None) -> None:
    """Has every launch call ``compiled`` with its kernel, and attention choose its tiles for this GPU."""
    class NoGPU:
        def get_current_device(self):
            return 0

        def get_current_stream(self, device=None):
            return 0

        def get_current_target(self):
            return GPUTarget('cuda', capability, 32)

    def compile_only(kernel, grid):
        return lambda *args, **kwargs: compiled(kernel.run(*args, grid=grid, warmup=True, **kwargs))

    driver.set_active(NoGPU())
    jit.KernelInterface.__getitem__ = compile_only
    attention.limits_of = lambda device: Limits(shared_memory, major=capability // 10)
