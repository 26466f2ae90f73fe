"""Why cells failed, as a report tells it: by cause, with what the cells of one have in common."""

from dataclasses import dataclass

import numpy as np

from gridrun.outcome import FAILED, Failure
from gridrun.results.aggregate import Aggregate
from gridrun.results.failures import MOST_KINDS, OTHERS, describe_failure, kind_of
from gridrun.results.layout import Ints
from gridrun.spelling import spell
from gridrun.store import Store
from gridrun.terminal import visible

SHOWN_VALUES = 5  # of an axis: with more of them nothing is in common


@dataclass(frozen=True)
class Cause:
    """Cells that failed alike: how many, why, the first of them, its failure, and what all have in common."""

    count: int
    reason: str
    cell: str
    failure: Failure
    common: str


def find_causes(store: Store, result: Aggregate) -> list[Cause]:
    """The causes of the failures of a grid's cells, the most frequent first; past MOST_KINDS they are one."""
    names, cells, layout = result.names, result.cells, result.layout
    failed = np.flatnonzero((cells[names.status] == FAILED).to_numpy())
    if not len(failed):
        return []
    trajectories = layout.order[failed] % len(result.trajectories)
    # By trajectory a short text: a million tracebacks would be gigabytes.
    kinds = {name: kind_of(failure) for name, failure in store.failures()}
    found: dict[str, list[int]] = {}
    for place, trajectory in enumerate(trajectories.tolist()):
        kind = kinds.get(result.trajectories[trajectory], OTHERS)
        if kind not in found and len(found) >= MOST_KINDS:
            kind = OTHERS
        found.setdefault(kind, []).append(place)
    causes = []
    for places in found.values():
        example = store.failure_of(result.trajectories[int(trajectories[places[0]])])
        if example is not None:
            cell = str(cells[names.cell].iloc[int(failed[places[0]])])
            common = _in_common(result, trajectories[places])
            causes.append(Cause(len(places), describe_failure(example), cell, example, common))
    return sorted(causes, key=lambda cause: -cause.count)


def _in_common(result: Aggregate, trajectories: Ints) -> str:
    """The axes of which cells of this cause have some values only, while others have others."""
    if len(trajectories) < 2:
        return ""
    told = []
    for axis in result.spec.grid.all_axes:
        if axis.name == result.spec.grid.budget:
            continue
        codes = np.unique(result.layout.codes_of_trajectories(axis.name, trajectories))
        few = codes.min() >= 0 and len(codes) <= SHOWN_VALUES
        if few and len(codes) < len(axis.values) and len(axis.values) > 1:
            values = " or ".join(spell(axis.values[code], digits=6) for code in codes.tolist())
            told.append(f"{visible(axis.name)} is {values}")
    return ", ".join(told)
