"""The backend dask: children live on the workers of a Dask cluster; one slot for each of their threads.

Not through joblib's Dask backend, which was tried first (joblib 1.6, distributed 2026.8): a cell
that kills its worker took four of them along, results that had been computed were lost with them
and computed again, and then the call neither went on nor ended; a timeout ended the whole call.
So this file speaks to `distributed.Client` itself:

- A cell runs in a child of the Dask worker (child.py), as on one machine. What a cell does to its
  process - dying, holding the GIL past its time, printing - reaches neither the Dask worker nor
  its heartbeat, and has the same names here as there.
- A batch is sent to one worker, and may run nowhere else. Dask would run it again by itself if the
  worker were lost; but the loss is announced before, and the pool decides.
- What a child may live on is a lease: the key of a task whose result the client holds. When the
  client is gone, however it went, the scheduler forgets the key, and the worker ends the children.
"""

import asyncio
import contextlib
import logging
import math
import multiprocessing
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib.metadata import version
from queue import SimpleQueue
from typing import Any
from uuid import uuid4

import dask

from gridrun.dispatch.admission import Admission
from gridrun.dispatch.child import Answer, Crew, Death, Underway, refuse, system_error
from gridrun.dispatch.pool import Event
from gridrun.dispatch.process import count_cores
from gridrun.errors import EnvironmentFault
from gridrun.job import Job
from gridrun.outcome import Outcome, Piece, Task
from gridrun.output import FOLLOW_S
from gridrun.worker import describe

# What Dask logs while it loses a worker or a scheduler would be pages; we say it in a line.
_LOGGERS = (
    *("distributed", "distributed.client", "distributed.gc"),
    *("tornado", "tornado.application", "bokeh", "asyncio"),
)
with dask.config.set({"logging": dict.fromkeys(_LOGGERS, logging.CRITICAL + 1)}):
    import distributed

CONNECT_S = 10.0
LEASE_S = 0.5  # between a worker's looks at its leases
LOOK_S = 0.5  # between looks at what a worker's children print, and so much more for each worker there is
LOOK_SHARE_S = 0.02
LONGEST_STEP_S = 1.0
# A worker that has answered no look for so long is frozen (stopped, swapping, its network gone): Dask itself
# notices after `worker-ttl`, five minutes, and says nothing.
FROZEN_S = 60.0


# On the Dask worker.


@dataclass
class _Lease:
    job: Job
    crew: Crew
    batches: "dict[int, Future[Any]]" = field(default_factory=dict)  # under way, by the child's place


_leases: dict[str, _Lease] = {}


def begin_lease(key: str, job: Job) -> tuple[int, dict[str, str]]:
    """Make room for children, as many as this worker has threads, while the client holds `key`.

    Returns their number, and what results here depend on.
    """
    worker = distributed.get_worker()
    # A nanny's workers are daemons, which may have no children; ours end with them by themselves.
    multiprocessing.current_process().daemon = False
    size = worker.state.nthreads
    lease = _leases[key] = _Lease(job, Crew(size, job))
    threading.Thread(target=_watch, args=(worker, key), name=key, daemon=True).start()
    return size, lease.crew.describe(job)


def run_batch(key: str, place: int, batch: Sequence[Task], slot: int) -> Answer | Underway:
    """Run a batch in a child of this worker, until it is done or there are epochs to tell of."""
    lease = _leases.get(key)
    if lease is None:  # a new process at the old one's address
        return Death("the loss of its Dask worker")
    lease.batches[place] = lease.crew.children[place].send(lease.job, batch, slot)
    return go_on(key, place)


def go_on(key: str, place: int) -> Answer | Underway:
    """Wait for more of the batch that is under way there."""
    lease = _leases.get(key)
    if lease is None:
        return Death("the loss of its Dask worker")
    return lease.crew.children[place].listen(lease.batches[place])


def look(key: str) -> list[Piece]:
    """What the children of this worker have printed."""
    lease = _leases.get(key)
    return [] if lease is None else [piece for child in lease.crew.children for piece in child.look()]


def _watch(worker: Any, key: str) -> None:
    """End the children of a lease when the client has let go of it, or the worker ends."""
    ended = (distributed.Status.closing, distributed.Status.closed, distributed.Status.failed)
    while key in worker.state.tasks and worker.status not in ended:
        time.sleep(LEASE_S)
    _leases.pop(key).crew.end(kill=True)


