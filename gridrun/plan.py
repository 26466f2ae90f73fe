"""A plan: pending = grid - outcomes. What a sweep has to do, worked out without running anything."""

import random
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from math import prod
from pathlib import Path

from gridrun.block import Axis, Block
from gridrun.cell import Identity
from gridrun.directory import check_directory
from gridrun.errors import InputError
from gridrun.grid import OUTER, Grid
from gridrun.outcome import FAILED, NOTHING, PENDING, STATUSES, Progress, Task
from gridrun.refit import REFIT, rehearse
from gridrun.spec import Spec
from gridrun.store import Store
from gridrun.trainers import Trainer

# So many trajectories from all over the grid are run first. If all of them fail alike, it is a broken set-up,
# not bad luck (execution.py).
FIRST = 10
# Looks for them are FIRST times as many: 10 ms in a grid of which nearly everything is done.
ROUNDS = 100
# Why a trainer is called otherwise than for cells, in words.
TOLD = {
    REFIT: "so [refit] runs what is chosen: a replicate axis `fold` or `outer` is left out there",
    OUTER: "so nested selection scores a choice on its outer fold: without `fold`",
}


@dataclass(frozen=True)
class Count:
    """How many cells of a grid are in which state."""

    completed: int = 0
    failed: int = 0
    pending: int = 0
    stopped_early: int = 0  # of the completed, those whose run ended by itself before their budget

    @property
    def total(self) -> int:
        return self.completed + self.failed + self.pending


@dataclass(frozen=True)
class Plan:
    """What a sweep has to do: the grid, what names its cells, and what is known already."""

    spec: Spec
    identity: Identity
    known: dict[str, Progress]
    count: Count
    trajectories: int
    retry_failed: bool
    # By kind: what will be run after the sweep, and by whom.
    reruns: Mapping[str, Trainer] = field(default_factory=dict)

    def tasks(self) -> Iterator[Task]:
        """Yield what is left to run, each to the largest budget still needed.

        First a few from all over the grid, then the rest in the order that [run] asks for.
        """
        early = self.first_tasks()
        yield from early
        grid, sent = self.spec.grid, {task.number for task in early}
        for number, name in self._ordered(grid.trajectory_ids(self.identity)):
            needed = needed_epochs(self.known.get(name, NOTHING), grid.budgets, self.retry_failed)
            if needed and number not in sent:
                yield Task(name, grid.trajectory_params(number), needed if grid.budgets else None, number)

    def _ordered(self, names: Iterator[str]) -> Iterator[tuple[int, str]]:
        """Trajectories with their numbers, in grid order or at random: the same each time."""
        if self.spec.run.order == "grid":
            return enumerate(names)
        there = list(names)
        numbers = array("l", range(len(there)))
        random.Random(0).shuffle(numbers)
        return ((number, there[number]) for number in numbers)

    def first_tasks(self) -> list[Task]:
        """A few from all over the grid: should they all fail, it is not for one corner of it."""
        if self.trajectories <= FIRST:
            return []
        grid, tasks = self.spec.grid, []
        for number in _spread(grid):
            name = grid.trajectory_id(self.identity, number)
            needed = needed_epochs(self.known.get(name, NOTHING), grid.budgets, self.retry_failed)
            if needed:
                epochs = needed if grid.budgets else None
                tasks.append(Task(name, grid.trajectory_params(number), epochs, number))
            if len(tasks) == FIRST:
                break
        return tasks


def _spread(grid: Grid) -> Iterator[int]:
    """Yield places of trajectories, each once, of which every few in a row lie all over the grid.

    Blocks take turns. Not endless: where hardly any trajectory is left to run, nearly all that are looked at
    are done.
    """
    chance, seen = random.Random(0), set()
    turns = [
        _spread_block(block, start * grid.repeats, grid.replicates, chance)
        for block, start in zip(grid.blocks, grid.starts, strict=False)
        if block.kept
    ]
    for number in islice(chain.from_iterable(zip(*turns, strict=True)), ROUNDS * FIRST):
        if number not in seen:
            seen.add(number)
            yield number


