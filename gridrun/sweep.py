"""A sweep: pending = grid - outcomes; dispatch what is pending, commit what arrives."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from gridrun.cell import Cell, Identity
from gridrun.dispatch import Stop, dispatch, open_workers
from gridrun.environment import describe_environment
from gridrun.errors import GridrunError, InputError
from gridrun.grid import Grid, cell_id
from gridrun.spec import Run, Spec
from gridrun.store import FILE, NOTHING, Outcome, Progress, Store, check_directory
from gridrun.trainers import Trainer, search_path
from gridrun.worker import Job, Task

# Without --max-failures: so many first trajectories failing alike are a broken set-up, not bad luck.
ALIKE = 10


@dataclass(frozen=True)
class Count:
    """How many cells of a grid are in which state."""

    completed: int = 0
    failed: int = 0
    pending: int = 0

    @property
    def total(self) -> int:
        return self.completed + self.failed + self.pending


@dataclass(frozen=True)
class Plan:
    """What a sweep has to do: the grid, what names its cells, and what is known already."""

    spec: Spec
    identity: Identity
    known: Mapping[str, Progress]
    count: Count
    trajectories: int
    retry_failed: bool

    def tasks(self) -> Iterator[Task]:
        """Yield what is left to run, in grid order: each to the largest budget still needed."""
        grid = self.spec.grid
        for index, name in enumerate(grid.trajectory_ids(self.identity)):
            needed = _needed(self.known.get(name, NOTHING), grid.budgets, self.retry_failed)
            if needed:
                yield Task(name, grid.trajectory_params(index), needed if grid.budgets else None)


def plan_sweep(spec: Spec, grid_file: Path, directory: Path, *, retry_failed: bool = False) -> Plan:
    """Work out what is left to run, changing nothing.

    Raises: InputError if the train function or a cell can't be used, EnvironmentFault if the store can't.
    """
    check_directory(directory)
    trainer = Trainer.find(spec, grid_file)
    known: Mapping[str, Progress] = {}
    # InputError: there is no store, or one whose making was cut short.
    with suppress(InputError), Store.read(directory) as store:
        known = store.progress()
    return _plan(spec, trainer, known, retry_failed)


def _plan(spec: Spec, trainer: Trainer, known: Mapping[str, Progress], retry_failed: bool) -> Plan:
    identity = trainer.identity(spec.grid)
    count, trajectories = count_cells(spec.grid, identity, known, retry_failed=retry_failed)
    if trajectories:  # of a finished sweep nothing will be called: a million cells are a minute of asking
        trainer.validate(spec.grid)
    return Plan(spec, identity, known, count, trajectories, retry_failed)


def count_cells(
    grid: Grid, identity: Identity, known: Mapping[str, Progress], *, retry_failed: bool = False
) -> tuple[Count, int]:
    """Count a grid's cells by status, and the trajectories that are left to run."""
    budgets = grid.budgets or (None,)
    if not known:
        return Count(pending=len(grid)), grid.trajectory_count
    tally = {"completed": 0, "failed": 0, "pending": 0}
    trajectories = 0
    # A million trajectories share a few states: these are looked at, not each trajectory.
    for found, count in Counter(map(known.get, grid.trajectory_ids(identity))).items():
        progress = found or NOTHING
        for budget in budgets:
            status = progress.status(budget)
            tally["pending" if retry_failed and status == "failed" else status] += count
        trajectories += count * bool(_needed(progress, grid.budgets, retry_failed))
    return Count(**tally), trajectories


def _needed(progress: Progress, budgets: Sequence[int], retry_failed: bool) -> int:
    """The epochs to run for a trajectory's pending cells; 0 if none is pending."""
    if progress.failed and not retry_failed:
        return 0
    largest = max(budgets, default=1)
    return largest if largest > progress.epochs else 0


class TooManyFailures(GridrunError):
    """The sweep was ended early: what fails so often is not the cells."""


