"""The answer that a grid gives: the best, the chosen one, what is tied with it, edges, what matters.

All that is said at the top of a report, in the terminal and in summary.json, is said of an `Answer`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from gridrun.cell import Params, Value
from gridrun.comparison import find_ties, search_curve, simplest
from gridrun.grid import Axis
from gridrun.resampling import Resampled, resample_examples, resample_runs
from gridrun.results.aggregate import Aggregate
from gridrun.results.examples import FOLD
from gridrun.results.ranking import std_where

# A combination, and the place of its value on the budget axis.
Place = tuple[int, int]
SHOWN_TIES = 1000  # a list of all that is tied in a large grid helps nobody
SHOWN_WINNERS = 10
SIZES = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)  # of searches that the curve tells


@dataclass(frozen=True)
class Pick:
    """A combination at a value of the budget axis: every parameter but the replicates', and its metric.

    metric is the mean over `count` runs and std their standard deviation (n - 1), NaN of one. `cell` is the
    id of the first completed run's cell. `p` is the adjusted p-value of its difference to the best.
    """

    params: Params
    metric: float
    std: float
    count: int
    cell: str
    p: float = float("nan")


@dataclass(frozen=True)
class Edge:
    """The best lies at the first or last value of an axis of numbers: which value to try next."""

    axis: str
    value: Value
    end: str  # "low" or "high"
    try_: Value


@dataclass(frozen=True)
class Answer:
    """What a grid says. `ties` is None where there is one run of each combination, and nothing is claimed.

    corrected: the score of what is chosen on examples that it was not chosen by; None without bits.
    stability: which combinations win in samples of the examples, or else of the replicates, and how often,
        the most frequent first; empty with neither.
    """

    best: Pick
    chosen: Pick
    ties: tuple[Pick, ...] | None
    tied_count: int
    compared: int
    edges: tuple[Edge, ...]
    curve: tuple[tuple[int, float], ...]
    corrected: Resampled | None
    stability: tuple[tuple[Pick, float], ...]


def find_answer(result: Aggregate) -> Answer | None:
    """The answer; None while nothing is completed or all of it diverged."""
    if not result.has_best:
        return None
    places = list(zip(result.order.tolist(), result.reached_at.tolist(), strict=True))
    best = places[0]
    ties, count = None, 0
    if result.by_run.shape[-1] > 1:
        runs = result.by_run[result.order, result.reached_at]
        found = find_ties(runs, 0, overlap=overlap_of(result))
        count = int(found.tied.sum())
        rows = np.flatnonzero(found.tied)[:SHOWN_TIES].tolist()
        ties = tuple(_pick(result, places[row], float(found.p[row])) for row in rows)
    total = len(result.by_combination)
    sizes = [n for n in SIZES if n < total] + [total]
    values = result.best[result.names.metric].to_numpy(float)
    lost = np.full(total - len(values), np.nan)
    curve = search_curve(np.concatenate([values, lost]), result.spec.mode, sizes)
    corrected, stability = _resample(result, places)
    return Answer(
        _pick(result, best),
        _pick(result, _chosen(result, best)),
        ties,
        count,
        len(values) - 1,
        tuple(_edges(result, best)),
        tuple(zip(sizes, curve, strict=True)),
        corrected,
        stability,
    )


def _resample(
    result: Aggregate, places: Sequence[Place]
) -> tuple[Resampled | None, tuple[tuple[Pick, float], ...]]:
    """The corrected score, and who wins how often."""
    corrected = None
    if result.examples is not None:
        corrected = found = resample_examples(result.examples.scores, "max")
        places = result.examples.places
    elif result.by_run.shape[-1] > 1:
        found = resample_runs(result.by_run[result.order, result.reached_at], result.spec.mode)
    else:
        return None, ()
    order = np.argsort(-found.wins, kind="stable")[:SHOWN_WINNERS].tolist()
    told = ((_pick(result, places[row]), float(found.wins[row])) for row in order if found.wins[row] > 0)
    return corrected, tuple(told)


def overlap_of(result: Aggregate) -> float:
    """n_test / n_train of the folds that the replicates are; 0 where they are none."""
    told = result.spec.trainer.overlap
    if told is not None:
        return told
    folds = [len(axis.values) for axis in result.spec.grid.replicates if axis.name == FOLD]
    return 1 / (folds[0] - 1) if folds and folds[0] > 1 else 0.0


def _chosen(result: Aggregate, best: Place) -> Place:
    choice, layout = result.spec.choice, result.layout
    if choice.rule == "best":
        return best
    count = int(np.isfinite(result.by_run[best]).sum())
    error = _std(result, best) / np.sqrt(count) if count > 1 else 0.0
    combination, budget = layout.pairs.T
    codes = {**layout.codes, **({layout.budget.name: budget} if layout.budget is not None else {})}
    means = result.by_budget[combination, budget]
    # What has not got an axis comes before its first value: it is simpler.
    order = [codes[name] if codes[name] is budget else codes[name][combination] for name in choice.prefer]
    (place,) = np.flatnonzero((combination == best[0]) & (budget == best[1])).tolist()
    found = simplest(means, place, error, result.spec.mode, order)
    return int(combination[found]), int(budget[found])


def _pick(result: Aggregate, at: Place, p: float = float("nan")) -> Pick:
    grid, runs = result.spec.grid, result.by_run[at]
    there = np.flatnonzero(np.isfinite(runs))
    cell = result.layout.cell_of(*at, int(there[0]) if len(there) else 0)
    replicates = {axis.name for axis in grid.replicates}
    params = {name: value for name, value in result.layout.params_of(*at).items() if name not in replicates}
    name = str(result.cells[result.names.cell].iloc[cell])
    return Pick(params, float(result.by_budget[at]), _std(result, at), len(there), name, p)


def _std(result: Aggregate, at: Place) -> float:
    runs = result.by_run[at]
    return float(std_where(runs[None], np.isfinite(runs)[None], result.by_budget[at][None])[0])


def _edges(result: Aggregate, best: Place) -> Iterator[Edge]:
    layout = result.layout
    alike = _alike(result, best[0])
    for axis in layout.every:  # of a zip no value follows: its values are no numbers
        if axis is layout.budget:
            there, place = range(len(axis.values)), best[1]
        else:
            codes = layout.codes[axis.name]
            there, place = np.unique(codes[alike & (codes >= 0)]).tolist(), int(codes[best[0]])
        numbers = sorted(_numbers(Axis(axis.name, tuple(axis.values[i] for i in there))))
        if place < 0 or len(numbers) < 2 or axis.values[place] not in (numbers[0], numbers[-1]):
            continue
        value = axis.values[place]
        end = "low" if value == numbers[0] else "high"
        following = next_value(numbers, end)
        if axis.name == result.spec.grid.budget and (end == "low" or following is None):
            continue  # fewer epochs are no more to be learned from
        if following is not None:
            yield Edge(axis.name, value, end, following)


def _alike(result: Aggregate, combination: int) -> npt.NDArray[np.bool_]:
    """The combinations with the same parameters, those that are no numbers equal: where an axis ends there.

    The largest learning rate of SGD is no end for Adam, which had smaller ones.
    """
    alike = np.ones(len(result.by_combination), bool)
    for axis in result.layout.factors:
        codes = result.layout.codes[axis.name]
        own = int(codes[combination])
        alike &= (codes >= 0) == (own >= 0) if _numbers(axis) else codes == own
    return alike


def _numbers(axis: Axis) -> list[int | float]:
    """The values of an axis of numbers; of any other none."""
    numbers = [v for v in axis.values if isinstance(v, int | float) and not isinstance(v, bool)]
    return numbers if len(numbers) == len(axis.values) else []


def next_value(numbers: list[int | float], end: str) -> int | float | None:
    """What follows beyond an end of sorted numbers: one more step as the last, by ratio if they span tenfold.

    None where there is no such number: below the whole number 1, or past what was positive throughout.
    """
    last, before = (numbers[0], numbers[1]) if end == "low" else (numbers[-1], numbers[-2])
    if numbers[0] > 0 and numbers[-1] >= 10 * numbers[0]:
        found = last * (last / before)
    else:
        found = last + (last - before)
        if numbers[0] > 0 and found <= 0:
            found = last / 2
    if all(isinstance(number, int) for number in numbers):
        whole = round(found)
        return whole if whole not in numbers and (numbers[0] <= 0 or whole > 0) else None
    found = float(f"{found:.6g}")
    return found if np.isfinite(found) and found not in numbers else None


def new_cells(result: Aggregate, axis: str) -> int:
    """How many cells one value more on an axis of the part with the best makes."""
    cells = prod(len(other.values) for other in result.frame if other.name != axis)
    return cells * result.spec.grid.repeats
