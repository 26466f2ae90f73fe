"""Words under every picture, table and page: what was selected on what, and values made readable."""

import math
import re
import textwrap
from collections.abc import Sequence

from gridrun.cell import Params
from gridrun.results.aggregate import Aggregate
from gridrun.spelling import spell
from gridrun.terminal import visible


def show(value: object) -> str:
    """A parameter's value to read, floats to six digits."""
    return spell(value, digits=6)


def show_metric(value: float) -> str:
    """A metric to read, not to compute with: four digits after the point where that says something."""
    if math.isnan(value):
        return "diverged"
    digits = ".4f" if 1e-3 <= abs(value) < 1e5 or value == 0 else ".7g" if 1e5 <= abs(value) < 1e7 else ".4g"
    return f"{value:{digits}}"


def show_metrics(values: Sequence[float]) -> list[str]:
    """Metrics below each other: with more digits where two that differ would read alike."""
    told = [show_metric(value) for value in values]
    for digits in range(5, 18):
        if len(set(told)) == len({value for value in values if value == value}) + any(
            map(math.isnan, values)
        ):
            break
        told = [_tell(value, digits) for value in values]
    return told


def _tell(value: float, digits: int) -> str:
    """With so many digits; zeros at their end too, as what stands below each other has one length."""
    if not math.isfinite(value):
        return show_metric(value)
    whole = 1e-3 <= abs(value) < 10.0**digits
    return f"{value:#.{digits}g}".rstrip(".") if whole else f"{value:.{digits}g}"


def title(name: str) -> str:
    """A column's or an axis's title: learning_rate is Learning Rate."""
    words = [word[:1].upper() + word[1:] for word in re.split(r"[_\s]+", visible(name)) if word]
    return " ".join(words) or name


def title_of_count(result: Aggregate) -> str:
    """What the replicates are called together: Seeds, or Runs where there are several axes of them."""
    replicates = result.spec.grid.replicates
    return title(replicates[0].name) + "s" if len(replicates) == 1 else "Runs"


def clip(text: str, most: int) -> str:
    """Text cut to a width, and seen to be cut: in the middle, as what names differ in is often their end."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def join(params: Params) -> str:
    """Parameters as one line."""
    return ", ".join(f"{name} = {show(value)}" for name, value in params.items())


def selected_on(result: Aggregate) -> str:
    """What `best` means here, e.g. "accuracy on split = test, highest first, best over epochs"."""
    spec = result.spec
    known = {**result.defaults, **spec.grid.fixed}
    words = visible(spec.metric)
    if "split" in known and all(axis.name != "split" for axis in spec.grid.all_axes):
        words += f" on split = {show(known['split'])}"
    words += ", highest first" if spec.mode == "max" else ", lowest first"
    if spec.grid.replicates:
        names = " and ".join(axis.name for axis in spec.grid.replicates)
        words += f", mean over {names}"
    if result.budget is not None:
        words += f", best over {result.budget.name}"
    return words


def missing(result: Aggregate) -> str:
    """Why no combination is ranked, and what to do; nothing where one is."""
    if len(result.best):
        return ""
    if not result.counts["completed"]:
        failed = f" ({result.counts['failed']:,} failed)" if result.counts["failed"] else ""
        return f"no completed cell yet{failed}; nothing is ranked"
    found = ", ".join(map(visible, result.present)) or "none"
    return (
        f"no completed cell has the metric {show(result.spec.metric)}, found {found};"
        " write one of these as [sweep] metric"
    )


def state(result: Aggregate) -> str:
    """How much of the grid the report stands on."""
    counts = result.counts
    words = f"{counts['completed']:,} of {len(result.cells):,} cells completed"
    words += f", {counts['failed']:,} failed" if counts["failed"] else ""
    words += f", {counts['pending']:,} pending" if counts["pending"] else ""
    words += f", {result.stopped_early:,} stopped early" if result.stopped_early else ""
    words += f", {result.absent:,} without {visible(result.spec.metric)}" if result.absent else ""
    return words + (f", {result.diverged:,} diverged" if result.diverged else "")


def mixed(result: Aggregate) -> str:
    """What was not the same for all results, in one sentence; "" if everything was."""
    return "Mixed: " + visible("; ".join(result.mixtures)) if result.mixtures else ""


def caption(result: Aggregate, width: int, lines: int = 5) -> str:
    """The caption of a picture: what was selected on, the fixed parameters, the defaults."""
    parts = [f"{result.spec.name}: {selected_on(result)}. {state(result)}."]
    if result.spec.grid.fixed:
        parts.append(f"Fixed: {join(result.spec.grid.fixed)}.")
    if result.defaults:
        parts.append(f"Defaults: {join(result.defaults)}.")
    if result.mixtures:
        parts.insert(1, mixed(result) + ".")
    wrapped = [line for part in parts for line in textwrap.wrap(part, width)]
    if len(wrapped) > lines:
        wrapped = [*wrapped[: lines - 1], wrapped[lines - 1][: width - 2] + " …"]
    return "\n".join(wrapped)
