"""Work spread over processes."""

import os
from collections.abc import Iterator

import pytest

from mmseg_attn.common.errors import UserError
from mmseg_attn.data_tools.parallel import available_cpus, run_parallel


def _square(number: int) -> int:
    return number * number


def _fail_at_three(number: int) -> int:
    if number == 3:
        raise UserError('three')
    return number


def _die_at_three(number: int) -> int:
    if number == 3:
        os._exit(9)
    return number


@pytest.mark.parametrize('nproc', [1, 2])
def test_every_item_once(nproc):
    assert sorted(run_parallel(_square, range(50), nproc, 'x', 50)) == [i * i for i in range(50)]
    assert list(run_parallel(_square, [], nproc, 'x', 0)) == []


@pytest.mark.parametrize('nproc', [1, 2])
def test_an_error_is_that_of_the_function(nproc):
    with pytest.raises(UserError, match='three'):
        list(run_parallel(_fail_at_three, range(50), nproc, 'x', 50))


def test_a_process_that_is_killed():
    with pytest.raises(UserError, match='take a smaller --nproc'):
        list(run_parallel(_die_at_three, range(50), 2, 'x', 50))


@pytest.mark.parametrize('nproc', [1, 2])
def test_items_are_taken_as_they_are_needed(nproc):
    taken = []

    def items() -> Iterator[int]:
        for i in range(100):
            taken.append(i)
            yield i
    results = run_parallel(_square, items(), nproc, 'x', 100)
    next(results)
    assert len(taken) <= 20
    results.close()


def test_cpus():
    assert 1 <= available_cpus() <= os.cpu_count()
