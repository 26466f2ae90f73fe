"""Which combinations can be told from the best, and which is the simplest that is as good.

Runs of a combination are its replicates: seeds, or folds. Two combinations are compared run by run, as run r
of both had the same seed or the same fold. Of one run each they are compared on its held-out examples: one by
one where it is known which were right, else by the proportions alone. Whatever compares here asks `selection`
what better means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gridrun.selection import merits

Floats = npt.NDArray[np.float64]

KEPT_CHANCES = 100_000
LEVEL = 0.05  # of all claims that combinations differ from the best, the chance that any is false


@dataclass(frozen=True)
class Ties:
    """How the other combinations compare with the best.

    p: adjusted p-values, by combination; NaN for the best itself, and where fewer than two runs are common.
    tied: those, without the best, that cannot be told from it at LEVEL.
    """

    p: Floats
    tied: npt.NDArray[np.bool_]


def find_ties(runs: Floats, best: int, *, overlap: float = 0.0) -> Ties:
    """Compare every combination with the best by a paired t-test; which are tied.

    t = d / (s sqrt(1/n + overlap)) with n - 1 degrees of freedom, of the n common runs; d is the mean and s
    the standard deviation (n - 1) of their differences. Between folds, whose training sets overlap, `overlap`
    is n_test / n_train (Nadeau and Bengio 2003); between seeds it is 0.

    Adjusted by Holm 1979 over all pairs: any two of the combinations could have been the best and one
    of the others, and which were is known by these very runs. Over the comparisons with the best alone, 100
    combinations that are all alike would give a false claim in 25 of 100 sweeps with 5 seeds.

    Shapes: runs (combinations, replicates); NaN where there is no run, or it diverged.
    """
    from scipy.stats import t as student

    there = np.isfinite(runs)
    runs = runs / (np.abs(runs[there]).max(initial=0) or 1)  # above 1e154 a number has no square
    difference = runs[best] - runs
    there = np.isfinite(difference)
    count = there.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = np.where(there, difference, 0.0).sum(axis=1) / count
        spread = np.where(there, difference - mean[:, None], 0.0)
        deviation = np.sqrt((spread**2).sum(axis=1) / (count - 1))
        t = np.abs(mean) / (deviation * np.sqrt(1 / count + overlap))
        t[(mean == 0) & (count > 1)] = 0.0  # alike in every run: 0 / 0
        p = 2 * student.sf(t, count - 1)
    p[count < 2] = np.nan
    return _claim(p, best, len(runs))


def compare_examples(right: npt.NDArray[np.bool_], best: int, combinations: int) -> Ties:
    """Compare every combination with the best by McNemar's exact test, as `find_ties` does.

    Of the examples that just one of the two got right, each is as likely to be either's: binomial with 1/2.
    It is about these trained models on other examples, not about training them anew (Dietterich 1998).

    Shapes: right (combinations, examples). `combinations` is of how many these are the ones compared.
    """
    from scipy.stats import binom

    wins = (right[best] & ~right).sum(axis=1)
    losses = (right & ~right[best]).sum(axis=1)
    p = np.minimum(2 * binom.cdf(np.minimum(wins, losses), wins + losses, 0.5), 1.0)
    return _claim(p, best, combinations)


def compare_proportions(metric: Floats, examples: int, best: int) -> Ties:
    """Compare every combination with the best by the z-test of two proportions, as `find_ties` does.

    Unpaired: as if each had been scored on other examples. All had the same, so that less is told than
    McNemar's test would, and hardly ever something that is not so.

    Shapes: metric (combinations,), each a proportion of `examples`; NaN where there is none.
    """
    from scipy.stats import norm

    pooled = (metric + metric[best]) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.abs(metric - metric[best]) / np.sqrt(2 * pooled * (1 - pooled) / examples)
        z[metric == metric[best]] = 0.0  # 0 / 0 where all are right
    return _claim(2 * norm.sf(z), best, len(metric))


def _claim(p: Floats, best: int, combinations: int) -> Ties:
    """What can be claimed at LEVEL by the p-values of comparisons with the best."""
    p = np.array(p)
    p[best] = np.nan
    p = adjust(p, combinations * (combinations - 1) // 2)
    tied = ~(p <= LEVEL)
    tied[best] = False
    return Ties(p, tied)


def adjust(p: Floats, pairs: int) -> Floats:
    """Holm's step-down adjustment of some of `pairs` p-values; the others may all be larger."""
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p, kind="stable")[: int((~np.isnan(p)).sum())]
    steps = p[order] * (pairs - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def simplest(
    means: Floats, best: int, error: float, mode: str, places: Sequence[npt.NDArray[np.int64]]
) -> int:
    """The simplest choice within one standard error of the best (Breiman et al. 1984).

    `error` is that of the best, s / sqrt(n). `places` are the places of the choices on the axes that say what
    is simple, the first axis first: earlier values are simpler. Of equals the better one, then grid order.

    Shapes: means (choices,), each of places (choices,).
    """
    merit = merits(means, mode)
    within = np.flatnonzero(merit >= merit[best] - error)
    keys = [merit[within] * -1, *(place[within] for place in reversed(places))]
    return int(within[np.lexsort(keys)[0]])


def search_curve(values: Floats, mode: str, sizes: Sequence[int]) -> list[float]:
    """The best of n combinations drawn at random without replacement, expected, for each n of `sizes`.

    sum over i of v_(i) C(i - 1, n - 1) / C(N, n), v_(1) the worst (Dodge et al. 2019). A combination that
    diverged counts as the worst that did not.

    Shapes: values (combinations,).
    """
    merit = -np.sort(-merits(values, mode))
    total, fit = len(merit), merit[np.isfinite(merit)]
    if not len(fit):
        return [float("nan") for _ in sizes]
    merit[len(fit) :] = fit[-1]
    scale = float(np.abs(merit).max()) or 1.0  # near 1e308 rounding alone leads past what a float can be
    merit = merit / scale

    def expected(n: int) -> float:
        mean = float(np.dot(merit, _chances(total, n) if total <= KEPT_CHANCES else _find_chances(total, n)))
        return scale * min(float(merit[0]), max(float(merit[-1]), mean))

    sign = 1 if mode == "max" else -1
    return [sign * expected(n) for n in sizes]


def _find_chances(total: int, n: int) -> Floats:
    """Of each of `total` combinations, the best first, the chance to be the best of n that are drawn."""
    # The best is drawn in n / N of the searches; else the next is the best of n of the N - 1 others, ...
    behind = np.arange(total - 1.0, 0.0, -1.0)
    chances = np.cumprod(np.concatenate([[1.0], np.maximum(behind - n + 1, 0) / behind]))
    return np.asarray(chances / chances.sum())


# The values of an axis have as many combinations each, and share them: 12 sizes of 800 KB.
_chances = lru_cache(maxsize=16)(_find_chances)
