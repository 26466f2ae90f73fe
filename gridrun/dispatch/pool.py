"""Feeds workers and collects what they answer: batches, deaths, attempts. The same for all backends."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from gridrun.dispatch.child import Answer, Death
from gridrun.errors import EnvironmentFault
from gridrun.store import Failure, Outcome
from gridrun.worker import Job, Task

MOST_BATCH = 1000
# A batch takes at least so long for each slot there is: a round trip costs 1 ms of this process, through
# Dask 2.6 ms of its scheduler, and with batches of a fixed length 1,000 slots would ask for too many.
SHARE_S = 0.005
# Seconds between looks at what announces itself by nothing: a child past its time, Ctrl-C, a lost scheduler.
TICK_S = 0.5


@dataclass
class Stop:
    """Set by a signal: nothing new is started; what is in flight is finished."""

    asked: bool = False


class Slot(Protocol):
    """Room for one trajectory at a time."""

    host: str  # slots with the same text share a machine's memory

    @property
    def gone(self) -> bool:
        """Whether nothing can be sent here any more."""

    def send(self, batch: Sequence[Task]) -> "Future[Any]":
        """Have a batch run. Raises: OSError if no process can be had for it."""

    def receive(self, future: "Future[Any]") -> Answer:
        """What became of a batch whose future is done."""

    def check(self) -> None:
        """Look whether what runs here has outlived its time."""


# What a pool waits for: a batch is done; there is a new slot; something is to be told to the user.
Event = Future[Any] | Slot | str


class Workers(Protocol):
    """Where trajectories run: one of the backends."""

    # Short trajectories travel together until a batch takes about so long: some tens of round trips,
    # and what a killed worker has to do again.
    batch_s: float

    @property
    def most(self) -> int | None:
        """How many slots may be busy at once; None: all that there are."""

    @property
    def count(self) -> int:
        """How many trajectories can run at once, as far as is known."""

    def begin(self, job: Job, events: "SimpleQueue[Event]") -> None:
        """Announce slots for a job, now and whenever more come. Raises: EnvironmentFault."""

    def check(self) -> None:
        """Raise EnvironmentFault if there will never be an answer or a slot any more."""

    def end(self, *, kill: bool) -> None:
        """End what was begun: at once, or when it has finished what it is at."""


@dataclass(frozen=True)
class _Errand:
    slot: Slot
    batch: Sequence[Task]
    sent_at: float
    alone: bool


@dataclass
class Pool:
    """One run of a sweep's tasks."""

    job: Job
    workers: Workers
    max_attempts: int
    stop: Stop
    tell: Callable[[str], None]
    events: "SimpleQueue[Event]" = field(default_factory=SimpleQueue)
    idle: deque[Slot] = field(default_factory=deque)
    busy: dict["Future[Any]", _Errand] = field(default_factory=dict)
    again: deque[Task] = field(default_factory=deque)  # ended their worker, to be tried again
    attempts: dict[str, int] = field(default_factory=dict)
    exhausted: bool = False  # there are no tasks left that were never sent
    checked_at: float = 0.0
    task_s: float = field(init=False)  # what one task takes, or a little more

    def run(self, tasks: Iterator[Task]) -> Iterator[list[Outcome]]:
        """Yield outcomes as they arrive. Raises: EnvironmentFault if workers can't be had."""
        self.task_s = self.workers.batch_s  # so the first batches are single
        self.workers.begin(self.job, self.events)
        while True:
            self._feed(tasks)
            if not self.busy and (self.stop.asked or (self.exhausted and not self.again)):
                return
            self._check()
            outcomes: list[Outcome] = []
            for event in self._arrivals():
                if isinstance(event, Future):
                    outcomes += self._collect(event)
                elif isinstance(event, str):
                    self.tell(event)
                else:
                    self.idle.append(event)
            # Short tasks: work first, then the disk. For others a commit is nothing, and a kill then
            # repeats at most one trajectory a worker.
            if self.task_s < self.workers.batch_s:
                self._feed(tasks)
            if outcomes:
                yield outcomes

    def _feed(self, tasks: Iterator[Task]) -> None:
        most = self.workers.most
        for _ in range(len(self.idle)):
            if self.stop.asked or (self.exhausted and not self.again):
                return
            if most is not None and len(self.busy) >= most:
                return
            slot = self.idle.popleft()
            if slot.gone:
                continue
            batch, alone = self._next_batch(slot, tasks)
            if not batch:
                self.idle.append(slot)
                continue
            try:
                future = slot.send(batch)
            except OSError as error:
                raise EnvironmentFault(f"no worker process can be started: {error.strerror}") from None
            self.busy[future] = _Errand(slot, batch, time.monotonic(), alone)
            future.add_done_callback(self.events.put)

    def _next_batch(self, slot: Slot, tasks: Iterator[Task]) -> tuple[list[Task], bool]:
        """What to run in a slot next, and whether its machine must be left alone with it."""
        if not self.exhausted:
            wanted_s = max(self.workers.batch_s, SHARE_S * (len(self.idle) + len(self.busy)))
            size = max(1, min(MOST_BATCH, int(wanted_s / max(self.task_s, 1e-6))))
            batch = list(islice(tasks, size))
            self.exhausted = len(batch) < size
            if batch:
                return batch, False
        # What ended its worker waits until the rest is under way.
        if not self.again:
            return [], False
        neighbours = [errand for errand in self.busy.values() if errand.slot.host == slot.host]
        if any(errand.alone for errand in neighbours):
            return [], False
        for task in self.again:
            # The last attempt is made alone: a cell that died for want of memory gets all there is.
            alone = 1 < self.max_attempts == self.attempts.get(task.trajectory, 0) + 1
            if not (alone and neighbours):
                self.again.remove(task)
                return [task], alone
        return [], False

    def _arrivals(self) -> Iterator[Event]:
        """Wait for an event, or a tick; yield it with all others that are there."""
        with contextlib.suppress(Empty):
            yield self.events.get(timeout=TICK_S)
            while True:
                yield self.events.get_nowait()

    def _check(self) -> None:
        """Look after what announces itself by nothing, now and then, however much else there is to do."""
        if time.monotonic() - self.checked_at < TICK_S:
            return
        self.checked_at = time.monotonic()
        self.workers.check()
        for errand in self.busy.values():
            errand.slot.check()

    def _collect(self, future: "Future[Any]") -> list[Outcome]:
        errand = self.busy.pop(future)
        answer = errand.slot.receive(future)
        if not errand.slot.gone:
            self.idle.append(errand.slot)
        if isinstance(answer, Death):
            self.workers.check()
            return self._bury(errand, answer)
        spent = (time.monotonic() - errand.sent_at) / len(answer)
        self.task_s = spent if spent > self.task_s else 0.7 * self.task_s + 0.3 * spent
        return answer

    def _bury(self, errand: _Errand, death: Death) -> list[Outcome]:
        """Deal with a dead worker: who is to blame is run again, or failed; a batch is run one by one."""
        if len(errand.batch) > 1:
            self.again.extend(errand.batch)
            self.task_s = self.workers.batch_s
            return []
        task = errand.batch[0]
        wall_s = time.monotonic() - errand.sent_at
        if death.timed_out:
            reason = f"timed out after {self.job.timeout_s:g} s"
            return [Outcome(task.trajectory, task.params, (), Failure(reason, death.stack), wall_s)]
        tried = self.attempts[task.trajectory] = self.attempts.get(task.trajectory, 0) + 1
        if tried < self.max_attempts:
            self.again.append(task)
            return []
        reason = f"its worker died {tried} times, last by {death.cause}"
        return [Outcome(task.trajectory, task.params, (), Failure(reason, death.stack), wall_s)]
