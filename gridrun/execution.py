"""A sweep: plan it under the directory's lock, dispatch what is pending, commit what arrives."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gridrun.directory import CELLS, FILE, check_directory
from gridrun.dispatch import Workers, dispatch, open_workers
from gridrun.environment import describe_environment, digest
from gridrun.errors import GridrunError, InputError
from gridrun.following import Logs
from gridrun.job import Job
from gridrun.ledger import Ledger
from gridrun.outcome import Failure, Outcome, Working
from gridrun.plan import FIRST, Count, Plan, count_cells, find_rerunners, make_plan
from gridrun.rerun import count_reruns, plan_reruns, run_again, tidy
from gridrun.results.failures import describe_failure, kind_of
from gridrun.results.provenance import changed_sources, replaced_sources
from gridrun.results.standings import Standings
from gridrun.signals import Stop
from gridrun.spec import Run, Spec
from gridrun.store import Store
from gridrun.threads import count_threads
from gridrun.trainers import Trainer
from gridrun.trainers.importing import search_path

# So many seconds nothing new is sent while all has failed alike and some of the first ten are awaited: their
# worker may be starting while its neighbour fails a thousand cells per second. Past that, a cell runs well.
HOLD_S = 5.0


class TooManyFailures(GridrunError):
    """The sweep was ended early: what fails so often is not the cells."""


class Observer(Protocol):
    """Who follows a sweep while it runs."""

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """These were just committed; of a trajectory that is under way, its epochs so far."""

    def look(self, working: Sequence[Working]) -> None:
        """This is what slots are doing now: told twice a second, while the sweep waits."""

    def say(self, message: str) -> None:
        """This the user should know now."""


@dataclass(frozen=True)
class Sweep:
    """A planned sweep, the lock on its directory held."""

    plan: Plan
    workers: int  # how many are going to work at once
    standings: Standings
    _run: Run
    _store: Store
    _trainer: Trainer
    _sources: Mapping[str, str]
    _job: Job
    _crew: Workers | None
    _hands: ExitStack  # lets go of the crew

    def run(self, stop: Stop, observer: Observer) -> Count:
        """Run what is left, and return the count of the whole grid.

        Raises: EnvironmentFault if the store or the workers fail; TooManyFailures when the circuit
        breaker opens.
        """
        plan, store, grid = self.plan, self._store, self.plan.spec.grid
        if changed := changed_sources(store, grid.trajectory_ids(plan.identity), self._sources):
            advice = self._trainer.advice
            observer.say(f"{changed}; they are kept as they are" + (f", {advice}" if advice else ""))
        elif not self._trainer.advice and (changed := replaced_sources(store, plan.identity, self._sources)):
            observer.say(f"{changed}: its cells are others now and run anew; what was run before is kept")
        store.begin(
            plan.spec.text, plan.identity, self._trainer.defaults, describe_environment(), self._sources
        )
        if self._crew is None:
            return plan.count
        breaker, left_out = _Breaker(self._run.max_failures, plan), ""
        ledger, logs = Ledger(store, plan.known, self._trainer.resumes), Logs(store.directory)
        for found in dispatch(
            ledger.give(plan.tasks()),
            self._job,
            self._crew,
            max_attempts=self._run.max_attempts,
            stop=stop,
            tell=observer.say,
            hear=logs.add,
            hold=breaker.hold,
            keep=ledger.keep,
            look=observer.look,
        ):
            outcomes = ledger.commit(found)
            if not outcomes:
                continue
            logs.finish(outcomes)
            for outcome in outcomes:
                self.standings.add(outcome.number, outcome.history, ended=outcome.ended)
                if outcome.left_out and not left_out:
                    left_out = outcome.left_out
                    observer.say(f"{left_out}, neither a number nor a boolean array: it is not kept")
            observer.add(outcomes)
            ledger.learn(outcomes)
            breaker.look([outcome for outcome in outcomes if not outcome.underway])
        self._hands.close()
        tidy(store.directory)
        store.check_place()
        return count_cells(plan.spec.grid, plan.identity, store.progress())[0]

    def rerun(self, stop: Stop, observer: Observer) -> Count:
        """Run what is chosen once more, as [refit] asks, and the choice of each outer fold on that fold.

        Nothing if neither is asked for, if the sweep was interrupted, or if there is nothing to choose from.
        Returns the count of these runs. Raises: as `run`.
        """
        plan = self.plan
        if not plan.reruns or stop.asked:
            return Count()
        reruns = plan_reruns(self._store, plan.reruns, retry_failed=plan.retry_failed)
        if any(rerun.task is not None for rerun in reruns):
            resumes = self._trainer.resumes
            run_again(reruns, self._store, self._run, self._job, stop, observer.say, resumes=resumes)
        return count_reruns(reruns, self._store)


@contextmanager
def open_sweep(
    spec: Spec, directory: Path, run: Run, *, grid_file: Path, retry_failed: bool = False
) -> Iterator[Sweep]:
    """Plan a sweep under its directory's lock, and reach the workers that it needs.

    Raises: InputError and EnvironmentFault as `plan_sweep`, and EnvironmentFault if the directory is
    locked or there are no workers. Bad input leaves no store behind.
    """
    grid = spec.grid
    check_directory(directory)
    trainer = spec.trainer.find(spec.grid, grid_file)
    reruns = find_rerunners(spec, grid_file)
    first = None
    if (directory / FILE).exists():
        # All of it, for reading only: SQLite may change a damaged file as it opens it for writing.
        with suppress(InputError), Store.read(directory) as store:
            store.check()
    else:
        first = make_plan(spec, trainer, reruns, {}, retry_failed=retry_failed)
    sample = grid.trajectory_params(0) | ({grid.budget: max(grid.budgets)} if grid.budget else {})
    path = tuple(search_path(grid_file))
    sources = spec.trainer.sources(path)
    job = Job(
        spec.trainer,
        path,
        spec.metric,
        grid.budget,
        run.timeout_s,
        sample,
        spec.mode,
        spec.rule.epoch,
        grid.budgets,
        digest(sources),
        run.max_tasks_per_worker,
        count_threads(run.threads),
        str(directory.absolute() / CELLS),
        run.gpus,
    )
    with Store.write(directory) as store:
        known = store.progress()
        plan = first
        if known or plan is None:
            plan = make_plan(spec, trainer, reruns, known, retry_failed=retry_failed)
        # What is finished needs no workers, so no cluster has to be there to hear of it.
        with ExitStack() as hands:
            crew = hands.enter_context(open_workers(run)) if plan.trajectories else None
            workers = 0 if crew is None else min(crew.count, plan.trajectories)
            standings = Standings(grid, plan.identity, spec.rule)
            if known and crew is not None:
                standings = Standings.of(store, spec, plan.identity)
            yield Sweep(plan, workers, standings, run, store, trainer, sources, job, crew, hands)


class _Breaker:
    """Ends a sweep in which everything fails, instead of burning the night."""

    def __init__(self, most: int | None, plan: Plan) -> None:
        self.most = most
        self.tasks = plan.trajectories
        # Those from all over the grid: some may still run, and well, while a corner of it fails at once.
        self.awaited = {task.trajectory for task in plan.first_tasks()}
        self.failed = 0
        self.finished = 0
        self.kinds: set[str] = set()
        self.held_since: float | None = None

    def hold(self) -> bool:
        """Whether to wait for the rest of the first ones, as all that have finished failed alike."""
        if not (self.awaited and self._all_failed_alike()):
            return False
        if self.held_since is None:
            self.held_since = time.monotonic()
        return time.monotonic() - self.held_since < HOLD_S

    def _all_failed_alike(self) -> bool:
        return self.most is None and len(self.kinds) == 1 and self.failed == self.finished >= FIRST

    def look(self, outcomes: Sequence[Outcome]) -> None:
        self.finished += len(outcomes)
        if self.awaited:
            self.awaited.difference_update(outcome.trajectory for outcome in outcomes)
        for outcome in outcomes:
            if outcome.failure is None:
                continue
            self.failed += 1
            if len(self.kinds) < 2:  # two tell that they differ
                self.kinds.add(kind_of(outcome.failure))
            if self.most is not None and self.failed >= self.most:
                self._open(f"{self.failed} trajectories failed; the last", outcome.failure)
        if self._all_failed_alike() and not self.awaited:
            last = outcomes[-1].failure
            assert last is not None  # all have failed
            self._open(f"the first {self.failed} trajectories all failed alike", last)

    def _open(self, what: str, failure: Failure) -> None:
        if self.finished < self.tasks:  # else there is nothing left to be spared
            raise TooManyFailures(
                f"stopped: {what}: {describe_failure(failure)}; go on with --max-failures {self.tasks}"
            )
