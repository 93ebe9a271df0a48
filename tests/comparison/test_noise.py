"""Tukey-Kramer beside SciPy's own test, and where nothing can be said."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import tukey_hsd

from mmseg_attn.comparison.noise import LEVEL, seed_noise, significant_differences


@pytest.mark.parametrize('counts', [(3, 3, 3), (2, 5, 4, 3), (2, 2)])
def test_the_same_pairs_as_scipy(counts):
    told_apart = 0
    for seed in 0, 2:
        rng = np.random.default_rng(seed)
        scores = {f'head{i}': list(50 + 2.5 * i + rng.normal(size=count)) for i, count in enumerate(counts)}
        names = list(scores)
        p = tukey_hsd(*scores.values()).pvalue
        expected = {frozenset((names[i], names[j])) for i, j in combinations(range(len(names)), 2) if p[i, j] < LEVEL}
        found = significant_differences(seed_noise(scores), scores)
        assert {frozenset(pair) for pair in found} == expected
        assert all(np.mean(scores[better]) > np.mean(scores[worse]) for better, worse in found)
        told_apart += len(found)
    assert 0 < told_apart < 2 * len(names) * (len(names) - 1) // 2


def test_a_head_of_one_seed_borrows_the_noise_of_the_others():
    noise = seed_noise(dict(a=[50.0, 52.0], b=[70.0]))
    assert noise.degrees_of_freedom == 1
    assert noise.spread == pytest.approx(2 ** 0.5)


@pytest.mark.parametrize('scores', [dict(a=[50.0], b=[51.0]), dict(a=[50.0, 51.0])])
def test_no_statement(scores):
    assert seed_noise(scores) is None
