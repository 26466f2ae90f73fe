"""What the page is made from, and the numbers that its script reads.

A choice is a combination at a value of the budget axis: a row of the page. It has a cell a replicate, which
stand side by side in grid order.
"""

import base64
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gridrun.grid import Axis
from gridrun.report.captions import show
from gridrun.report.summary import summarise
from gridrun.report.views.histories import gather_pinned
from gridrun.report.views.lines import deviations
from gridrun.report.views.logs import gather_logs
from gridrun.report.views.ranges import range_of
from gridrun.report.views.scales import drawable, scale
from gridrun.results.aggregate import Aggregate
from gridrun.results.answer import Answer
from gridrun.results.costs import Costs, Stamps
from gridrun.results.layout import Floats, Ints
from gridrun.results.ranking import mean_where
from gridrun.store import Store
from gridrun.terminal import visible

# What a choice is: the places of these words are the numbers that the script reads.
STATES = ("completed", "failed", "pending", "diverged", "without the metric")
COMPLETED, FAILED, PENDING, DIVERGED, ABSENT = range(len(STATES))


@dataclass(frozen=True)
class Source:
    """A sweep's results with all that the page says of them."""

    result: Aggregate
    answer: Answer | None
    costs: Costs
    stamps: Stamps
    store: Store

    @cached_property
    def summary(self) -> dict[str, Any]:
        return summarise(self.result, self.answer)

    @property
    def repeats(self) -> int:
        return self.result.spec.grid.repeats

    @property
    def pairs(self) -> Ints:
        """Every choice, in grid order: its combination, the place of its budget."""
        return self.result.layout.pairs

    @cached_property
    def mean(self) -> Floats:
        """The metric of every choice; NaN where there is none."""
        return np.asarray(self.result.by_budget[*self.pairs.T])

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The axes of rows, members of zips too, and after them the zips, each as one."""
        grid, layout = self.result.spec.grid, self.result.layout
        names = {axis.name for axis in grid.axes}
        return (*grid.axes, *(axis for axis in layout.every if axis.name not in names))

    def codes_of(self, name: str) -> npt.NDArray[Any]:
        """The place of each choice's value on an axis; -1 where it has not got the axis."""
        layout = self.result.layout
        combination, budget = self.pairs.T
        own = layout.budget is not None and layout.budget.name == name
        return np.asarray(budget if own else layout.codes[name][combination])

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The choice of every first cell: of what an answer names by its cell."""
        ids = self.ids
        return {ids[i]: i // self.repeats for i in range(len(ids))}

    @cached_property
    def ids(self) -> list[str]:
        """Every cell's id, in grid order."""
        ids: list[str] = self.result.cells[self.result.names.cell].tolist()
        return ids

    @cached_property
    def states(self) -> npt.NDArray[np.uint8]:
        """What each choice is, a place in STATES."""
        result, names = self.result, self.result.names
        shape = (len(self.pairs), self.repeats)
        status = result.cells[names.status].to_numpy().reshape(shape)
        there = result.present.get(names.metric, np.zeros(len(result.cells), bool)).reshape(shape)
        done = (status == "completed").any(axis=1)
        found = np.where((status == "failed").any(axis=1), FAILED, PENDING)
        found = np.where(done, np.where(there.any(axis=1), DIVERGED, ABSENT), found)
        return np.where(np.isfinite(self.mean), COMPLETED, found).astype(np.uint8)

    def data(self) -> dict[str, Any]:
        """What every panel of the page shares: axes, choices, cells."""
        result = self.result
        shown = range_of(self.mean, result.spec.mode)
        told: dict[str, Any] = {
            "name": result.spec.name,
            "metric": visible(result.spec.metric),
            "mode": result.spec.mode,
            "budget": result.spec.grid.budget,
            "repeats": self.repeats,
            "replicates": [_values(axis) for axis in result.spec.grid.replicates],
            "axes": [self._axis(axis) for axis in self.axes],
            "range": [shown.low, shown.high],
            "states": list(STATES),
            "state": pack(self.states),
            "mean": pack(numbers(self.mean)),
            "combination": pack(self._combinations.astype(np.int32)),
            "ids": tell_ids(self.ids),
            "best": self._rows([self.answer.best.cell] if self.answer else []),
            "tied": self._rows([pick.cell for pick in self._ties]),
            "metrics": self._metrics(),
        }
        seconds = self.costs.seconds[*self.pairs.T]
        told["seconds"] = pack(seconds.astype(np.float32)) if np.isfinite(seconds).any() else None
        if self.repeats > 1:
            runs = result.by_run[*self.pairs.T]
            told["runs"] = pack(numbers(runs.ravel()))
            told["std"] = pack(numbers(deviations(runs)))
        return told

    @cached_property
    def detailed(self) -> list[int]:
        """Combinations of trajectories whose curves and texts are here: the best first, then the unranked."""
        if self.result.layout.is_budget_alone:
            return [0]
        ranked = self.result.order
        rest = np.setdiff1d(np.arange(len(self.result.trajectories) // self.repeats), ranked)
        return [*ranked.tolist(), *rest.tolist()][:MOST_DETAILED]

    @cached_property
    def logs(self) -> dict[str, Any]:
        """What combinations printed, and why they failed."""
        return gather_logs(self.result, self.store, self.detailed)

    @cached_property
    def pinned(self) -> dict[str, Any]:
        """Curves that are seen when a choice is pinned."""
        return gather_pinned(self.result, self.store, self.detailed)

    @property
    def _combinations(self) -> Ints:
        """Of each choice the number of its trajectories' combination: what curves and logs are known by."""
        combination = self.pairs[:, 0]
        return np.zeros_like(combination) if self.result.layout.is_budget_alone else combination

    @property
    def _ties(self) -> tuple[Any, ...]:
        return self.answer.ties.picks if self.answer and self.answer.ties else ()

    def _rows(self, cells: list[str]) -> list[int]:
        return [self.row_of[cell] for cell in cells if cell in self.row_of]

    def _axis(self, axis: Axis) -> dict[str, Any]:
        layout, zips = self.result.layout, self.result.spec.grid.zips
        return {
            **tell_axis(axis, self.codes_of(axis.name)),
            "member": axis.name in {member.name for z in zips for member in z.members},
            "zip": axis.name in {z.name for z in zips},
            "budget": layout.budget is not None and axis.name == layout.budget.name,
        }

    def _metrics(self) -> dict[str, Any]:
        """The other metrics of each first cell, where they are not too many for a page."""
        result, own = self.result, self.result.names.metric
        names = [name for name in result.present if name != own]
        if len(names) * len(self.pairs) > MOST_NUMBERS:
            return {}
        shape = (len(self.pairs), self.repeats)
        tables = ((name, result.cells[name].to_numpy(float).reshape(shape)) for name in names)
        return {visible(n): pack(numbers(mean_where(table, np.isfinite(table)))) for n, table in tables}


MOST_NUMBERS = 200_000  # of other metrics in a page
MOST_DETAILED = 100_000  # combinations


def tell_ids(ids: Iterable[str]) -> str:
    """Cells' ids as the script reads them: 48 of 64 bits, as `gridrun show` takes the beginning of one.

    Of 100,000 two begin alike in one sweep of 56,000.
    """
    return base64.b64encode(b"".join(bytes.fromhex(name[:12]) for name in ids)).decode()


def tell_axis(axis: Axis, codes: npt.NDArray[Any]) -> dict[str, Any]:
    """An axis as the script reads it; `codes` has the place of every row's value, -1 where it has none."""
    placed = scale(axis, len(axis.values))
    kind = np.int16 if len(axis.values) < 30_000 else np.int32
    return {
        **_values(axis),
        "label": visible(placed.label),
        "order": list(placed.kept),
        "at": [float(p) for _, p in sorted(zip(placed.kept, placed.positions.tolist(), strict=True))],
        "codes": pack(codes.astype(kind)),
    }


def _values(axis: Axis) -> dict[str, Any]:
    known = all(isinstance(v, int | float) and not isinstance(v, bool) for v in axis.values)
    return {
        "name": visible(axis.name),
        "values": [show(value) for value in axis.values],
        "numbers": [float(v) for v in drawable(axis.values)] if known else None,
    }


def numbers(values: Any) -> npt.NDArray[Any]:
    """Metrics as a page draws them: beyond 50,000 with seven digits, so that the page stays small."""
    found = drawable(values)
    if len(found) <= 50_000 or not (np.abs(found[np.isfinite(found)]) < 1e38).all():
        return found
    return found.astype(np.float32)


def pack(values: npt.NDArray[Any]) -> dict[str, str]:
    """An array as the script unpacks it: its type, and its bytes, the lowest first."""
    kind = values.dtype.newbyteorder("<")
    return {"type": kind.str[1:], "bytes": base64.b64encode(values.astype(kind).tobytes()).decode()}


def known(value: float) -> float | None:
    """A number for JSON, which has no NaN."""
    return float(value) if math.isfinite(value) else None
