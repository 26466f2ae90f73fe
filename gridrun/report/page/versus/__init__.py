"""The page of `gridrun compare`: two sweeps where their combinations meet, in one file as report.html is.

Its rows are pairs of combinations, of which `mean` is B's metric less A's, so that the table, its filter, the
parallel coordinates and the selection are those of report.html.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from gridrun.cell import Value, encode_value
from gridrun.comparison import LEVEL
from gridrun.grid import Axis
from gridrun.report.captions import mixed, selected_on, state
from gridrun.report.page.rendering import Heading, Panel, render
from gridrun.report.page.source import COMPLETED, DIVERGED, STATES, known, numbers, pack, tell_axis, tell_ids
from gridrun.report.versus import known_or_unsaid, names_of, ranked, rows_of, signed, tell
from gridrun.report.views.ranges import range_of
from gridrun.report.views.scales import drawable
from gridrun.results.compare import Compared, Meeting
from gridrun.terminal import visible

SHOWN = 10  # rows of the first table
MOST_PAIRS = 100_000
MOST_DOTS = 1500


@dataclass(frozen=True)
class Pairs:
    """A comparison with the pairs that the page has: all, or the best of either sweep."""

    found: Compared
    directories: tuple[Path, Path]

    @cached_property
    def meetings(self) -> list[Meeting]:
        return ranked(self.found)[:MOST_PAIRS]

    @cached_property
    def axes(self) -> list[Axis]:
        """What varies among the pairs, each with the values that it has in either sweep."""
        one, other = self.found.one, self.found.other
        written = {axis.name: axis.values for each in (other, one) for axis in each.axes}
        axes = []
        for name in names_of(self.found):
            there = [meeting.params[name] for meeting in self.meetings if name in meeting.params]
            values = {encode_value(value): value for value in chain(written.get(name, ()), there)}
            met = {encode_value(value) for value in there}
            axes.append(Axis(name, tuple(value for code, value in values.items() if code in met)))
        return axes

    def codes_of(self, axis: Axis) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """The place of each pair's value on an axis; -1 where it has not got it."""
        place = {encode_value(value): i for i, value in enumerate(axis.values)}
        return np.array([_place(meeting.params, axis.name, place) for meeting in self.meetings], np.int64)

    def data(self) -> dict[str, Any]:
        """As `Source.data` tells of choices."""
        gain = np.array([meeting.difference for meeting in self.meetings])
        both = np.array([(meeting.one, meeting.other) for meeting in self.meetings])
        there = np.isfinite(gain)
        shown = drawable(gain[there]) if there.any() else np.zeros(1)
        end = float(np.abs(shown).max()) or 1.0
        metrics = {"A": both[:, 0], "B": both[:, 1]}
        if self.found.replicates:
            metrics["p"] = np.array([meeting.p for meeting in self.meetings])
        less = self.found.one.spec.mode == "min"
        return {
            "name": f"{self.found.one.spec.name} and {self.found.other.spec.name}",
            "metric": "B - A",
            "mode": self.found.one.spec.mode,
            "range": [-end, end],
            "budget": None,
            "repeats": 2,
            "called": ["A", "B"],
            "replicates": [],
            "axes": [tell_axis(axis, self.codes_of(axis)) for axis in self.axes],
            "states": list(STATES),
            "state": pack(np.where(there, COMPLETED, DIVERGED).astype(np.uint8)),
            "mean": pack(numbers(gain)),
            "combination": pack(np.arange(len(gain), dtype=np.int32)),
            "ids": tell_ids(chain.from_iterable(meeting.cells for meeting in self.meetings)),
            "best": [],
            "tied": [],
            "runs": pack(numbers(both.ravel())),
            "metrics": {name: pack(numbers(values)) for name, values in metrics.items()},
            "less": [*(["A", "B"] if less else []), "p"],
        }


def _place(params: Any, name: str, place: dict[str, int]) -> int:
    value: Value = params.get(name)
    return place[encode_value(value)] if name in params else -1


