"""What is run once more after a sweep: the chosen combination ([refit]), and the choice of each outer fold.

Such a run is a trajectory like any other, named by its content, in a grid of its own with one combination: it
is kept, found again and resumed like any other, and another choice is another trajectory.

Nested selection (Cawley & Talbot, JMLR 11 (2010)) is a sweep with the replicate axes `outer` and `fold`:
within each outer fold a choice is made by its inner folds, and scored on the outer fold by a run without
`fold`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gridrun.cell import Params, Value, encode_value
from gridrun.grid import FOLD, OUTER, Axis, Grid
from gridrun.spec import Spec

REFIT = "refit"


@dataclass(frozen=True)
class Rerun:
    """One combination to run once more: `name` is "refit", or "outer" and the outer fold."""

    name: str
    grid: Grid

    @property
    def kind(self) -> str:
        """REFIT or OUTER."""
        return self.name.partition(" ")[0]

    @property
    def budget(self) -> int | None:
        """The epochs that it is run for, where there is a budget axis."""
        return next(iter(self.grid.budgets), None)

    @property
    def params(self) -> dict[str, Value]:
        """What it is called with."""
        budget = {} if self.budget is None else {str(self.grid.budget): self.budget}
        return {**self.grid.fixed, **budget}


def is_nested(grid: Grid) -> bool:
    """Whether a choice is made within each outer fold."""
    return {FOLD, OUTER} <= {axis.name for axis in grid.replicates}


def make_refit(spec: Spec, chosen: Params) -> Rerun:
    """The chosen combination with what [refit] sets; what it sets to null is left out."""
    return Rerun(REFIT, _grid(spec, chosen, spec.refit or {}))


def make_outer(spec: Spec, chosen: Params, outer: Value) -> Rerun:
    """The choice of an outer fold, to be scored on it: without `fold`, the trainer trains on all the rest."""
    return Rerun(f"{OUTER} {encode_value(outer)}", _grid(spec, chosen, {OUTER: outer}))


def rehearse(spec: Spec) -> list[Rerun]:
    """One of each kind that will follow, of the first combination: what no trainer takes is told at once."""
    grid = spec.grid
    first = grid.trajectory_params(0) | ({str(grid.budget): grid.budgets[0]} if grid.budgets else {})
    first = {name: value for name, value in first.items() if name not in _names_of_replicates(grid)}
    reruns = [make_refit(spec, first)] if spec.refit is not None else []
    if is_nested(grid):
        outer = next(axis for axis in grid.replicates if axis.name == OUTER)
        reruns.append(make_outer(spec, first, outer.values[0]))
    return reruns


def _names_of_replicates(grid: Grid) -> set[str]:
    return {axis.name for axis in grid.replicates}


def _grid(spec: Spec, chosen: Params, given: Mapping[str, Value]) -> Grid:
    """A grid of one combination. Replicate axes have their first value; folds, which split data, none."""
    budget = spec.grid.budget
    firsts = {axis.name: axis.values[0] for axis in spec.grid.replicates if axis.name not in (FOLD, OUTER)}
    params = {**chosen, **firsts, **given}
    params = {name: value for name, value in params.items() if value is not None or name not in given}
    axes = () if budget is None else (Axis(budget, (params.pop(budget),)),)
    return Grid(axes, (), params, budget)
