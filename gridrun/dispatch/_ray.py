"""The backend ray: children live in actors of a Ray cluster, an actor for each CPU of its nodes.

An actor is bound to its node and never restarted by Ray; when the sweep's process is gone, however it
went, Ray ends its actors, and their children end with them. The cell runs in a child (child.py), so
what befalls it has the same names here as on one machine.
"""

import math
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from importlib.metadata import version
from queue import SimpleQueue
from typing import Any

from gridrun.dispatch.admission import Admission
from gridrun.dispatch.child import Answer, Crew, Death, Underway
from gridrun.dispatch.pool import Event
from gridrun.dispatch.process import count_cores
from gridrun.errors import EnvironmentFault
from gridrun.job import Job
from gridrun.outcome import Outcome, Piece, Task
from gridrun.output import FOLLOW_S
from gridrun.worker import describe

# Before Ray is loaded: nobody asked for a report on its use to its makers.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

# Ray itself tries for two minutes, and then ends the process.
CONNECT_S = 10.0


class Host:
    """On a Ray node: one child."""

    def __init__(self, job: Job) -> None:
        self._job, self._crew = job, Crew(1, job)

    def describe(self) -> dict[str, str]:
        """What results here depend on."""
        return self._crew.describe(self._job)

    def run(self, batch: Sequence[Task], slot: int) -> Answer | Underway:
        """Run a batch in the child, until it is done or there are epochs to tell of."""
        self._batch = self._crew.children[0].send(self._job, batch, slot)
        return self.go_on()

    def go_on(self) -> Answer | Underway:
        """Wait for more of the batch that is under way."""
        return self._crew.children[0].listen(self._batch)

    def look(self) -> list[Piece]:
        """What the child has printed; asked while it runs a batch."""
        return self._crew.children[0].look()


class RayWorkers:
    """The CPUs of a Ray cluster, those that join later too; without an address, `jobs` of this machine."""

    # A round trip costs 2 ms.
    batch_s = 0.1

    def __init__(self, address: str | None, jobs: int) -> None:
        """Raises: EnvironmentFault if the cluster can't be joined."""
        self.most = count_cores(jobs) if address is None else jobs if jobs > 0 else None
        self._slots: dict[str, list[_RaySlot]] = {}  # by node
        self._nodes: dict[str, bool | None] = {}  # whether they run cells; None: not known yet
        self._lost = False
        options: dict[str, Any] = {"address": address}
        if address is None:
            options = {"address": "local", "num_cpus": self.most, "include_dashboard": False}
        elif not _answers(address):
            raise EnvironmentFault(
                f"no Ray cluster answers at {address}; start one with `ray start --head` or mend the address"
            )
        told = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(log_to_driver=False, logging_level="CRITICAL", **options)
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise EnvironmentFault(f"the Ray cluster at {address} can't be joined: {reason}") from None
        finally:
            signal.signal(signal.SIGTERM, told)  # Ray takes it, to end at once
        self._head = str(ray.get_runtime_context().gcs_address)

    @property
    def count(self) -> int:
        there = sum(_nodes().values())
        return there if self.most is None else min(there, self.most)

    def begin(self, job: Job, events: "SimpleQueue[Event]", _keep: Callable[[Outcome], None]) -> None:
        self._job, self._events = job, events
        self._admission = Admission(describe(job), events)
        self.check()

    def check(self) -> None:
        # Asked first, as Ray's own calls wait for a lost head, and after 60 s end the process.
        if not _answers(self._head):
            self._lost = True
            raise EnvironmentFault(
                f"the Ray cluster at {self._head} is gone; what was reported done is kept,"
                " and the same command goes on when it is back"
            )
        nodes = _nodes()
        for node, cpus in nodes.items():
            if node not in self._nodes:
                self._ask(node)
            slots = self._slots[node] = [slot for slot in self._slots.get(node, ()) if not slot.gone]
            while self._nodes[node] and len(slots) < cpus:
                slots.append(_RaySlot(self._job, node, self._events))
                slots[-1].greet(self._meet)
        self._admission.check(more=any(self._nodes[node] is not False for node in nodes))

    def end(self, *, kill: bool) -> None:  # noqa: ARG002 - children end with their actors
        if not self._lost:
            ray.shutdown()

    def _ask(self, node: str) -> None:
        """Ask a node for its gridrun, by the standard library: an actor of ours would die of having none."""
        self._nodes[node] = None

        def hear(answer: "Future[str]") -> None:
            error = answer.exception()
            self._nodes[node] = error is None or self._admission.admit(_name(node), _plain(error))

        remote = ray.remote(version).options(num_cpus=0, scheduling_strategy=_on(node))
        remote.remote("gridrun").future().add_done_callback(hear)

    def _meet(self, slot: "_RaySlot", answer: "Future[dict[str, str]]") -> None:
        """Take a slot on if results there would be the same as here; its node is judged by the first."""
        error = answer.exception()
        if isinstance(error, ray.exceptions.RayActorError):
            slot.gone = True  # lost before it could answer; `check` makes another
        elif self._nodes[slot.host]:
            if self._admission.admit(_name(slot.host), answer.result() if error is None else _plain(error)):
                self._events.put(slot)
            else:
                self._nodes[slot.host] = False


