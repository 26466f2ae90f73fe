"""The backends of this machine: loky's processes, and none but this one."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from gridrun.dispatch.child import Answer, Child, Crew, refuse
from gridrun.dispatch.pool import Event
from gridrun.dispatch.process import count_cores
from gridrun.job import Job
from gridrun.outcome import Outcome, Task
from gridrun.output import Spool, Trimmer
from gridrun.relay import Keeper
from gridrun.signals import hold_again
from gridrun.surroundings import Surroundings
from gridrun.terminal import STREAMS, is_closed, reopen, screen_on, stands_on
from gridrun.worker import run


class LokyWorkers:
    """A process for each slot, kept for the whole sweep."""

    # A round trip costs 0.6 ms.
    batch_s = 0.02
    most = None

    def __init__(self, _scheduler: str | None, jobs: int) -> None:
        self.count = count_cores(jobs)
        self._crew: Crew | None = None

    def begin(self, job: Job, events: "SimpleQueue[Event]", _keep: Callable[[Outcome], None]) -> None:
        self._crew = Crew(self.count, job)
        for child in self._crew.children:
            events.put(_LokySlot(child, job, events))

    def check(self) -> None:
        pass

    def end(self, *, kill: bool) -> None:
        if self._crew is not None:
            self._crew.end(kill=kill)


class _LokySlot:
    host = ""
    number = 0
    gone = False

    def __init__(self, child: Child, job: Job, events: "SimpleQueue[Event]") -> None:
        self._child, self._job, self._events = child, job, events

    def send(self, batch: Sequence[Task]) -> "Future[Any]":
        return self._child.send(self._job, batch, self.number)

    def receive(self, future: "Future[Any]") -> Answer:
        return self._child.receive(future)

    def check(self) -> None:
        self._child.check()
        for piece in self._child.look():
            self._events.put(piece)

    def epochs(self) -> list[Outcome]:
        return self._child.epochs()


class SequentialWorkers:
    """This process: for train functions that are not to be run in another. (For debuggers: `gridrun try`.)"""

    # No round trip at all; but Ctrl-C waits for the batch.
    batch_s = 0.02
    most = None
    count = 1

    def __init__(self, _scheduler: str | None, _jobs: int) -> None:
        self._exit = contextlib.ExitStack()

    def begin(self, job: Job, events: "SimpleQueue[Event]", keep: Callable[[Outcome], None]) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="gridrun-") as folder:
                spool = Spool(Path(folder) / "output", new=True)
        except OSError as error:
            raise refuse(error) from None
        self._exit.callback(spool.close)
        self._exit.callback(Trimmer(spool.trim).close)
        events.put(_SequentialSlot(job, spool, Keeper(keep)))

    def check(self) -> None:
        pass

    def end(self, *, kill: bool) -> None:  # noqa: ARG002 - nothing runs by now
        self._exit.close()


class _SequentialSlot:
    host = ""
    number = 0
    gone = False

    def __init__(self, job: Job, spool: Spool, keeper: Keeper) -> None:
        self._job, self._spool, self._keeper = job, spool, keeper

    def send(self, batch: Sequence[Task]) -> "Future[list[Outcome]]":
        future: Future[list[Outcome]] = Future()
        with contextlib.ExitStack() as stack:
            stack.enter_context(_as_in_a_worker(self._spool))
            found = lambda: stack.enter_context(Surroundings())  # noqa: E731 - taken when the module is loaded
            future.set_result(run(self._job, batch, found, take=self._spool.take, teller=self._keeper))
        hold_again()
        if self._keeper.error is not None:
            raise self._keeper.error
        return future

    def receive(self, future: "Future[list[Outcome]]") -> Answer:
        return future.result()

    def check(self) -> None:
        pass

    def epochs(self) -> list[Outcome]:
        return []  # nobody looks while a batch runs; what is long has been kept meanwhile


@contextlib.contextmanager
def _as_in_a_worker(spool: Spool) -> Iterator[None]:
    """While the block runs what is printed goes to a file, and stdin is empty; the user reads what he read.

    The streams of this process come back as they were, whatever the block does with those that it finds.
    """
    own = [getattr(sys, name) for name in STREAMS]
    kept: dict[int, int] = {}
    for number in range(len(STREAMS)):
        with contextlib.suppress(OSError):  # closed from the beginning, in a script of somebody's
            kept[number] = os.dup(number)
    try:
        with screen_on(kept.get(2, 2)), open(os.devnull, "rb") as null:  # noqa: PTH123
            os.dup2(null.fileno(), 0)
            sys.stdin = reopen(0, sys.stdin)
            spool.redirect()
            yield
    finally:
        for number, stream in enumerate(own):
            lost = is_closed(stream) and stands_on(stream, number)
            setattr(sys, STREAMS[number], reopen(number, stream) if lost else stream)
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
