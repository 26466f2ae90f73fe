"""The backends of this machine: loky's processes, and none but this one."""

import contextlib
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from queue import SimpleQueue

from gridrun.dispatch.child import Answer, Child, Crew
from gridrun.dispatch.pool import Event
from gridrun.store import Outcome
from gridrun.worker import Job, Task, run


class LokyWorkers:
    """A process for each slot, kept for the whole sweep."""

    # A round trip costs 0.6 ms.
    batch_s = 0.02
    most = None

    def __init__(self, count: int) -> None:
        self.count = count
        self._crew: Crew | None = None

    def begin(self, job: Job, events: "SimpleQueue[Event]") -> None:
        self._crew = Crew(self.count)
        for child in self._crew.children:
            events.put(_LokySlot(child, job))

    def check(self) -> None:
        pass

    def end(self, *, kill: bool) -> None:
        if self._crew is not None:
            self._crew.end(kill=kill)


class _LokySlot:
    host = ""
    gone = False

    def __init__(self, child: Child, job: Job) -> None:
        self._child, self._job = child, job

    def send(self, batch: Sequence[Task]) -> "Future[list[Outcome]]":
        return self._child.send(self._job, batch)

    def receive(self, future: "Future[list[Outcome]]") -> Answer:
        return self._child.receive(future)

    def check(self) -> None:
        self._child.check()


class SequentialWorkers:
    """This process: for debuggers, and for train functions that are not to be run in another."""

    # No round trip at all; but Ctrl-C waits for the batch.
    batch_s = 0.02
    most = None
    count = 1

    def begin(self, job: Job, events: "SimpleQueue[Event]") -> None:
        events.put(_SequentialSlot(job))

    def check(self) -> None:
        pass

    def end(self, *, kill: bool) -> None:
        pass


class _SequentialSlot:
    host = ""
    gone = False

    def __init__(self, job: Job) -> None:
        self._job = job

    def send(self, batch: Sequence[Task]) -> "Future[list[Outcome]]":
        future: Future[list[Outcome]] = Future()
        with contextlib.redirect_stdout(sys.stderr):
            future.set_result(run(self._job, batch))
        return future

    def receive(self, future: "Future[list[Outcome]]") -> Answer:
        return future.result()

    def check(self) -> None:
        pass
