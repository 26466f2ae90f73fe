"""Feeds workers and collects what they answer: batches, deaths, attempts. The same for all backends."""

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from gridrun.dispatch.child import Answer, Death, refuse
from gridrun.job import Job
from gridrun.outcome import Failure, Outcome, Piece, Task, Working
from gridrun.signals import Stop

MOST_BATCH = 1000
# A batch takes at least so long for each slot there is: a round trip costs 1 ms of this process, through
# Dask 2.6 ms of its scheduler, and with batches of a fixed length 1,000 slots would ask for too many.
SHARE_S = 0.005
# Seconds between looks at what announces itself by nothing: a child past its time, Ctrl-C, a lost scheduler.
TICK_S = 0.5
# A wait that took so many seconds longer: the machine, or this whole job, stood still meanwhile.
PAUSE_S = 1.0


class Slot(Protocol):
    """Room for one trajectory at a time."""

    host: str  # slots with the same text share a machine's memory
    number: int  # given by the pool: from 0, no two slots that are there have the same

    @property
    def gone(self) -> bool:
        """Whether nothing can be sent here any more."""

    def send(self, batch: Sequence[Task]) -> "Future[Any]":
        """Have a batch run. Raises: OSError if no process can be had for it."""

    def receive(self, future: "Future[Any]") -> Answer:
        """What became of a batch whose future is done."""

    def check(self) -> None:
        """Look whether what runs here has outlived its time, and what it has printed."""

    def epochs(self) -> list[Outcome]:
        """New epochs of trajectories that run here, each with those before; of a dead worker too."""


