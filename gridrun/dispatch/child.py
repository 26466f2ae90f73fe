"""One worker process and what may befall it: the same on this machine and on a cluster's. Imports joblib.

joblib's surprises, met here: one dead worker ends every task of its pool (TerminatedWorkerError), and
`timeout=` ends the whole call. So each worker is a pool of its own, a loky executor with one process:
what a death or a timeout takes along is known exactly, and the neighbours never notice. A death may
also show when the next batch is sent. To end a worker, loky asks `pgrep` for its children, which a slim
container lacks, and then calls what is not there; see `_end_process`.
"""

import contextlib
import math
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky import process_executor
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from gridrun.errors import EnvironmentFault
from gridrun.guard import Guard
from gridrun.store import Outcome
from gridrun.worker import Job, Task, run, start

# Beyond timeout_s the worker ends itself; past this many seconds more it is ended from outside.
GRACE_S = 15.0
# A worker that is done and does not leave (a thread that the train function forgot) is ended after so long.
LEAVE_S = 5.0

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


@dataclass(frozen=True)
class Death:
    """A worker ended before it had answered: by what, and the stack that it left, if any."""

    cause: str
    stack: str = ""
    timed_out: bool = False


Answer = list[Outcome] | Death


def count_cores(jobs: int) -> int:
    """How many workers `jobs` means, as joblib counts: -1 every core, -2 all but one."""
    return int(joblib.effective_n_jobs(jobs))


class Child:
    """A worker process, started when it is first needed, and again when it has died."""

    def __init__(self, stack_file: Path, guard: Guard) -> None:
        self._stack_file = stack_file
        self._guard = guard
        self._executor: ProcessPoolExecutor | None = None
        self._process: Any = None
        self._sent_at = 0.0
        self._limit_s = math.inf
        self._overdue = False

    def send(self, job: Job, batch: Sequence[Task]) -> "Future[list[Outcome]]":
        """Have a batch run; `receive` tells what became of it. Raises: OSError if no process can be had."""
        self._limit_s = math.inf if job.timeout_s is None else job.timeout_s * len(batch)
        self._sent_at, self._overdue = time.monotonic(), False
        future: Future[list[Outcome]] = self.call(run, job, batch)
        return future

    def receive(self, future: "Future[list[Outcome]]") -> Answer:
        """The outcomes of a batch, or what ended the worker; waits for either."""
        while not future.done():
            wait([future], timeout=1.0 if self._limit_s < math.inf else None)
            self.check()
        try:
            return future.result()
        except (BrokenProcessPool, RuntimeError) as death:
            self.end()
            return self._explain(_cause(death))

    def _explain(self, cause: str) -> Death:
        try:
            stack = self._stack_file.read_text(errors="replace")
        except OSError:
            stack = ""
        # Without a stack too, which a full disk may not have taken.
        late = cause == "exit code 1" and time.monotonic() - self._sent_at >= self._limit_s
        return Death(cause, stack, timed_out=self._overdue or late or stack.startswith("Timeout"))

    def call(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Call a function in the process."""
        if self._executor is not None:
            try:
                return self._submit(function, *args)
            except BrokenProcessPool:  # died with nothing to do: nothing is lost
                self.end()
        self._stack_file.parent.mkdir(exist_ok=True)  # /tmp is swept while a sweep goes on for weeks
        self._stack_file.write_text("")
        self._executor = ProcessPoolExecutor(
            max_workers=1, initializer=start, initargs=(os.getpid(), self._stack_file), env=SINGLE_THREADED
        )
        future = self._submit(function, *args)
        self._process = next(iter(list(self._executor._processes.values())), None)  # None: dead already
        if self._process is not None:
            self._guard.add(self._process.pid)
        return future

    def _submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        assert self._executor is not None
        future: Future[Any] = self._executor.submit(function, *args)
        return future

    def check(self) -> None:
        """End the process if its own alarm has failed it (it was stopped by a signal, for one)."""
        if time.monotonic() > self._sent_at + self._limit_s + GRACE_S:
            self._overdue = True
            self.end()

    def leave(self) -> None:
        """Ask the process to leave; `wait` waits for it."""
        if self._executor is not None:
            self._executor.shutdown(wait=False)

    def wait(self, limit_s: float) -> None:
        """Wait until the process has left, or the time is over."""
        if self._process is not None:
            self._process.join(max(0.0, limit_s))

    def end(self) -> None:
        """End the process, whatever it is doing."""
        executor, self._executor = self._executor, None
        process, self._process = self._process, None
        if executor is not None:
            executor.shutdown(wait=False, kill_workers=True)
        if process is not None:
            if process.exitcode is None:
                _end_process(process)
            self._guard.remove(process.pid)


class Crew:
    """The children of one process, and the directory in which they leave their stacks."""

    def __init__(self, size: int) -> None:
        _start_tracker()
        self._folder = tempfile.TemporaryDirectory(prefix="gridrun-", ignore_cleanup_errors=True)
        try:
            self._guard = Guard(self._folder.name)
        except OSError as error:
            raise EnvironmentFault(f"no worker process can be started: {error.strerror}") from None
        folder = Path(self._folder.name)
        self.children = [Child(folder / f"stack-{number}", self._guard) for number in range(size)]

    def end(self, *, kill: bool) -> None:
        """End every child: at once, or when it has finished what it is at. Remove the directory."""
        if not kill:
            for child in self.children:
                child.leave()
            until = time.monotonic() + LEAVE_S
            for child in self.children:
                child.wait(until - time.monotonic())
        for child in self.children:
            child.end()
        self._guard.close()
        self._folder.cleanup()


def _start_tracker() -> None:
    """Start the process that clears up loky's semaphores, told not to warn of those of a killed parent."""
    name, quiet = "PYTHONWARNINGS", "ignore:resource_tracker"
    before = os.environ.get(name)
    os.environ[name] = quiet if before is None else f"{before},{quiet}"
    try:
        resource_tracker._resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _end_process(process: Any, use_psutil: bool = True) -> None:  # noqa: ARG001
    """End a worker and what it has started, which is its process group."""
    for kill in (os.killpg, os.kill):  # a worker that has just begun leads no group yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(process.pid, signal.SIGKILL)
    process.join()


process_executor.kill_process_tree = _end_process


def _cause(death: BaseException) -> str:
    """Name what ended a worker, from the exit codes in loky's message: SIGKILL(-9) or EXIT(3)."""
    found = re.search(r"\{\w+\((-?\d+)\)", str(death))
    if found is None:
        return "an unknown cause"
    code = int(found[1])
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:  # the real-time signals between the first and the last have no name
        return f"signal {-code}"