def run_sweep(
    spec: Spec,
    directory: Path,
    run: Run,
    *,
    grid_file: Path,
    retry_failed: bool = False,
    stop: Stop,
    started: Callable[[Plan, int], None],
    saved: Callable[[Sequence[Outcome]], None],
    tell: Callable[[str], None],
) -> Count:
    """Plan under the directory's lock, tell `started`, run what is left, tell `saved` of what is committed.

    `started` gets the plan, and how many workers there are; `tell` what the user should know of a
    worker. Returns the count of the whole grid.

    Raises: InputError and EnvironmentFault as `plan_sweep`; TooManyFailures when the circuit breaker opens.
    """
    grid = spec.grid
    check_directory(directory)
    trainer = Trainer.find(spec, grid_file)
    first = None
    if (directory / FILE).exists():
        # All of it, for reading only: SQLite may change a damaged file as it opens it for writing.
        with suppress(InputError), Store.read(directory) as store:
            store.progress()
    else:
        # Bad input must not leave a store behind.
        first = _plan(spec, trainer, {}, retry_failed)
    sample = grid.trajectory_params(0) | ({grid.budget: max(grid.budgets)} if grid.budget else {})
    job = Job(spec.train, tuple(search_path(grid_file)), spec.metric, grid.budget, run.timeout_s, sample)
    with Store.write(directory) as store:
        known = store.progress()
        plan = _plan(spec, trainer, known, retry_failed) if known or first is None else first
        # What is finished needs no workers, so no cluster has to be there to hear of it.
        with open_workers(run) if plan.trajectories else nullcontext() as workers:
            started(plan, 0 if workers is None else min(workers.count, plan.trajectories))
            store.begin(spec.text, plan.identity, trainer.defaults, describe_environment())
            if workers is None:
                return plan.count
            breaker = _Breaker(run.max_failures)
            for outcomes in dispatch(
                plan.tasks(), job, workers, max_attempts=run.max_attempts, stop=stop, tell=tell
            ):
                store.save(outcomes)
                saved(outcomes)
                breaker.look(outcomes)
        return count_cells(grid, plan.identity, store.progress())[0]


class _Breaker:
    """Ends a sweep in which everything fails, instead of burning the night."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.failed = 0
        self.finished = 0
        self.reasons: set[str] = set()

    def look(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self.finished += 1
            if outcome.failure is not None:
                self.failed += 1
                if len(self.reasons) < 2:  # two tell that they differ; a million would be gigabytes
                    self.reasons.add(outcome.failure.reason)
                if self.most is not None and self.failed >= self.most:
                    raise TooManyFailures(
                        f"stopped: {self.failed} trajectories failed (--max-failures {self.most});"
                        f" the last: {outcome.failure.reason}"
                    )
        if self.most is None and self.failed == self.finished >= ALIKE and len(self.reasons) == 1:
            raise TooManyFailures(
                f"stopped: the first {self.failed} trajectories all failed alike: {next(iter(self.reasons))}"
            )


def better(one: float | None, other: float, mode: str) -> float | None:
    """The better of two metrics; NaN (a diverged training) never wins."""
    if math.isnan(other):
        return one
    if one is None:
        return other
    return max(one, other) if mode == "max" else min(one, other)


def best_so_far(store: Store, spec: Spec) -> tuple[float, Cell] | None:
    """The best single cell of the grid as it stands, replicates not averaged; None before the first.

    Of equals it is that of the first trajectory in grid order. What diverged is never the best.
    """
    ids = list(spec.grid.trajectory_ids(store.identity()))
    place = {name: index for index, name in enumerate(ids)}
    sign = 1 if spec.mode == "max" else -1
    best: tuple[float, int] | None = None
    reached: int | None = None
    for name, history in store.histories():
        if name not in place:
            continue
        for budget in spec.grid.budgets or (None,):
            if len(history) < (budget or 1):
                continue
            rank = (sign * history[(budget or len(history)) - 1].get(spec.metric, math.nan), -place[name])
            if math.isfinite(rank[0]) and (best is None or rank > best):
                best, reached = rank, budget
    if best is None:
        return None
    value, index = sign * best[0], -best[1]
    return value, spec.grid.cell(index, ids[index], reached)


def find_cell(grid: Grid, identity: Identity, beginning: str) -> Cell:
    """The cell whose id begins so. Raises: InputError if there is none, or more than one."""
    if not beginning:
        raise InputError("a cell's id must not be empty; `cells.csv` lists them")
    ids = list(grid.trajectory_ids(identity))
    found = []
    for index, budget in grid.cell_positions():
        if cell_id(ids[index], budget).startswith(beginning.lower()):
            found.append(grid.cell(index, ids[index], budget))
            if len(found) > 1:
                raise InputError(
                    f"{beginning!r} begins more than one cell's id ({found[0].id}, {found[1].id}); write more"
                )
    if not found:
        raise InputError(f"no cell's id begins with {beginning!r}; `cells.csv` of the report lists them")
    return found[0]
