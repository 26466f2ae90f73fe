"""One worker process and what may befall it: the same on this machine and on a cluster's. Imports joblib.

joblib's surprises, met here: one dead worker ends every task of its pool (TerminatedWorkerError), and
`timeout=` ends the whole call. So each worker is a pool of its own, a loky executor with one process:
what a death or a timeout takes along is known exactly, and the neighbours never notice.
"""

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
from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from gridrun.store import Outcome
from gridrun.worker import Job, Task, run, start

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

    def __init__(self, stack_file: Path) -> None:
        self._stack_file = stack_file
        self._executor: ProcessPoolExecutor | None = None
        self._deadline: float | None = None

    def send(self, job: Job, batch: Sequence[Task]) -> "Future[list[Outcome]]":
        """Have a batch run; `receive` tells what became of it. Raises: OSError if no process can be had."""
        self._deadline = None
        if job.timeout_s is not None:
            self._deadline = time.monotonic() + job.timeout_s * len(batch) + GRACE_S
        future: Future[list[Outcome]] = self.call(run, job, batch)
        return future

    def receive(self, future: "Future[list[Outcome]]") -> Answer:
        """The outcomes of a batch, or what ended the worker; waits for either."""
        while not future.done():
            wait([future], timeout=None if self._deadline is None else 1.0)
            self.check()
        try:
            return future.result()
        except (BrokenProcessPool, RuntimeError) as death:
            self.end(kill=True)
            stack = self._stack_file.read_text(errors="replace")
            return Death(_cause(death), stack, timed_out=stack.startswith("Timeout"))

    def call(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Call a function in the process."""
        if self._executor is None:
            self._stack_file.write_text("")
            self._executor = ProcessPoolExecutor(
                max_workers=1,
                initializer=start,
                initargs=(os.getpid(), self._stack_file),
                env=SINGLE_THREADED,
            )
        future: Future[Any] = self._executor.submit(function, *args)
        return future

    def check(self) -> None:
        """End the process if its own alarm has failed it (it was stopped by a signal, for one)."""
        if self._deadline is not None and time.monotonic() > self._deadline and self._executor is not None:
            self._deadline = None
            self._stack_file.write_text("Timeout\n")
            self._executor.shutdown(wait=False, kill_workers=True)

    def end(self, *, kill: bool) -> None:
        """End the process: at once, or when it has finished what it is at."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=kill)


class Crew:
    """The children of one process, and the directory in which they leave their stacks."""

    def __init__(self, size: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gridrun-", ignore_cleanup_errors=True)
        self.children = [Child(Path(self._folder.name) / f"stack-{number}") for number in range(size)]

    def end(self, *, kill: bool) -> None:
        """End every child, and remove the directory."""
        for child in self.children:
            child.end(kill=kill)
        self._folder.cleanup()


def _cause(death: BaseException) -> str:
    """Name what ended a worker, from the exit codes in loky's message: SIGKILL(-9) or EXIT(3)."""
    found = re.search(r"\{([A-Z]+)\((-?\d+)\)", str(death))
    if found is None:
        return "an unknown cause"
    if int(found[2]) < 0:
        return signal.Signals(-int(found[2])).name
    return f"exit code {found[2]}"
