"""The winner's curse, measured: what the chosen combination would score on examples it was not chosen on.

The best of many scores is too good: part of it is luck with these very examples. Where the trainer tells for
each held-out example whether it was right, the choice itself can be repeated on other samples of them.
Tsamardinos, Greasidou and Borboudakis 2018 (BBC-CV): choose on a bootstrap sample of the examples, score the
choice on the examples that are not in it, a thousand times.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gridrun.selection import merits

Floats = npt.NDArray[np.float64]

SAMPLES = 1000
SEED = 0
# Equal sums that were added up in another order, as BLAS does with other threads, must stay equal: ties go to
# the better in rank, and not by the last bit.
DIGITS = 9
BLOCK = 4_000_000  # numbers of one product: 32 MB


@dataclass(frozen=True)
class Resampled:
    """mean, low, high: of the scores of what was chosen, their mean and 2.5 and 97.5 percentiles.

    NaN without examples. wins: for each choice the share of the samples that it was chosen in.
    """

    mean: float
    low: float
    high: float
    wins: Floats


def resample_examples(scores: Floats, mode: str) -> Resampled:
    """Choose on samples of examples, score on the others.

    Shapes: scores (choices, examples), of each example 1 or 0, or the mean of that over seeds.
    """
    chance = np.random.default_rng(SEED)
    choices, examples = scores.shape
    wins, found = np.zeros(choices), []
    rows = max(1, BLOCK // max(choices, examples))
    for start in range(0, SAMPLES, rows):
        drawn = chance.integers(examples, size=(min(rows, SAMPLES - start), examples))
        counts = _count(drawn)
        chosen = merits(np.round(counts @ scores.T, DIGITS), mode).argmax(axis=1)
        wins += np.bincount(chosen, minlength=choices)
        left = np.asarray(counts == 0)
        known = left.any(axis=1)
        out = np.where(left, scores[chosen], 0.0).sum(axis=1)[known] / left.sum(axis=1)[known]
        found.append(out)
    told = np.concatenate(found)
    if not len(told):  # a single example is in every sample
        return Resampled(np.nan, np.nan, np.nan, wins / SAMPLES)
    low, high = np.percentile(told, [2.5, 97.5])
    return Resampled(float(told.mean()), float(low), float(high), wins / SAMPLES)


def _count(drawn: npt.NDArray[Any]) -> Floats:
    """How often each was drawn, row by row. Shapes: drawn (samples, n), of numbers below n."""
    samples, n = drawn.shape
    places = (drawn + n * np.arange(samples)[:, None]).ravel()
    return np.bincount(places, minlength=drawn.size).reshape(drawn.shape).astype(float)


def resample_runs(runs: Floats, mode: str) -> Resampled:
    """Choose on samples of the replicates: how firmly they stand behind the winner. No score is corrected.

    Shapes: runs (choices, replicates); NaN where there is no run, or it diverged: such a choice never wins.
    """
    chance = np.random.default_rng(SEED)
    choices, count = runs.shape
    wins = np.zeros(choices)
    usable = np.asarray(np.isfinite(runs).all(axis=1))
    known = np.where(usable[:, None], runs, 0.0)
    known = known / (np.abs(known).max() or 1) / count  # near 1e308 two have no sum
    rows = max(1, BLOCK // choices)
    for start in range(0, SAMPLES, rows):
        counts = _count(chance.integers(count, size=(min(rows, SAMPLES - start), count)))
        means = np.round(counts @ known.T, DIGITS)
        means[:, ~usable] = np.nan
        wins += np.bincount(merits(means, mode).argmax(axis=1), minlength=choices)
    return Resampled(np.nan, np.nan, np.nan, wins / SAMPLES)
