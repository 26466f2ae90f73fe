"""A worker process and what may befall it: the same on this machine and on a cluster's."""

import contextlib
import errno
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridrun.dispatch.process import BrokenProcessPool, Process, name_cause, start_trackers
from gridrun.errors import EnvironmentFault
from gridrun.guard import Guard
from gridrun.job import Job
from gridrun.outcome import Outcome, Output, Piece, Task
from gridrun.output import FOLLOW_S, Spool, Trimmer
from gridrun.relay import Receiver
from gridrun.threads import gpu_limits, thread_limits
from gridrun.wording import one_line
from gridrun.worker import describe, serve

# Beyond timeout_s the worker ends itself; past this many seconds more it is ended from outside.
GRACE_S = 15.0
# A worker that is done and does not leave (a thread that the train function forgot) is ended after so long.
LEAVE_S = 5.0


@dataclass(frozen=True)
class Death:
    """A worker ended before it had answered: by what, the stack that it left and what was printed, if any."""

    cause: str
    stack: str = ""
    timed_out: bool = False
    output: Output | None = None


Answer = list[Outcome] | Death


@dataclass(frozen=True)
class Underway:
    """A batch still runs; these are new epochs of it."""

    epochs: Sequence[Outcome]


class Child:
    """A worker process, started when it is first needed, and again when it has died or has grown old."""

    def __init__(self, stack_file: Path, guard: Guard, environment: Mapping[str, str]) -> None:
        self._stack_file, self._spool_file = stack_file, stack_file.with_suffix(".output")
        self._spool: Spool | None = None  # of the process, or of the last one
        self._pipe = stack_file.with_name(stack_file.name.replace("stack", "epochs"))
        self._receiver: Receiver | None = None
        self._environment = environment
        self._guard = guard
        self._process: Process | None = None
        self._leaving: list[tuple[Process, float]] = []  # replaced, and until when it may take its leave
        self._given, self._most = 0, math.inf  # trajectories: to this process, and to any one
        self._sent_at = 0.0
        self._limit_s = math.inf
        self._overdue = False
        self._runs, self._seen = "", -1  # the trajectory, if it travels alone, and how much of its output

    def send(self, job: Job, batch: Sequence[Task], slot: int) -> "Future[tuple[list[Outcome], bool]]":
        """Have a batch run; `receive` tells what became of it. Raises: OSError if no process can be had.

        `slot` is what the trajectories are told of where they run.
        """
        self._limit_s = math.inf if job.timeout_s is None else job.timeout_s * len(batch)
        self._most = math.inf if job.max_tasks is None else job.max_tasks
        self._sent_at, self._overdue = time.monotonic(), False
        self._runs, self._seen = batch[0].trajectory if len(batch) == 1 else "", -1
        if self._given + len(batch) > self._most:
            self._replace()
        future = self.call(serve, job, batch, slot)
        self._given += len(batch)
        return future

    def receive(self, future: "Future[tuple[list[Outcome], bool]]") -> Answer:
        """The outcomes of a batch, or what ended the worker; waits for either."""
        while not future.done():
            wait([future], timeout=1.0)
            self.check()
        try:
            outcomes, worn = future.result()
            self._runs = ""
        except (BrokenProcessPool, RuntimeError) as death:
            self.end()
            return self._explain(name_cause(death))
        except Exception as error:  # what the worker could not send back
            return Death(one_line(error))
        if worn or self._given >= self._most:
            self._replace()
        return outcomes

    def listen(self, future: "Future[tuple[list[Outcome], bool]]") -> Answer | Underway:
        """As `receive`, but tells of new epochs as they come: where the pool is too far away to look."""
        while not (epochs := self.epochs()) and not future.done():
            wait([future], timeout=0.5)
            self.check()
        return Underway(epochs) if epochs else self.receive(future)

    def _explain(self, cause: str) -> Death:
        try:
            stack = self._stack_file.read_text(errors="replace")
        except OSError:
            stack = ""
        # Without a stack too, which a full disk may not have taken.
        late = cause == "exit code 1" and time.monotonic() - self._sent_at >= self._limit_s
        timed_out = self._overdue or late or stack.startswith("Timeout")
        return Death(cause, stack, timed_out, self._last_output())

    def _last_output(self) -> Output | None:
        """What was printed by the cell that was running when the process died."""
        with contextlib.suppress(OSError):
            return None if self._spool is None else self._spool.keep(rest=True)
        return None

    def call(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Call a function in the process."""
        if self._process is not None and not self._process.has_ended():
            with contextlib.suppress(BrokenProcessPool):  # died with nothing to do: nothing is lost
                return self._process.call(function, *args)
        self.end()
        self._stack_file.parent.mkdir(exist_ok=True)  # /tmp is swept while a sweep goes on for weeks
        self._stack_file.unlink(missing_ok=True)  # one that takes its leave may still write to its own
        self._stack_file.write_text("")
        if self._receiver is not None:
            self._receiver.close()
        self._receiver = Receiver(self._pipe)
        self._let_go()
        self._spool = Spool(self._spool_file, new=True)
        try:
            files = (self._stack_file, self._spool_file, self._pipe)
            self._process = Process(files, self._guard, self._environment)
            self._given = 0
            return self._process.call(function, *args)
        except OSError:
            raise
        except Exception as error:  # loky's own clean-up stumbles over what could not be opened
            raise system_error(error) from error

    def epochs(self) -> list[Outcome]:
        """What is new of trajectories that are under way, or were when the process died."""
        return [] if self._receiver is None else self._receiver.receive()

    def check(self) -> None:
        """End the process if its own alarm has failed it (it was stopped by a signal, for one)."""
        self._guard.check()
        self._see_off()
        if time.monotonic() > self._sent_at + self._limit_s + GRACE_S:
            self._overdue = True
            self.end()
        elif self._process is not None:
            # Asked, as loky never hears of the death of a worker while a child of it holds its pipe.
            self._process.has_ended()

    def _replace(self) -> None:
        """Let the process go, and have another for what comes next."""
        if self._process is not None:
            self._process.leave()
            self._leaving.append((self._process, time.monotonic() + LEAVE_S))
            self._process = None
            self._see_off()

    def _see_off(self) -> None:
        """Be done with those replaced that have left, and end those that take too long."""
        for process, until in list(self._leaving):
            if process.has_ended() or time.monotonic() > until:
                process.end()
                self._leaving.remove((process, until))

    def leave(self) -> None:
        """Ask the process to leave; `wait` waits for it."""
        self._replace()

    def wait(self, limit_s: float) -> None:
        """Wait until the process has left, or the time is over."""
        for process, _ in self._leaving:
            process.wait(limit_s)

    def end(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def look(self) -> list[Piece]:
        """What the trajectory that runs has printed since the last look; the first is when it runs for 1 s.

        Of what came too fast the last part.
        """
        name, spool = self._runs, self._spool
        if not name or spool is None or time.monotonic() < self._sent_at + FOLLOW_S:
            return []
        try:
            size, start = spool.size(), max(0, self._seen)
            if size == self._seen:
                return []
            if size < start:
                start = 0
            self._seen = size
            return [Piece(name, at, data) for at, data in spool.read(start, size)]
        except OSError:
            return []

    def trim(self) -> None:
        """Keep short what is being printed; for a thread to call."""
        if (spool := self._spool) is not None:
            spool.trim()

    def _let_go(self) -> None:
        if self._spool is not None:
            self._spool.close()

    def end_all(self) -> None:
        """End the process, and those that it has replaced."""
        self.end()
        self._let_go()
        while self._leaving:
            self._leaving.pop()[0].end()
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None


class Crew:
    """The children of one process, and the directory for their stacks and what they print."""

    def __init__(self, size: int, job: Job) -> None:
        try:
            start_trackers()
            self._folder = tempfile.TemporaryDirectory(prefix="gridrun-", ignore_cleanup_errors=True)
            self.children: list[Child] = []
            self._trimmer = Trimmer(self._trim)
            self._guard = Guard(self._folder.name)
        except (OSError, RuntimeError) as error:  # no process, no thread
            raise refuse(system_error(error)) from None
        folder = Path(self._folder.name)
        self.children = [
            Child(
                folder / f"stack-{number}",
                self._guard,
                thread_limits(job.threads) | gpu_limits(job.gpus, number),
            )
            for number in range(size)
        ]

    def describe(self, job: Job) -> dict[str, str]:
        """What results of a child depend on. Raises: EnvironmentFault if there is none; see `describe`."""
        try:
            answer: Future[dict[str, str]] = self.children[0].call(describe, job)
        except OSError as error:
            raise refuse(error) from None
        return answer.result()

    def _trim(self) -> None:
        for child in self.children:
            child.trim()

    def end(self, *, kill: bool) -> None:
        """End every child: at once, or when it has finished what it is at. Remove the directory."""
        if not kill:
            for child in self.children:
                child.leave()
            until = time.monotonic() + LEAVE_S
            for child in self.children:
                child.wait(until - time.monotonic())
        for child in self.children:
            child.end_all()
        self._trimmer.close()
        self._guard.close()
        self._folder.cleanup()


def refuse(error: OSError) -> EnvironmentFault:
    """What to tell of an error of the system's that came in place of a process."""
    more = ""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        more = "; allow more (ulimit -n 1024) or use fewer workers (--jobs 1)"
    return EnvironmentFault(f"no worker process can be started: {error.strerror or error}{more}")


def system_error(error: BaseException | None) -> OSError:
    """The error of the system's that another one was raised after."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error or OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