def write_comparison(found: Compared, directories: tuple[Path, Path], path: Path) -> None:
    """Write the page of a comparison to `path`."""
    source = Pairs(found, directories)
    each = [("A", found.one), ("B", found.other)]
    words = f"{selected_on(found.one)}. " + " ".join(f"{name}: {state(result)}." for name, result in each)
    warnings = [f"{name}: {told}." for name, result in each if (told := mixed(result))]
    if len(source.meetings) < len(found.meetings):
        warnings.append(f"{MOST_PAIRS:,} of {len(found.meetings):,} pairs are here; --csv writes all.")
    heading = Heading(f"{found.one.spec.name} and {found.other.spec.name}", words, warnings)
    render(PANELS, source, source.data(), heading, path, "versus/")


def _fill_answer(source: Pairs) -> dict[str, Any]:
    found = source.found
    better, worse, equal = found.better()
    up, down = found.beyond_noise()
    names, heads, rows = rows_of(found, SHOWN)
    finite = [m.difference for m in found.meetings if np.isfinite(m.difference)]
    return {
        "pairs": len(found.meetings),
        "finite": len(finite),
        "counts": (better, worse, equal),
        "sure": (up, down) if found.replicates else None,
        "mean": signed(sum(finite) / len(finite)) if finite else "",
        "metric_name": found.one.spec.metric,
        "sentences": list(tell(found)),
        "header": [*names, *heads],
        "rows": rows,
    }


def _fill_scatter(source: Pairs) -> dict[str, Any]:
    both = _both(source.meetings)
    return {
        "clipped": range_of(both, source.found.one.spec.mode).note,
        "tested": bool(source.found.replicates),
        "metric_name": source.found.one.spec.metric,
        "thinned": len(source.meetings) > MOST_DOTS,
        "most": MOST_DOTS,
    }


def _data_scatter(source: Pairs) -> dict[str, Any]:
    shown = range_of(_both(source.meetings), source.found.one.spec.mode)
    return {
        "range": [shown.low, shown.high],
        "level": LEVEL if source.found.replicates else None,
        "most": MOST_DOTS,
        "metric": visible(source.found.one.spec.metric),
    }


def _both(meetings: Sequence[Meeting]) -> Any:
    return np.array([(meeting.one, meeting.other) for meeting in meetings]).ravel()


def _fill_differences(source: Pairs) -> dict[str, Any]:
    lines = []
    for axis in (axis for axis in source.axes if len(axis.values) > 1):
        codes = source.codes_of(axis)
        gain = np.array([meeting.difference for meeting in source.meetings])
        points = []
        for place in tell_axis(axis, codes)["order"]:
            here = gain[(codes == place) & np.isfinite(gain)]
            points.append((axis.values[place], len(here), float(np.median(here)) if len(here) else np.nan))
        lines.append((visible(axis.name), points))
    return {"lines": lines, "signed": signed, "tested": bool(source.found.replicates)}


def _data_differences(source: Pairs) -> list[dict[str, Any]]:
    lines = _fill_differences(source)["lines"]
    return [{"axis": name, "median": [known(median) for *_, median in points]} for name, points in lines]


def _fill_pairs(source: Pairs) -> dict[str, Any]:
    axes = [axis for axis in source.axes if len(axis.values) > 1]
    example = f"A>{source.meetings[0].one:.2g}" + (f" {axes[0].name}={axes[0].values[0]}" if axes else "")
    return {"rows": len(source.meetings), "example": visible(example)}


def _data_pairs(source: Pairs) -> dict[str, Any]:
    return {"directories": [visible(str(directory)) for directory in source.directories]}


def _fill_sweeps(source: Pairs) -> dict[str, Any]:
    found = source.found
    return {
        "sweeps": list(zip("AB", source.directories, (found.one, found.other), strict=True)),
        "differ": {name: list(map(known_or_unsaid, both)) for name, both in found.differ.items()},
        "on": found.on,
        "replicates": found.replicates,
    }


PANELS: tuple[Panel[Pairs], ...] = (
    Panel("answer", "Answer", _fill_answer),
    Panel("scatter", "A against B", _fill_scatter, _data_scatter),
    Panel("differences", "Per axis", _fill_differences, _data_differences),
    Panel("all_cells", "All pairs", _fill_pairs, _data_pairs),
    Panel("sweeps", "The two sweeps", _fill_sweeps),
)
