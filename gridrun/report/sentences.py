"""What a grid says, in sentences: each of them computed, and none where there is nothing to say."""

import math
from collections.abc import Iterator
from math import isfinite, prod

from gridrun.cell import Value
from gridrun.outcome import PENDING
from gridrun.refit import REFIT
from gridrun.report.captions import join, show, show_metric
from gridrun.results.aggregate import Aggregate
from gridrun.results.answer import MCNEMAR, PAIRED_T, Answer, Tied
from gridrun.results.costs import Costs
from gridrun.results.edges import Edge
from gridrun.selection import merit
from gridrun.terminal import many, visible

LEAST_SHARE = 0.005  # of the variance: less is told as 0 %
SHOWN_VALUES = 5  # of an axis that are named where they are left out
TOLD_SIZES = (5, 20)  # of random searches beside the grid
EASY_SIZE = 5  # of random searches among the combinations with one value
SHOWN_AXES = 3
SHOWN_CHOICES = 3  # of outer folds
SHOWN_FRONT = 4  # choices on the front of metric against time


def tell(result: Aggregate, answer: Answer | None, costs: Costs | None = None) -> list[str]:
    """What `gridrun report` prints below its table; with `costs` what differs from run to run, too."""
    if answer is None:
        return list(_matters(result))
    lines = [*_best(result, answer), *_matters(result)]
    for say in (_flat, _sensitivity, _ties, _corrected, _nested, _stability, _chosen, _refit):
        lines += say(result, answer)
    lines += _edges(answer, costs)
    for say in (_budgets, _curve, _easier):
        lines += say(result, answer)
    if costs is not None:
        lines += _front(result, costs)
    return [*lines, *_next(result, answer)]


def _best(result: Aggregate, answer: Answer) -> Iterator[str]:
    best = answer.best
    if not isfinite(best.std):
        return  # the leaderboard has said it
    yield (
        f"Best: {visible(result.spec.metric)} {show_metric(best.metric)}, standard deviation"
        f" {show_metric(best.std)} over {best.count:,} runs (95 %: {show_metric(best.low)} to"
        f" {show_metric(best.high)}), cell {best.cell}."
    )


def _flat(_: Aggregate, answer: Answer) -> Iterator[str]:
    if answer.flat:
        told = " and ".join(
            f"{visible(flat.axis)} ({100 * max(flat.share, 0):.1f} %; one value alone loses"
            f" {show_metric(flat.loss)} at most)"
            for flat in answer.flat
        )
        yield f"May go, as next to nothing of the variance is theirs, interplays included: {told}."


def _sensitivity(_: Aggregate, answer: Answer) -> Iterator[str]:
    """The axes that the best gives most for, when they alone are changed."""
    told = [along for along in answer.slices if isfinite(along.range) and along.range > 0]
    told.sort(key=lambda along: -along.range)
    if told:
        words = ", ".join(
            f"{visible(along.axis.name)} {show_metric(along.range)}" for along in told[:SHOWN_AXES]
        )
        yield f"From the best, one axis alone moves the metric by up to: {words}."


def _ties(result: Aggregate, answer: Answer) -> Iterator[str]:
    ties = answer.ties
    if not answer.compared:
        return
    if ties is None:
        words = "One run of each combination: nothing is claimed of differences; seeds as [replicate] tell."
        if result.spec.grid.replicates:
            words = "One run of the best is completed: nothing is claimed of differences."
        if isinstance(result.spec.choice.examples, int):
            count = f"{result.spec.choice.examples:,} examples"
            words = f"{visible(result.spec.metric)} is no proportion of {count}: nothing is claimed."
        yield words
        return
    by, test = _test(result, answer, ties)
    others = many(ties.compared, "other combination")
    if not ties.count:
        yield f"The best differs from all {others} by more than noise over {by} ({test})."
        return
    words = f"{ties.count:,} of {others} cannot be told from the best by {by} ({test})"
    if ties.simplest is not None:
        at = "the best" if ties.simplest.cell == answer.best.cell else f"cell {ties.simplest.cell}"
        words += f"; the simplest of these is {at}, {show_metric(ties.simplest.metric)}"
    yield f"{words}."


def _test(result: Aggregate, answer: Answer, ties: Tied) -> tuple[str, str]:
    """By what combinations were compared, and how."""
    if ties.test == PAIRED_T:
        by = " and ".join(visible(axis.name) for axis in result.spec.grid.replicates)
        return by, f"{answer.best.count:,} runs, paired t, Holm, 5 %"
    by = f"the {ties.examples:,} examples"
    if ties.test == MCNEMAR:
        return by, "one run each, McNemar, Holm, 5 %: trained anew, each may differ by more"
    return by, "one run each, two proportions, unpaired, Holm, 5 %: trained anew, each may differ by more"