# In the sweep's own process.


class DaskWorkers:
    """The workers of a scheduler, those that join later too; without an address, `jobs` of our own."""

    # A round trip costs 17 ms.
    batch_s = 0.5

    def __init__(self, address: str | None, jobs: int) -> None:
        """Raises: EnvironmentFault if no scheduler answers."""
        security: Any = distributed.Security()  # type: ignore[no-untyped-call]
        if (address or "").startswith("tls://") and not security.tls_ca_file:
            raise EnvironmentFault(
                f"{address}: no certificates are known; set DASK_DISTRIBUTED__COMM__TLS__CA_FILE and its kin"
            )
        self.most = count_cores(jobs) if address is None else jobs if jobs > 0 else None
        self._address = address
        self._workers: dict[str, _Worker] = {}
        self._exit = contextlib.ExitStack()
        try:
            # Its warning is on all that Dask itself uses; ours, on what results depend on.
            self._exit.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
            where = address or self._exit.enter_context(_own_cluster(self.most or 1))
            self._client = self._exit.enter_context(
                distributed.Client(where, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
            )
        except RuntimeError as error:
            if address is not None:
                raise
            # A worker of our own could not be started.
            raise refuse(system_error(error)) from None
        except OSError as error:
            if address is None:
                raise refuse(error) from None
            raise EnvironmentFault(
                f"no Dask scheduler answers at {address}; start one with `dask scheduler` or mend the address"
            ) from None

    @property
    def count(self) -> int:
        there: int = sum(self._client.nthreads().values())
        return there if self.most is None else min(there, self.most)

    def begin(self, job: Job, events: "SimpleQueue[Event]", _keep: Callable[[Outcome], None]) -> None:
        self._job, self._events = job, events
        self._admission = Admission(describe(job), events)
        self._client.subscribe_topic("all", self._hear)
        there = list(self._client.nthreads())
        if not there:
            events.put(f"the Dask scheduler at {self._address} has no workers yet; waiting for one to join")
        for address in there:
            self._client.loop.add_callback(self._greet, address)

    def check(self) -> None:
        if self._client.status != "running":
            raise EnvironmentFault(
                f"the Dask scheduler at {self._address} is gone; what was reported done is kept,"
                " and the same command goes on when it is back"
            )
        self._admission.check(more=bool(self._workers))

    def end(self, *, kill: bool) -> None:  # noqa: ARG002 - children end with their lease
        if self._client.status == "running":
            self._client.unsubscribe_topic("all")
        self._exit.close()

    # The rest runs in the client's event loop.

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        _, message = event
        address = message.get("worker", "")
        if message.get("action") == "add-worker":
            self._client.loop.add_callback(self._greet, address)
        elif message.get("action") == "remove-worker" and address in self._workers:
            self._workers.pop(address).lost.set()
            if not self._workers:
                self._events.put("the last worker is gone; waiting for one to join")

    def _follow(self, worker: "_Worker") -> None:
        worker.look(len(self._workers), self._events.put, self._greet)
        if worker.silent_s > FROZEN_S:
            self._client.loop.add_callback(self._give_up, worker)

    def _give_up(self, worker: "_Worker") -> None:
        if self._workers.get(worker.address) is not worker:
            return
        del self._workers[worker.address]
        self._events.put(
            f"the Dask worker {worker.address} has not answered for {FROZEN_S:.0f} s:"
            " what it was at is run again elsewhere"
        )
        worker.leave()

    async def _greet(self, address: str) -> None:
        """Ask a worker what it is, and take it on if results there would be the same as here."""
        if address in self._workers:
            return
        worker = self._workers[address] = _Worker(self._client, address)
        size, there = 0, None
        try:
            # Asked by the standard library: a Dask worker that can't import what it is sent ends itself.
            installed = await worker.ask(version, "gridrun", key=f"{worker.lease}-version")
            answer = await worker.ask(begin_lease, worker.lease, self._job, key=worker.lease)
            if isinstance(installed, Death) or isinstance(answer, Death):
                return
            size, there = answer
        except Exception as error:  # it has no gridrun, or another; the train function can't be imported
            # Dask wraps what its scheduler could not import, as that unpacks tasks too.
            there = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        if not self._admission.admit(address, there):
            self._workers.pop(address, None)
        for place in range(size if address in self._workers else 0):
            self._events.put(_DaskSlot(worker, place, self._follow))


def _own_cluster(size: int) -> Any:
    # Within this process, as cells run in children: nothing can be left behind, and the only ports
    # are Dask's pages about itself, which without an address would be open to the network.
    page = "127.0.0.1:0"
    return distributed.LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=size,
        threads_per_worker=1,
        processes=False,
        memory_limit=0,
        dashboard_address=page,
        worker_dashboard_address=page,
    )


