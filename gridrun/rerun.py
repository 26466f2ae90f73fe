"""Runs after a sweep: plan those that its results ask for, and run what is not stored yet."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gridrun.cell import as_given
from gridrun.directory import CELLS, REFITS
from gridrun.dispatch import dispatch, open_workers
from gridrun.following import Logs
from gridrun.grid import OUTER
from gridrun.job import Job
from gridrun.ledger import Ledger
from gridrun.outcome import NOTHING, Task
from gridrun.plan import Count, needed_epochs
from gridrun.refit import REFIT, Rerun
from gridrun.results.lines import tell_params
from gridrun.signals import Stop
from gridrun.spec import Run
from gridrun.store import Store
from gridrun.terminal import many
from gridrun.trainers import Trainer


@dataclass(frozen=True)
class Planned:
    """A run after the sweep, its trajectory, and what is left of it to do; None if all is stored."""

    rerun: Rerun
    trajectory: str
    task: Task | None


def plan_reruns(store: Store, trainers: Mapping[str, Trainer], *, retry_failed: bool) -> list[Planned]:
    """What the results ask for, noted in the store. Nothing while there is no best.

    `trainers` are by kind. Raises: InputError if a trainer cannot name its cells.
    """
    from gridrun.results.aggregate import aggregate
    from gridrun.results.answer import find_chosen
    from gridrun.results.nested import find_wanted

    result = aggregate(store)
    known, planned = store.progress(), []
    for rerun in find_wanted(result, find_chosen(result)) if result.has_best else ():
        grid = rerun.grid
        (name,) = grid.trajectory_ids(trainers[rerun.kind].identity(grid))
        epochs = needed_epochs(known.get(name, NOTHING), grid.budgets, retry_failed)
        task = Task(name, grid.fixed, epochs if grid.budgets else None) if epochs else None
        planned.append(Planned(rerun, name, task))
    store.note_reruns(
        [
            {
                "name": plan.rerun.name,
                "trajectory": plan.trajectory,
                "params": {name: as_given(value) for name, value in plan.rerun.params.items()},
            }
            for plan in planned
        ]
    )
    return planned


def run_again(
    planned: Sequence[Planned],
    store: Store,
    run: Run,
    job: Job,
    stop: Stop,
    say: Callable[[str], None],
    *,
    resumes: bool,
) -> None:
    """Run what is left, with workers of its own; its files are in cells/refit/.

    Raises: EnvironmentFault if the store or the workers fail.
    """
    left = [plan for plan in planned if plan.task is not None]
    _announce([plan.rerun for plan in left], say)
    ledger, logs = Ledger(store, store.progress(), resumes), Logs(store.directory)
    directory = str(store.directory.absolute() / REFITS)
    # One after another by budget: each has to have the metric at its own last epoch, and nowhere else.
    for budget in dict.fromkeys(plan.rerun.budget for plan in left):
        here = [plan for plan in left if plan.rerun.budget == budget]
        grid = here[0].rerun.grid
        own = replace(
            job, budgets=grid.budgets, epoch="last", sample=here[0].rerun.params, directory=directory
        )
        with open_workers(run) as crew:
            for found in dispatch(
                ledger.give(plan.task for plan in here if plan.task is not None),
                own,
                crew,
                max_attempts=run.max_attempts,
                stop=stop,
                tell=say,
                hear=logs.add,
                keep=ledger.keep,
            ):
                outcomes = ledger.commit(found)
                logs.finish(outcomes)
                ledger.learn(outcomes)
    tidy(store.directory)
    store.check_place()


def _announce(reruns: Iterable[Rerun], say: Callable[[str], None]) -> None:
    kinds = Counter(rerun.kind for rerun in reruns)
    if kinds[OUTER]:
        say(f"scoring what {many(kinds[OUTER], 'outer fold')} chose")
    for rerun in reruns:
        if rerun.kind == REFIT:
            say(f"refit of what is chosen: {tell_params(rerun.params, rerun.params)}")


def count_reruns(planned: Iterable[Planned], store: Store) -> Count:
    """How many of these runs are in which state."""
    known = store.progress()
    return Count(**Counter(known.get(plan.trajectory, NOTHING).status(plan.rerun.budget) for plan in planned))


def tidy(directory: Path) -> None:
    """Remove the folder for files of trajectories, if they left none."""
    for name in (REFITS, CELLS):
        with suppress(OSError):
            (directory / name).rmdir()