class _RaySlot:
    number = 0
    gone = False

    def __init__(self, job: Job, node: str, events: "SimpleQueue[Event]") -> None:
        self.host, self._events = node, events
        self._since, self._looking = math.inf, False  # when it was given the one trajectory that it has
        self._epochs: SimpleQueue[Outcome] = SimpleQueue()
        # Two at once: a batch, and looks at what it prints.
        remote = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Host)
        self._actor = remote.options(scheduling_strategy=_on(node), max_concurrency=2).remote(job)

    def greet(self, met: Any) -> None:
        self._actor.describe.remote().future().add_done_callback(lambda answer: met(self, answer))

    def send(self, batch: Sequence[Task]) -> "Future[Answer]":
        self._since = time.monotonic() if len(batch) == 1 else math.inf
        answer: Future[Answer] = Future()
        self._follow(self._actor.run.remote(batch, self.number), answer)
        return answer

    def _follow(self, call: Any, answer: "Future[Answer]") -> None:
        """Ask for more until the batch is done."""

        def hear(future: "Future[Answer | Underway]") -> None:
            if error := future.exception():
                answer.set_exception(error)
            elif isinstance(heard := future.result(), Underway):
                for outcome in heard.epochs:
                    self._epochs.put(outcome)
                self._follow(self._actor.go_on.remote(), answer)
            else:
                answer.set_result(heard)

        call.future().add_done_callback(hear)

    def receive(self, future: "Future[Answer]") -> Answer:
        try:
            return future.result()
        except ray.exceptions.RayActorError:
            self.gone = True
            return Death(f"the loss of its worker on Ray node {self.host[:8]}")
        except Exception as error:  # what the worker could not send back
            return Death(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")

    def check(self) -> None:
        if self._looking or time.monotonic() < self._since + FOLLOW_S:
            return
        self._looking = True

        def hear(answer: "Future[list[Piece]]") -> None:
            self._looking = False
            for piece in answer.result() if answer.exception() is None else ():
                self._events.put(piece)

        self._actor.look.remote().future().add_done_callback(hear)

    def epochs(self) -> list[Outcome]:
        return [self._epochs.get() for _ in range(self._epochs.qsize())]


def _on(node: str) -> Any:
    return NodeAffinitySchedulingStrategy(node_id=node, soft=False)


def _name(node: str) -> str:
    return f"on Ray node {node[:8]}"


def _plain(error: BaseException) -> BaseException:
    """What was raised there, without Ray's account of where."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, BaseException) else error


def _nodes() -> dict[str, int]:
    """The CPUs of each node that is alive."""
    return {node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]}


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError):
        return False
    return True
