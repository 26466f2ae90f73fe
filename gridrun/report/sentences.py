"""What a grid says, in sentences: each of them computed, and none where there is nothing to say."""

from collections.abc import Iterator
from math import isfinite, prod

from gridrun.report.captions import join, show, show_metric
from gridrun.results.aggregate import Aggregate
from gridrun.results.answer import Answer, Edge, new_cells
from gridrun.terminal import many, visible

LEAST_SHARE = 0.005  # of the variance: less is told as 0 %
SHOWN_VALUES = 5  # of an axis that are named where they are left out
TOLD_SIZES = (5, 20)  # of random searches beside the grid


def tell(result: Aggregate, answer: Answer | None) -> list[str]:
    """What `gridrun report` prints below its table."""
    lines = list(_matters(result))
    if answer is not None:
        for say in (_ties, _corrected, _stability, _chosen, _edges, _curve):
            lines += say(result, answer)
    return lines


def _ties(result: Aggregate, answer: Answer) -> Iterator[str]:
    if not answer.compared:
        return
    if answer.ties is None:
        yield "One run of each combination: nothing is claimed of differences; seeds as [replicate] tell."
        return
    runs = " and ".join(visible(axis.name) for axis in result.spec.grid.replicates)
    others = many(answer.compared, "other combination")
    if not answer.tied_count:
        yield f"The best differs from all {others} by more than noise over {runs} (paired t, Holm, 5 %)."
        return
    yield (
        f"{answer.tied_count:,} of {others} cannot be told from the best by {runs}"
        f" ({answer.best.count:,} runs, paired t, Holm, 5 %)."
    )


def _corrected(result: Aggregate, answer: Answer) -> Iterator[str]:
    found, best, count = answer.corrected, answer.best, many(answer.compared + 1, "combination")
    if not answer.compared:
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


def _edges(result: Aggregate, answer: Answer) -> Iterator[str]:
    if answer.edges:
        told = "; ".join(_edge(result, edge) for edge in answer.edges)
        yield f"At the edge of the grid: {told}."


def _edge(result: Aggregate, edge: Edge) -> str:
    where = "lowest" if edge.end == "low" else "highest"
    if edge.axis == result.spec.grid.budget:
        return f"{visible(edge.axis)} = {show(edge.value)} is the {where}, try {show(edge.try_)}"
    cells = many(new_cells(result, edge.axis), "cell")
    return f"{visible(edge.axis)} = {show(edge.value)} is the {where}, try {show(edge.try_)} ({cells})"


def _curve(result: Aggregate, answer: Answer) -> Iterator[str]:
    told = [
        (n, best)
        for n, best in answer.curve
        if n in TOLD_SIZES and n < len(result.by_combination) and isfinite(best)
    ]
    if told:
        words = ", ".join(f"{n} would have reached {show_metric(best)}" for n, best in told)
        yield f"Of combinations drawn at random, {words} on average."


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