class _Worker:
    """A Dask worker, as the client knows it."""

    def __init__(self, client: Any, address: str) -> None:
        self.client, self.address = client, address
        self.lease = f"gridrun-{uuid4().hex}"
        self.lost = asyncio.Event()
        self.silent_s = 0.0  # how long it has not answered what it was asked
        self._asked, self._look_at, self._looked_at = False, 0.0, 0.0
        self._held: list[Any] = []

    async def ask(self, function: Callable[..., Any], *args: Any, key: str) -> Any:
        """Call a function there. The answer is a Death if the worker, or the scheduler, is lost before."""
        future = self.client.submit(
            function, *args, key=key, workers=[self.address], allow_other_workers=False, pure=False
        )
        if key == self.lease:
            self._held.append(future)
        answer = asyncio.ensure_future(self.client.gather(future, asynchronous=True))
        lost = asyncio.ensure_future(self.lost.wait())
        try:
            await asyncio.wait({answer, lost}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
        except asyncio.CancelledError:  # the client lost its scheduler: DaskWorkers.check says so
            pass
        finally:
            answer.cancel()
            lost.cancel()
        return Death(f"the loss of its Dask worker {self.address}")

    def leave(self) -> None:
        """Expect nothing more of it: its slots are gone, and its children end when it hears of that."""
        self.lost.set()
        self._held.clear()

    def look(self, most: int, hear: Callable[[Piece], None], greet: Callable[[str], Awaitable[None]]) -> None:
        """Ask, now and then, what its children have printed. `most` workers share the client's time."""
        now = time.monotonic()
        if self._asked:  # in steps: in what time this machine stood still it could not be heard
            self.silent_s += min(now - self._looked_at, LONGEST_STEP_S)
        self._looked_at = now
        if self._asked or now < self._look_at:
            return
        self._asked = True

        async def ask() -> None:
            with contextlib.suppress(Exception):  # if it is lost, others tell
                # Past the queue of tasks: its threads may all be at one.
                found = await self.client.run(look, self.lease, workers=[self.address])
                self.silent_s = 0.0
                for piece in found.get(self.address, ()):
                    hear(piece)
                if self.lost.is_set():
                    await greet(self.address)  # it was frozen, and is no more
            self._asked, self._look_at = False, time.monotonic() + max(LOOK_S, most * LOOK_SHARE_S)

        self.client.loop.add_callback(ask)


class _DaskSlot:
    number = 0

    def __init__(self, worker: _Worker, place: int, follow: Callable[[_Worker], None]) -> None:
        self._worker, self._place, self._follow = worker, place, follow
        self._since = math.inf  # when it was given what it has
        self._epochs: SimpleQueue[Outcome] = SimpleQueue()
        self.host = worker.address.rpartition(":")[0]

    @property
    def gone(self) -> bool:
        return self._worker.lost.is_set()

    def send(self, batch: Sequence[Task]) -> "Future[Answer]":
        self._since = time.monotonic()
        return asyncio.run_coroutine_threadsafe(self._run(batch), self._worker.client.loop.asyncio_loop)

    async def _run(self, batch: Sequence[Task]) -> Answer:
        worker, where = self._worker, (self._worker.lease, self._place)
        answer = await worker.ask(run_batch, *where, batch, self.number, key=f"{worker.lease}-{uuid4().hex}")
        while isinstance(answer, Underway):
            for outcome in answer.epochs:
                self._epochs.put(outcome)
            answer = await worker.ask(go_on, *where, key=f"{worker.lease}-{uuid4().hex}")
        return answer  # type: ignore[no-any-return]

    def receive(self, future: "Future[Answer]") -> Answer:
        try:
            return future.result()
        except Exception as error:  # Dask's own, or what the worker could not send back
            return Death(f"{type(error).__name__}: {error}")

    def check(self) -> None:
        if time.monotonic() >= self._since + FOLLOW_S:
            self._follow(self._worker)

    def epochs(self) -> list[Outcome]:
        return [self._epochs.get() for _ in range(self._epochs.qsize())]
