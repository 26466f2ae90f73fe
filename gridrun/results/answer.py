"""The answer that a grid gives: the best, the chosen one, what is tied with it, edges, what matters.

All that is said at the top of a report, in the terminal and in summary.json, is said of an `Answer`.
"""

from dataclasses import dataclass

import numpy as np

from gridrun.comparison import Ties, compare_examples, compare_proportions, find_ties, simplest
from gridrun.resampling import Resampled, resample_examples, resample_runs
from gridrun.results.aggregate import Aggregate
from gridrun.results.axes import (
    Agreement,
    Curve,
    Flat,
    Slice,
    compare_budgets,
    curve_of,
    curves_by_value,
    find_flat,
    slice_axes,
)
from gridrun.results.edges import Edge, find_edges
from gridrun.results.layout import Floats, Ints
from gridrun.results.nested import Nested, find_nested, find_refit
from gridrun.results.picks import Pick, choose, order_of, overlap_of, pick
from gridrun.results.reruns import Ran

SHOWN_TIES = 1000  # a list of all that is tied in a large grid helps nobody
SHOWN_WINNERS = 10
# By which differences to the best are told from noise.
PAIRED_T, MCNEMAR, BINOMIAL = "paired t", "McNemar", "binomial"


@dataclass(frozen=True)
class Tied:
    """The combinations that cannot be told from the best: `count` of the `compared`; `picks` are the first.

    test: PAIRED_T over replicates; of one run each MCNEMAR on `examples` whose bits are known, or BINOMIAL
    on proportions of so many. simplest: of these and the best the first by [select] prefer, if it has any.
    """

    test: str
    examples: int
    compared: int
    count: int
    picks: tuple[Pick, ...]
    simplest: Pick | None


@dataclass(frozen=True)
class Answer:
    """What a grid says.

    ties: None where nothing is claimed: one run of each combination, and nothing known of its examples.
    compared: how many other combinations have the metric.
    corrected: the score of what is chosen on examples that it was not chosen by; None without bits.
    refit: the chosen one, run once more as [refit] asks; None without.
    nested: what the choices of outer folds score on these; None without outer folds.
    stability: which combinations win in samples of the examples, or else of the replicates, and how often,
        the most frequent first; empty with neither.
    """

    best: Pick
    chosen: Pick
    ties: Tied | None
    compared: int
    edges: tuple[Edge, ...]
    flat: tuple[Flat, ...]
    slices: tuple[Slice, ...]
    budgets: tuple[Agreement, ...]
    curve: tuple[tuple[int, float], ...]
    curves: tuple[Curve, ...]
    corrected: Resampled | None
    stability: tuple[tuple[Pick, float], ...]
    refit: Ran | None = None
    nested: Nested | None = None


def find_answer(result: Aggregate) -> Answer | None:
    """The answer; None while nothing is completed or all of it diverged."""
    if not result.has_best:
        return None
    places = np.stack([result.order, result.reached_at], axis=1)  # a million tuples are 100 MB
    flat = tuple(find_flat(result))
    idle = {axis.axis for axis in flat}
    corrected, stability = _resample(result, places)
    chosen = find_chosen(result)
    return Answer(
        best=pick(result, places[0]),
        chosen=chosen,
        ties=_ties(result, places),
        compared=len(places) - 1,
        # Where an axis does nothing, which of its values is the best says nothing either.
        edges=tuple(edge for edge in find_edges(result) if edge.axis not in idle),
        flat=flat,
        slices=tuple(slice_axes(result)),
        budgets=tuple(compare_budgets(result)),
        curve=curve_of(result.by_combination, result.spec.mode),
        curves=tuple(curves_by_value(result)),
        corrected=corrected,
        stability=stability,
        refit=find_refit(result, chosen),
        nested=find_nested(result),
    )


def find_chosen(result: Aggregate) -> Pick:
    """The combination that [select] chooses, of which there is one where there is a best."""
    best = int(result.order[0]), int(result.reached_at[0])
    return pick(result, choose(result, best))


def _ties(result: Aggregate, places: Ints) -> Tied | None:
    """What is tied with the best, by the sharpest test there is; None if there is none.

    What diverged, and can be no best, is compared with none.
    """
    metric = result.by_combination[result.order]
    metric = metric[np.isfinite(metric)]
    places = places[: len(metric)]  # ranked last
    rows, examples = np.arange(len(places)), 0
    if result.by_run.shape[-1] > 1:
        runs = result.by_run[*places.T]
        if np.isfinite(runs[0]).sum() < 2:  # the others failed: one run tells nothing of noise
            return None
        test, found = PAIRED_T, find_ties(runs, 0, overlap=overlap_of(result))
    elif result.examples is not None and (told := _compare_bits(result, places)) is not None:
        (rows, found), test, examples = told, MCNEMAR, result.examples.scores.shape[1]
    elif isinstance(result.spec.choice.examples, int):
        examples = result.spec.choice.examples
        if not _are_proportions(metric, examples):
            return None
        test, found = BINOMIAL, compare_proportions(metric, examples, 0)
    else:
        return None
    tied = np.flatnonzero(found.tied)
    picks = [pick(result, places[rows[i]], float(found.p[i])) for i in tied[:SHOWN_TIES].tolist()]
    first = None
    if result.spec.choice.prefer and len(tied):
        among = places[[0, *rows[tied].tolist()]]
        means = result.by_budget[*among.T]
        found_at = simplest(means, 0, np.inf, result.spec.mode, order_of(result, among))
        first = pick(result, among[found_at])
    return Tied(test, examples, len(rows) - 1, len(tied), tuple(picks), first)


def _compare_bits(result: Aggregate, places: Ints) -> tuple[Ints, Ties] | None:
    """Which rows of the ranking were compared by their examples, and how; None if the best has none."""
    if result.examples is None:
        return None
    row_of = np.full(len(result.by_combination), -1)
    row_of[places[:, 0]] = np.arange(len(places))
    choices = np.array(result.examples.places)
    rows = row_of[choices[:, 0]]
    # Of a combination's choices the one at the budget that it is ranked by.
    ranked = np.flatnonzero((rows >= 0) & (places[rows, 1] == choices[:, 1]))
    ranked = ranked[np.argsort(rows[ranked])]
    if not len(ranked) or rows[ranked[0]] != 0:
        return None
    right = result.examples.scores[ranked] == 1
    return rows[ranked], compare_examples(right, 0, len(places))


def _are_proportions(metric: Floats, examples: int) -> bool:
    """Whether each is a whole number of so many examples."""
    right = metric * examples
    inside = (metric >= 0) & (metric <= 1)
    return bool((inside & (np.abs(right - np.round(right)) < 1e-6 * examples)).all())


def _resample(result: Aggregate, places: Ints) -> tuple[Resampled | None, tuple[tuple[Pick, float], ...]]:
    """The corrected score, and who wins how often."""
    corrected = None
    if result.examples is not None:
        corrected = found = resample_examples(result.examples.scores, "max")
        places = np.array(result.examples.places)
    elif np.isfinite(result.by_run[*places[0]]).sum() > 1:
        found = resample_runs(result.by_run[result.order, result.reached_at], result.spec.mode)
    else:
        return None, ()
    order = np.argsort(-found.wins, kind="stable")[:SHOWN_WINNERS].tolist()
    told = ((pick(result, places[row]), float(found.wins[row])) for row in order if found.wins[row] > 0)
    return corrected, tuple(told)
