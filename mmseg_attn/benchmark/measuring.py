"""From a method to its rows: built, checked, counted, and measured at every size."""

import gc
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch

from .baselines import DOUBLE_TOLERANCES, build_pair, why_no_baseline
from .cases import Case, attention_of, build_head, head_config, randomize
from .checks import DOUBLE_TOLERANCE, WrongResultError, check_against_baseline, check_against_double
from .flops import count_flops, is_compiled
from .memory import OUT_OF_MEMORY, is_out_of_memory, peak_memory
from .settings import Settings
from .step import Step
from .timing import interleaved_times, quartiles, ratio

OURS, THEIRS = 'mmseg_attn', 'mmseg'
WRONG = 'wrong result'
# What an operator, a head or an allocator raises where it cannot do what is asked for.
RUN_ERRORS = (RuntimeError, ValueError, AssertionError, MemoryError)


@dataclass
class Row:
    """One implementation of a method at one size in one mode; None is what was not measured.

    ``gflops`` are those of a forward in evaluation for one image, everything else is for the batch. ``error`` is the
    largest relative one that the check met, ``ratio`` how many times longer it takes than ours beside it.
    """

    method: str
    code: str
    level: str
    mode: str
    height: int
    width: int
    batch: int
    status: str = 'ok'
    parameters: int | None = None
    gflops: float | None = None
    median_ms: float | None = None
    q1_ms: float | None = None
    q3_ms: float | None = None
    memory_mib: float | None = None
    ratio: float | None = None
    error: float | None = None
    input_channels: list[int] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)

    @property
    def pixels(self) -> int:
        return self.height * self.width


def measure(method: str, settings: Settings, advance: Callable[[str, int], None]) -> Iterator[list[Row]]:
    """Yields the rows of each size and mode as soon as they are measured.

    Args:
        method: the stem.
        settings: of the benchmark.
        advance: called with a description and the number of rounds done since the last call.
    """
    benchmark = _MethodBenchmark(method, settings)
    advance(f'{method}: checking', 0)
    benchmark.build_and_check()
    for size in settings.sizes:
        for mode in settings.modes:
            what = f'{method} {size[0]}x{size[1]} {mode}'
            advance(what, 0)
            rows = benchmark.measure(size, mode, after_round=partial(advance, what, 1))
            if not any(row.times_ms for row in rows):
                advance(what, settings.runs)
            yield rows


class _MethodBenchmark:
    """Ours and, if asked for, mmseg's."""

    def __init__(self, method: str, settings: Settings):
        self.method = method
        self.settings = settings
        self.device = torch.device(settings.device)
        self.cases: dict[str, Case] = {}
        self.reasons: dict[str, str] = {}
        self.errors: dict[str, float] = {}

    def build_and_check(self) -> None:
        try:
            self._build()
            for mode in self.settings.modes:
                self.errors[mode] = self._check(training=mode != 'forward')
        except RUN_ERRORS as error:
            self.reasons = {code: _reason(error) for code in self.cases or [OURS]} | self.reasons
            self.cases.clear()

    def _build(self) -> None:
        settings = self.settings
        torch.manual_seed(settings.seed)
        config = head_config(self.method, settings.in_channels, settings.channels)
        if settings.against:
            why_not = why_no_baseline(self.method, settings.level)
            if why_not:
                self.reasons[THEIRS] = f'not measured: {why_not}'
            else:
                ours, theirs = build_pair(self.method, config, settings.level)
                self.cases = {OURS: ours.to(self.device), THEIRS: theirs.to(self.device)}
        if not self.cases:
            head = randomize(build_head(config))
            case = Case(head) if settings.level == 'head' else attention_of(head)
            self.cases = {OURS: case.to(self.device)}

    def _check(self, training: bool) -> float:
        if THEIRS in self.cases:
            try:
                return check_against_baseline(self.cases[OURS], self.cases[THEIRS], self.device, training,
                                              DOUBLE_TOLERANCES.get(self.method, DOUBLE_TOLERANCE))
            except WrongResultError:
                raise
            except RUN_ERRORS as error:
                # Such as a compiled operator without an implementation for this device.
                self.reasons[THEIRS] = _reason(error)
                del self.cases[THEIRS]
        return check_against_double(self.cases[OURS], self.device, training)

    def measure(self, size: tuple[int, int], mode: str, after_round: Callable[[], None]) -> list[Row]:
        common = dict(method=self.method, level=self.settings.level, mode=mode, height=size[0], width=size[1],
                      batch=self.settings.batch)
        rows = {code: Row(code=code, status=reason, **common) for code, reason in self.reasons.items()}
        steps = {}
        for code, case in self.cases.items():
            rows[code] = row = Row(
                code=code, parameters=sum(p.numel() for p in case.parameters()), gflops=_gflops(case, size),
                error=self.errors[mode], input_channels=case.channels, **common)
            try:
                inputs = case.inputs(self.settings.batch, size, self.device)
                step = Step(case, inputs, mode, getattr(torch, self.settings.dtype))
                for _ in range(self.settings.warmup):
                    step.prepare()
                    step()
                step.prepare()
                if self.device.type == 'cuda' or not is_compiled(case):
                    row.memory_mib = peak_memory(step, self.device) / 2**20
                steps[code] = step
            except RUN_ERRORS as error:
                row.status = _reason(error)
            step = inputs = None
            self._release(case, failed=row.status != 'ok')
        self._time(steps, rows, after_round)
        return [rows[code] for code in (OURS, THEIRS) if code in rows]

    def _time(self, steps: dict[str, Step], rows: dict[str, Row], after_round: Callable[[], None]) -> None:
        settings = self.settings
        times = {}
        try:
            times = interleaved_times(steps, settings.runs, self.device, settings.seed, after_round) if steps else {}
        except RUN_ERRORS as error:
            for code in steps:
                rows[code].status, rows[code].memory_mib = _reason(error), None
        for code, values in times.items():
            rows[code].times_ms = values
            rows[code].q1_ms, rows[code].median_ms, rows[code].q3_ms = quartiles(values)
        if OURS in times and THEIRS in times:
            rows[THEIRS].ratio = ratio(times[THEIRS], times[OURS])
        for case in self.cases.values():
            self._release(case)

    def _release(self, case: Case, failed: bool = False) -> None:
        """So that what one has allocated does not stand in the way of another."""
        case.zero_grad(set_to_none=True)
        if failed:
            gc.collect()
            if self.device.type == 'cuda':
                torch.cuda.empty_cache()


def _gflops(case: Case, size: tuple[int, int]) -> float | None:
    try:
        return count_flops(case, case.shapes(1, size))[''] / 1e9
    except RUN_ERRORS:
        return None


def _reason(error: BaseException) -> str:
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f'{WRONG if isinstance(error, WrongResultError) else "cannot run"}: {textwrap.shorten(first_line, 300)}'