def _corrected(result: Aggregate, answer: Answer) -> Iterator[str]:
    found, best, count = answer.corrected, answer.best, many(answer.compared + 1, "combination")
    if not answer.compared or answer.nested is not None:  # which tells the same, and better
        return
    if found is not None and result.examples is not None and isfinite(found.mean):
        yield (
            f"{show_metric(best.metric)} is the luckiest score of {count}; on examples that it was not chosen"
            f" by, what is chosen scores {show_metric(found.mean)}, {show_metric(found.low)} to"
            f" {show_metric(found.high)} (BBC-CV on {visible(result.examples.metric)} of"
            f" {result.examples.scores.shape[1]:,} examples)."
        )
    else:
        yield (
            f"{show_metric(best.metric)} is the luckiest score of {count}: by how much is not known, as the"
            " trainer gives no `correct`, a boolean for each example."
        )


def _stability(result: Aggregate, answer: Answer) -> Iterator[str]:
    if answer.stability and answer.compared:
        of = "replicates" if result.examples is None else "examples"
        pick, wins = answer.stability[0]
        who = "The best" if pick.cell == answer.best.cell else f"Cell {pick.cell}"
        yield f"{who} wins {100 * wins:.0f} % of 1,000 samples of the {of}."


def _chosen(result: Aggregate, answer: Answer) -> Iterator[str]:
    if result.spec.choice.rule == "best":
        return
    chosen, axes = answer.chosen, [axis.name for axis in result.spec.grid.axes]
    params = join({name: value for name, value in chosen.params.items() if name in axes})
    prefer = ", ".join(map(visible, result.spec.choice.prefer))
    yield (
        f"Chosen, the first by {prefer} within one standard error of the best: {params}"
        f" ({show_metric(chosen.metric)}, cell {chosen.cell})."
    )


def _refit(result: Aggregate, answer: Answer) -> Iterator[str]:
    """What is chosen on data that took no part in choosing, beside the score it was chosen by."""
    ran, spec = answer.refit, result.spec
    if ran is None:
        return
    given = ", ".join(
        f"without {visible(name)}" if value is None else f"{visible(name)} {show(value)}"
        for name, value in (spec.refit or {}).items()
    )
    how = f"Refit with {given}" if given else "Refit"
    metric = ran.metrics.get(spec.metric)
    if ran.status == PENDING:
        yield f"{how}: not run yet; the same sweep command runs it."
    elif ran.failure:
        yield f"{how} failed: {visible(ran.failure)} (gridrun show {REFIT})."
    else:
        told = "no " + visible(spec.metric) if metric is None else show_metric(metric)
        yield f"{how}: {told}; it was chosen by {show_metric(answer.chosen.metric)} (gridrun show {REFIT})."


def _nested(result: Aggregate, answer: Answer) -> Iterator[str]:
    """What this way of choosing is worth."""
    nested = answer.nested
    if nested is None:
        return
    count = many(len(nested.folds), "outer fold")
    if not isfinite(nested.metric):
        missing = sum(not isfinite(score) for score in nested.scores)
        yield f"Nested: of {count} {missing:,} lack a score; the same sweep command runs what is pending."
        return
    varied = [axis.name for axis in result.spec.grid.axes]
    told = "; ".join(
        ", ".join(f"{visible(name)} {show(params[name])}" for name in varied if name in params)
        + f" ({times:,} times)" * (times > 1)
        for params, times in nested.choices[:SHOWN_CHOICES]
    )
    more = len(nested.choices) - SHOWN_CHOICES
    yield (
        f"Nested: what inner folds choose scores {show_metric(nested.metric)} on {count} that took no part,"
        f" standard deviation {show_metric(nested.std)}; chosen: {told}"
        + (f"; {more:,} more." if more > 0 else ".")
    )


def _edges(answer: Answer, costs: Costs | None) -> Iterator[str]:
    if answer.edges:
        told = "; ".join(_edge(edge, costs) for edge in answer.edges)
        yield f"At the edge of the grid: {told}."


def _edge(edge: Edge, costs: Costs | None) -> str:
    where = "lowest" if edge.end == "low" else "highest"
    price = many(edge.cells, "cell") if edge.runs else "which every run contains already"
    hours = costs.hours_of(edge) if costs is not None and edge.runs else math.nan
    if isfinite(hours):
        price += f", about {duration(hours)} of one worker"
    return f"{visible(edge.axis)} = {show(edge.value)} is the {where}, try {show(edge.try_)} ({price})"


def duration(hours: float) -> str:
    """Hours to read, or what is less in minutes or seconds."""
    for unit, length in (("h", 1.0), ("min", 1 / 60)):
        if hours >= length:
            return f"{hours / length:.2g} {unit}" if hours / length < 10 else f"{hours / length:,.0f} {unit}"
    return f"{hours * 3600:.2g} s"


