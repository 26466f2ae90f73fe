"""Sends trajectories to where they run, and brings outcomes back. The only file that imports joblib.

joblib's surprises, met here: one dead worker ends every task of its pool (TerminatedWorkerError), and
`timeout=` ends the whole call. So each worker is a pool of its own, a loky executor with one process:
what a death or a timeout takes along is known exactly, and the neighbours never notice.
"""

import contextlib
import os
import re
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from gridrun.errors import EnvironmentFault, InputError
from gridrun.spec import BACKENDS, Run
from gridrun.store import Failure, Outcome
from gridrun.worker import Job, Task, run, start

# Short trajectories travel together until a batch takes about so long: a round trip costs 0.5 ms,
# and a batch is what a killed worker has to do again.
BATCH_S = 0.02
MOST_BATCH = 1000
# Beyond timeout_s the worker ends itself; past this many seconds more it is ended from outside.
GRACE_S = 15.0

# One thread each, before any BLAS or OpenMP is loaded: jobs x threads would fight for the cores,
# and a sum's rounding may depend on how many threads share it.
SINGLE_THREADED = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMBA_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)


@dataclass
class Stop:
    """Set by a signal: nothing new is started; what is in flight is finished."""

    asked: bool = False


def check_backend(run: Run) -> None:
    """Raise InputError if cells can't be run the way that is asked for."""
    if run.backend in ("dask", "ray"):
        raise InputError(f"backend {run.backend!r} is not part of this version yet; write loky or sequential")
    if run.backend not in BACKENDS:
        raise InputError(f"no backend {run.backend!r}; write loky or sequential")
    if run.backend == "sequential" and run.timeout_s is not None:
        raise InputError(
            "backend 'sequential' runs cells in this process and can't end one at timeout_s;"
            " write loky with jobs = 1"
        )
    if run.jobs == 0:
        raise InputError("jobs must not be 0; write -1 for every core, or 2")


def count_workers(run: Run) -> int:
    """How many workers `jobs` means, as joblib counts: -1 every core, -2 all but one."""
    return 1 if run.backend == "sequential" else int(joblib.effective_n_jobs(run.jobs))


def dispatch(
    tasks: Iterator[Task], job: Job, *, backend: str, workers: int, max_attempts: int, stop: Stop
) -> Iterator[list[Outcome]]:
    """Run tasks and yield outcomes as they arrive, in batches.

    Raises: EnvironmentFault if workers can't be had. A task that ends its worker `max_attempts`
    times is an Outcome with a Failure.
    """
    if backend == "sequential":
        return _dispatch_here(tasks, job, stop)
    return _Pool(job, workers, max_attempts, stop).run(tasks)


def _dispatch_here(tasks: Iterator[Task], job: Job, stop: Stop) -> Iterator[list[Outcome]]:
    for task in tasks:
        with contextlib.redirect_stdout(sys.stderr):
            outcomes = run(job, [task])
        yield outcomes
        if stop.asked:
            return


@dataclass
class _Slot:
    """One worker: a pool of one process, and what it is doing."""

    stack_file: Path
    executor: ProcessPoolExecutor | None = None
    batch: Sequence[Task] = ()
    sent_at: float = 0.0

    def send(self, job: Job, batch: Sequence[Task]) -> "Future[list[Outcome]]":
        if self.executor is None:
            self.stack_file.write_text("")
            self.executor = ProcessPoolExecutor(
                max_workers=1,
                initializer=start,
                initargs=(os.getpid(), self.stack_file),
                env=SINGLE_THREADED,
            )
        self.batch, self.sent_at = batch, time.monotonic()
        future: Future[list[Outcome]] = self.executor.submit(run, job, batch)
        return future

    def end(self, *, kill: bool) -> None:
        if self.executor is not None:
            self.executor.shutdown(wait=True, kill_workers=kill)
            self.executor = None


