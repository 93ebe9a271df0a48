"""Which differences between heads exceed what the seed alone changes."""

import statistics
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

LEVEL = 0.05


@dataclass(frozen=True)
class SeedNoise:
    """Tukey's honestly significant difference, in Kramer's form for unequal numbers of seeds.

    The chance that any of all pairs of equally good heads is told apart is ``LEVEL``. It supposes that all heads
    scatter alike from seed to seed, so that few seeds of each suffice to know by how much.

    Source: Kramer, "Extension of multiple range tests to group means with unequal numbers of replications", 1956.
    """

    spread: float
    degrees_of_freedom: int
    heads: int

    def threshold(self, seeds: int, other_seeds: int) -> float:
        """The difference of two means that is just noise at most."""
        from scipy.stats import studentized_range
        quantile = studentized_range.ppf(1 - LEVEL, self.heads, self.degrees_of_freedom)
        return float(quantile * self.spread * sqrt((1 / seeds + 1 / other_seeds) / 2))


def seed_noise(scores: dict[str, list[float]]) -> SeedNoise | None:
    """The noise of the scores of each head's seeds; None where there are not two heads and a head of two seeds."""
    degrees = sum(len(values) - 1 for values in scores.values())
    if degrees < 1 or len(scores) < 2:
        return None
    squares = sum((value - statistics.fmean(values)) ** 2 for values in scores.values() for value in values)
    return SeedNoise(sqrt(squares / degrees), degrees, len(scores))


def significant_differences(noise: SeedNoise, scores: dict[str, list[float]]) -> list[tuple[str, str]]:
    """(better, worse) of all pairs of heads whose means differ by more than noise."""
    found = []
    for a, b in combinations(scores, 2):
        difference = statistics.fmean(scores[a]) - statistics.fmean(scores[b])
        if abs(difference) > noise.threshold(len(scores[a]), len(scores[b])):
            found.append((a, b) if difference > 0 else (b, a))
    return found