def _budgets(result: Aggregate, answer: Answer) -> Iterator[str]:
    """What the next smaller budget says of the largest."""
    if answer.budgets and isfinite(answer.budgets[-1].correlation):
        found, name = answer.budgets[-1], visible(str(result.spec.grid.budget))
        yield (
            f"{name} = {found.budget:,} ranks {found.count:,} combinations as the largest {name} does with"
            f" Spearman's {found.correlation:.2f}; the best there is number {found.rank:,} here."
        )


def _curve(result: Aggregate, answer: Answer) -> Iterator[str]:
    told = [
        (n, best)
        for n, best in answer.curve
        if n in TOLD_SIZES and n < len(result.by_combination) and isfinite(best)
    ]
    if told:
        words = ", ".join(f"{n} would have reached {show_metric(best)}" for n, best in told)
        yield f"Of combinations drawn at random, {words} on average."


def _easier(result: Aggregate, answer: Answer) -> Iterator[str]:
    """Of an axis of names, such as optimisers, which value a random search finds the best of soonest."""
    found: dict[str, list[tuple[Value, float]]] = {}
    for curve in answer.curves:
        best = dict(curve.points).get(EASY_SIZE)
        if isinstance(curve.value, str) and best is not None and isfinite(best):
            found.setdefault(curve.axis, []).append((curve.value, best))
    for axis, told in found.items():
        if len(told) > 1:
            told.sort(key=lambda pair: -merit(pair[1], result.spec.mode))
            words = ", ".join(f"{show(value)} {show_metric(best)}" for value, best in told[:SHOWN_VALUES])
            yield f"Best of {EASY_SIZE} drawn at random, by {visible(axis)}: {words}."


def _front(result: Aggregate, costs: Costs) -> Iterator[str]:
    front = costs.front.tolist()
    if len(front) > 1:
        shown = [front[round(i * (len(front) - 1) / (SHOWN_FRONT - 1))] for i in range(SHOWN_FRONT)]
        told = list(
            dict.fromkeys(
                f"{show_metric(float(result.by_budget[at]))} in {duration(float(costs.seconds[at]) / 3600)}"
                for at in map(tuple, shown)
            )
        )
        count = many(len(front), "choice")
        yield f"For its time the best: {', '.join(told)} ({count}: front in timings.csv)."


def _next(result: Aggregate, answer: Answer) -> Iterator[str]:
    """One thing to do, the first that applies."""
    if result.counts["pending"]:
        yield f"Next: the same sweep command runs {many(result.counts['pending'], 'pending cell')}."
    elif answer.edges:
        names = " and ".join(visible(edge.axis) for edge in answer.edges)
        yield f"Next: widen {names} in grid.toml and sweep again; what is there is reused."
    elif answer.compared and answer.ties is None:
        yield "Next: keep the best few combinations and add [replicate] seed = [0, 1, 2, 3, 4]."
    elif answer.ties is not None and answer.ties.count:
        more = "more of [replicate]" if result.spec.grid.replicates else "[replicate] seed = [0, 1, 2, 3, 4]"
        yield f"Next: keep the best and the {answer.ties.count:,} that are tied, and give them {more}."


def _matters(result: Aggregate) -> Iterator[str]:
    found, axes = result.effects, result.frame
    if found is None:
        return
    told = [
        f"{' x '.join(visible(axes[place].name) for place in effect.axes)} {100 * effect.share:.0f} %"
        for effect in found.effects[:3]
        if effect.share >= LEAST_SHARE
    ]
    if found.noise is not None:
        told.append(f"noise {100 * found.noise:.0f} %")
    words = (
        f"What matters, of the variance of {visible(result.spec.metric)}{_where(result)}: {', '.join(told)}"
    )
    runs = prod(map(len, found.kept)) * len(found.kept_runs)
    if runs < result.runs.size:
        words += f" (of a complete part of the grid, {runs:,} of {result.runs.size:,} runs: {_part(result)})"
    yield f"{words}."


def _where(result: Aggregate) -> str:
    """Which [[grid]] the effects are about, where there are several."""
    parts = result.layout.parts
    return f" in [[grid]] {parts.index(result.part) + 1}, which has the best" if len(parts) > 1 else ""


def _part(result: Aggregate) -> str:
    """Which values of which axes are left out of the complete subgrid."""
    assert result.effects is not None
    out = []
    for axis, kept in zip(result.frame, result.effects.kept, strict=True):
        gone = [show(value) for place, value in enumerate(axis.values) if place not in set(kept)]
        if len(gone) > SHOWN_VALUES:
            out.append(f"{len(gone):,} values of {visible(axis.name)}")
        elif gone:
            out.append(f"{visible(axis.name)} {', '.join(gone)}")
    if gone_runs := result.runs.shape[-1] - len(result.effects.kept_runs):
        out.append(f"{gone_runs:,} of {result.runs.shape[-1]:,} replicates")
    return "without " + " and ".join(out)