@dataclass
class _Pool:
    job: Job
    workers: int
    max_attempts: int
    stop: Stop
    busy: dict["Future[list[Outcome]]", _Slot] = field(default_factory=dict)
    again: deque[Task] = field(default_factory=deque)  # ended their worker, to be tried again
    attempts: dict[str, int] = field(default_factory=dict)
    task_s: float = BATCH_S  # running mean of what one task takes: the first batches are single

    def run(self, tasks: Iterator[Task]) -> Iterator[list[Outcome]]:
        with tempfile.TemporaryDirectory(prefix="gridrun-") as folder:
            slots = [_Slot(Path(folder) / f"stack-{number}") for number in range(self.workers)]
            finished = False
            try:
                idle = deque(slots)
                while True:
                    self._feed(idle, tasks)
                    if not self.busy:
                        break
                    outcomes: list[Outcome] = []
                    for future in self._arrivals():
                        slot = self.busy.pop(future)
                        outcomes += self._collect(future, slot)
                        idle.append(slot)
                    # Work first, then the disk: the workers do not wait for a commit.
                    self._feed(idle, tasks)
                    if outcomes:
                        yield outcomes
                finished = True
            finally:
                for slot in slots:
                    slot.end(kill=not finished)

    def _feed(self, idle: "deque[_Slot]", tasks: Iterator[Task]) -> None:
        while idle and not self.stop.asked:
            batch = self._next_batch(tasks)
            if not batch:
                return
            slot = idle.popleft()
            try:
                self.busy[slot.send(self.job, batch)] = slot
            except OSError as error:
                raise EnvironmentFault(f"no worker process can be started: {error.strerror}") from None

    def _next_batch(self, tasks: Iterator[Task]) -> list[Task]:
        size = max(1, min(MOST_BATCH, int(BATCH_S / max(self.task_s, 1e-6))))
        batch = list(islice(tasks, size))
        # What ended its worker waits until the rest is under way.
        if batch or not self.again:
            return batch
        # The last attempt is made alone: a cell that died for want of memory gets all there is.
        task = self.again[0]
        if (
            self.attempts.get(task.trajectory, 0) == self.max_attempts - 1
            and self.max_attempts > 1
            and self.busy
        ):
            return []
        return [self.again.popleft()]

    def _arrivals(self) -> "set[Future[list[Outcome]]]":
        limit = self.job.timeout_s
        while True:
            done, _ = wait(self.busy, timeout=None if limit is None else 1.0, return_when=FIRST_COMPLETED)
            if done:
                return done
            for slot in self.busy.values():
                # Its own alarm failed it (a stopped process, for one): end it from here.
                if limit is not None and time.monotonic() - slot.sent_at > limit * len(slot.batch) + GRACE_S:
                    slot.stack_file.write_text("Timeout\n")
                    if slot.executor is not None:
                        slot.executor.shutdown(wait=False, kill_workers=True)

    def _collect(self, future: "Future[list[Outcome]]", slot: _Slot) -> list[Outcome]:
        try:
            outcomes = future.result()
        except (BrokenProcessPool, RuntimeError) as death:
            return self._bury(slot, death)
        spent = (time.monotonic() - slot.sent_at) / len(outcomes)
        self.task_s = spent if spent > self.task_s else 0.7 * self.task_s + 0.3 * spent
        return outcomes

    def _bury(self, slot: _Slot, death: BaseException) -> list[Outcome]:
        """Deal with a dead worker: who is to blame is run again, or failed; a batch is run one by one."""
        wall_s = time.monotonic() - slot.sent_at
        slot.end(kill=True)
        stack = slot.stack_file.read_text(errors="replace")
        batch, slot.batch = slot.batch, ()
        if len(batch) > 1:
            self.again.extend(batch)
            self.task_s = BATCH_S
            return []
        task = batch[0]
        if stack.startswith("Timeout"):
            reason = f"timed out after {self.job.timeout_s:g} s"
            return [Outcome(task.trajectory, task.params, (), Failure(reason, stack), wall_s)]
        tried = self.attempts[task.trajectory] = self.attempts.get(task.trajectory, 0) + 1
        if tried < self.max_attempts:
            self.again.append(task)
            return []
        reason = f"its worker died {tried} times, last by {_cause(death)}"
        return [Outcome(task.trajectory, task.params, (), Failure(reason, stack), wall_s)]


def _cause(death: BaseException) -> str:
    """Name what ended a worker, from the exit codes in loky's message: SIGKILL(-9) or EXIT(3)."""
    found = re.search(r"\{([A-Z]+)\((-?\d+)\)", str(death))
    if found is None:
        return "an unknown cause"
    if int(found[2]) < 0:
        return signal.Signals(-int(found[2])).name
    return f"exit code {found[2]}"
