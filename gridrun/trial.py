"""One cell in the foreground: `gridrun try`. No store, no workers, nothing kept."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from gridrun.cell import Params, Value, encode_value
from gridrun.errors import InputError
from gridrun.grid import Axis, Grid
from gridrun.job import Job
from gridrun.outcome import Outcome, Task
from gridrun.reading import read_word
from gridrun.results.lines import tell_params
from gridrun.results.lookup import find_axis, find_combinations, says
from gridrun.spec import Spec
from gridrun.surroundings import Surroundings
from gridrun.threads import count_threads
from gridrun.trainers.importing import search_path
from gridrun.worker import Tell, run


@dataclass(frozen=True)
class Trial:
    """One cell that its trainer does not refuse, ready to be run."""

    spec: Spec  # of this one cell
    params: Params
    _job: Job
    _task: Task

    def run(self, tell: Tell) -> Outcome:
        """Run it in this process; `tell` hears of each epoch as it is done. What it prints is not caught.

        Raises: KeyboardInterrupt if that is what ended it.
        """
        with ExitStack() as stack:
            own = stack.enter_context(TemporaryDirectory(prefix="gridrun-"))
            found = lambda: stack.enter_context(Surroundings())  # noqa: E731 - taken when the module is loaded
            (outcome,) = run(replace(self._job, directory=own), [self._task], found, tell)
        if outcome.failure is not None and outcome.failure.reason.startswith("KeyboardInterrupt"):
            raise KeyboardInterrupt
        return outcome


def open_trial(spec: Spec, words: Sequence[str], *, grid_file: Path) -> Trial:
    """The first cell of the grid, with `name=value` in place of its parameters: a value may be a new one.

    Raises: InputError for a word that is no parameter of the grid's, or a cell that the trainer refuses.
    """
    grid = _single(spec, words, str(grid_file))
    spec = replace(spec, grid=grid)
    trainer = spec.trainer.find(spec.grid, grid_file)
    trainer.validate(grid)
    (cell,) = grid.cells(trainer.identity(grid))
    job = Job(
        spec.trainer, tuple(search_path(grid_file)), spec.metric, grid.budget, None, mode=spec.mode,
        epoch=spec.rule.epoch, budgets=grid.budgets, threads=count_threads(spec.run.threads),
    )  # fmt: skip
    return Trial(spec, cell.params, job, Task(cell.trajectory, grid.trajectory_params(0), cell.budget, 0))


def _single(spec: Spec, words: Iterable[str], where: str) -> Grid:
    """The grid of one cell: of the first combination with what the words say, or with the place for it."""
    grid, fixed = spec.grid, dict(spec.grid.fixed)
    said: dict[str, Value] = {}
    meant: dict[str, Collection[str]] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise InputError(f"a parameter is name=value, found {word!r}; write {grid.axes[0].name}=...")
        if name in fixed:
            fixed[name] = read_word(name, text, where)
            continue
        axis = find_axis(grid, name)
        if axis.name in said:
            raise InputError(f"{axis.name} is given twice; write it once")
        known = [value for value in axis.values if says(text, value)]
        said[axis.name] = known[0] if known else read_word(axis.name, text, where)
        if axis in grid.axes and axis.name != grid.budget:
            # A new value takes the place of any.
            meant[axis.name] = set(map(encode_value, known[:1] or axis.values))
    if grid.budget in said:
        _check_budget(grid.budget, said[grid.budget])
    found = find_combinations(grid, meant)
    if not found:
        together = tell_params(said, meant)
        raise InputError(f"no combination of the grid has {together}; leave one of them out")
    params = grid.trajectory_params(found[0] * grid.repeats)
    if grid.budget is not None:
        params[grid.budget] = grid.budgets[0]
    params |= said

    def one(axes: Iterable[Axis]) -> tuple[Axis, ...]:
        return tuple(Axis(axis.name, (params[axis.name],)) for axis in axes if axis.name in params)

    return Grid(one(grid.axes), one(grid.replicates), fixed, grid.budget)


def _check_budget(name: str, value: Value) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(
            f"{name} is the budget axis and must be a whole number from 1, found {value!r}; write {name}=2"
        )