# What a pool waits for: a batch is done; there is a new slot; something is to be told to the user; a running
# trajectory has printed something.
Event = Future[Any] | Slot | str | Piece


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

    def begin(self, job: Job, events: "SimpleQueue[Event]", keep: Callable[[Outcome], None]) -> None:
        """Announce slots for a job, now and whenever more come. Raises: EnvironmentFault.

        `keep` commits the epochs so far of a trajectory: for slots that run it while `send` is called.
        """

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
    hold: Callable[[], bool] = lambda: False  # whether to send nothing new for now
    hear: Callable[[Piece], None] = lambda _: None
    keep: Callable[[Outcome], None] = lambda _: None
    look: Callable[[list[Working]], None] = lambda _: None
    events: "SimpleQueue[Event]" = field(default_factory=SimpleQueue)
    slots: list[Slot] = field(default_factory=list)  # by number
    idle: deque[Slot] = field(default_factory=deque)
    busy: dict["Future[Any]", _Errand] = field(default_factory=dict)
    again: deque[Task] = field(default_factory=deque)  # ended their worker, to be tried again
    attempts: dict[str, int] = field(default_factory=dict)
    so_far: dict[str, Outcome] = field(default_factory=dict)  # of trajectories under way, the long ones
    news: dict[str, Outcome] = field(default_factory=dict)  # those of them that nobody was told yet
    exhausted: bool = False  # there are no tasks left that were never sent
    checked_at: float = 0.0
    told: bool = False  # that the code has changed
    paused_at: float = -math.inf  # when nothing ran for the last time
    task_s: float = field(init=False)  # what one task takes, or a little more

    def run(self, tasks: Iterator[Task]) -> Iterator[list[Outcome]]:
        """Yield outcomes as they arrive. Raises: EnvironmentFault if workers can't be had."""
        self.task_s = self.workers.batch_s  # so the first batches are single
        self.workers.begin(self.job, self.events, self.keep)
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
                elif isinstance(event, Piece):
                    self.hear(event)
                else:
                    self._take_on(event)
            # Short tasks: work first, then the disk. For others a commit is nothing, and a kill then
            # repeats at most one trajectory a worker.
            if self.task_s < self.workers.batch_s:
                self._feed(tasks)
            outcomes += self.news.values()
            self.news.clear()
            if outcomes:
                yield outcomes

    def _take_on(self, slot: Slot) -> None:
        """Number a new slot: as one that is gone, or beyond those there are."""
        free = (number for number, other in enumerate(self.slots) if other.gone)
        slot.number = next(free, len(self.slots))
        self.slots[slot.number : slot.number + 1] = [slot]
        self.idle.append(slot)

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
            sent_at = time.monotonic()  # before: the backend sequential has run it when `send` returns
            try:
                future = slot.send(batch)
            except OSError as error:
                raise refuse(error) from None
            self.busy[future] = _Errand(slot, batch, sent_at, alone)
            future.add_done_callback(self.events.put)

    def _next_batch(self, slot: Slot, tasks: Iterator[Task]) -> tuple[list[Task], bool]:
        """What to run in a slot next, and whether its machine must be left alone with it."""
        if not self.exhausted and not self.hold():
            wanted_s = max(self.workers.batch_s, SHARE_S * (len(self.idle) + len(self.busy)))
            most = min(MOST_BATCH, self.job.max_tasks or MOST_BATCH)
            size = max(1, min(most, int(wanted_s / max(self.task_s, 1e-6))))
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
        began = time.monotonic()
        first: list[Event] = []
        with contextlib.suppress(Empty):
            first.append(self.events.get(timeout=TICK_S))
        if time.monotonic() - began > TICK_S + PAUSE_S:
            self.paused_at = time.monotonic()
        yield from first
        with contextlib.suppress(Empty):
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
            self._listen(errand.slot)
        self.look([self._working(errand) for errand in self.busy.values()])

    def _working(self, errand: _Errand) -> Working:
        task = errand.batch[0]
        known = self.so_far.get(task.trajectory, task.so_far)
        epochs = 0 if known is None else len(known.history)
        return Working(errand.slot.number, task, len(errand.batch) - 1, errand.sent_at, epochs)

    def _listen(self, slot: Slot) -> None:
        for outcome in slot.epochs():
            self.so_far[outcome.trajectory] = self.news[outcome.trajectory] = outcome

    def _forget(self, trajectory: str) -> Outcome | None:
        """A trajectory has finished: what was heard of it before is no news."""
        self.news.pop(trajectory, None)
        return self.so_far.pop(trajectory, None)

    def _collect(self, future: "Future[Any]") -> list[Outcome]:
        errand = self.busy.pop(future)
        self._listen(errand.slot)
        answer = errand.slot.receive(future)
        if not errand.slot.gone:
            self.idle.append(errand.slot)
        if isinstance(answer, Death):
            self.workers.check()
            return self._bury(errand, answer)
        spent = (time.monotonic() - errand.sent_at) / len(answer)
        self.task_s = spent if spent > self.task_s else 0.7 * self.task_s + 0.3 * spent
        self._compare_code(answer)
        if self.so_far:
            for outcome in answer:
                self._forget(outcome.trajectory)
        return answer

    def _compare_code(self, outcomes: Sequence[Outcome]) -> None:
        """Say once that the train function was edited while the sweep runs."""
        if self.told or not self.job.code:
            return
        if any(outcome.code and outcome.code != self.job.code for outcome in outcomes):
            self.told = True
            self.tell(
                f"the sources of {self.job.trainer.name} have changed since the sweep began:"
                " cells run by what started since then use the new code"
            )

    def _bury(self, errand: _Errand, death: Death) -> list[Outcome]:
        """Deal with a dead worker: who is to blame is run again, or failed; a batch is run one by one."""
        if len(errand.batch) > 1:
            self.again.extend(map(self._resumed, errand.batch))
            self.task_s = self.workers.batch_s
            return []
        task = errand.batch[0]
        if death.timed_out and errand.sent_at < self.paused_at:
            self.tell("the machine stood still: a trajectory that was timed out meanwhile is run again")
            self.again.append(self._resumed(task))
            return []
        if death.timed_out:
            return [self._failed(errand, death, f"timed out after {self.job.timeout_s:g} s")]
        tried = self.attempts[task.trajectory] = self.attempts.get(task.trajectory, 0) + 1
        if tried < self.max_attempts:
            self.again.append(self._resumed(task))
            return []
        return [self._failed(errand, death, f"its worker died {tried} times, last by {death.cause}")]

    def _resumed(self, task: Task) -> Task:
        """The task with all epochs that are known by now."""
        so_far = self.so_far.get(task.trajectory)
        return task if so_far is None else replace(task, so_far=so_far)

    def _failed(self, errand: _Errand, death: Death, reason: str) -> Outcome:
        """The outcome of a task that ended its worker: its epochs stay, as if it had raised an exception."""
        (task,), failure = errand.batch, Failure(reason, death.stack)
        so_far = self._forget(task.trajectory)
        if so_far is None:
            wall_s = time.monotonic() - errand.sent_at
            return Outcome(task.trajectory, task.params, (), failure, wall_s, output=death.output)
        return so_far._replace(failure=failure, underway=False, output=death.output)