def _spread_block(
    block: Block, start: int, replicates: Sequence[Axis], chance: random.Random
) -> Iterator[int]:
    """Yield places in a block, which begins at `start`, without end; some may come again.

    A Latin hypercube: FIRST in a row have all values of each axis, or one of each tenth of them. Where
    combinations are left out, one of each tenth of the block.
    """
    lengths = [len(axis.values) for axis in (*block.axes, *replicates)]
    if not block.is_whole:
        lengths = [len(block.kept) * prod(len(axis.values) for axis in replicates)]
    while True:
        columns = []
        for count in lengths:
            column = [place % count for place in range(FIRST)]
            if count > FIRST:
                column = [int(count * (place + chance.random()) / FIRST) for place in range(FIRST)]
            chance.shuffle(column)
            columns.append(column)
        # Not zip(*columns): a block of the budget axis alone has none, and one trajectory.
        for place in range(FIRST):
            number = 0
            for count, column in zip(lengths, columns, strict=True):
                number = number * count + column[place]
            yield start + number


def plan_sweep(spec: Spec, grid_file: Path, directory: Path, *, retry_failed: bool = False) -> Plan:
    """Work out what is left to run, changing nothing.

    Raises: InputError if the trainer or a cell can't be used, EnvironmentFault if the store can't.
    """
    check_directory(directory)
    trainer = spec.trainer.find(spec.grid, grid_file)
    reruns = find_rerunners(spec, grid_file)
    known: dict[str, Progress] = {}
    # InputError: there is no store, or one whose making was cut short.
    with suppress(InputError), Store.read(directory) as store:
        known = store.progress()
    return make_plan(spec, trainer, reruns, known, retry_failed=retry_failed)


def find_rerunners(spec: Spec, grid_file: Path) -> dict[str, Trainer]:
    """Of each kind of run that follows the sweep the trainer, asked by the first combination.

    Raises: InputError if the trainer can't be called so: now, and not after hours.
    """
    found = {}
    for rerun in rehearse(spec):
        try:
            trainer = found[rerun.kind] = spec.trainer.find(rerun.grid, grid_file)
            trainer.validate(rerun.grid)
        except InputError as error:
            raise InputError(f"{error} ({TOLD[rerun.kind]})") from None
    return found


def make_plan(
    spec: Spec,
    trainer: Trainer,
    reruns: Mapping[str, Trainer],
    known: dict[str, Progress],
    *,
    retry_failed: bool,
) -> Plan:
    """The plan from what is known. Raises: InputError as `plan_sweep`."""
    identity = trainer.identity(spec.grid)
    count, trajectories = count_cells(spec.grid, identity, known, retry_failed=retry_failed)
    if trajectories:  # of a finished sweep nothing will be called: a million cells are a minute of asking
        trainer.validate(spec.grid)
    return Plan(spec, identity, known, count, trajectories, retry_failed, reruns)


def count_cells(
    grid: Grid, identity: Identity, known: Mapping[str, Progress], *, retry_failed: bool = False
) -> tuple[Count, int]:
    """Count a grid's cells by status, and the trajectories that are left to run."""
    budgets = grid.budgets or (None,)
    if not known:
        return Count(pending=len(grid)), grid.trajectory_count
    tally = dict.fromkeys(STATUSES, 0)
    trajectories = stopped = 0
    # A million trajectories share a few states: these are looked at, not each trajectory.
    for found, count in Counter(map(known.get, grid.trajectory_ids(identity))).items():
        progress = found or NOTHING
        for budget in budgets:
            status = progress.status(budget)
            tally[PENDING if retry_failed and status == FAILED else status] += count
            stopped += count * (progress.ended and budget is not None and budget > progress.epochs)
        trajectories += count * bool(needed_epochs(progress, grid.budgets, retry_failed))
    return Count(**tally, stopped_early=stopped), trajectories


def needed_epochs(progress: Progress, budgets: Sequence[int], retry_failed: bool) -> int:
    """The epochs to run for a trajectory's pending cells; 0 if none is pending."""
    if progress.ended or (progress.failed and not retry_failed):
        return 0
    largest = max(budgets, default=1)
    return largest if largest > progress.epochs else 0
