"""The pool against workers that do as they are told: what is sent where, and how often."""

import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue

import pytest

from gridrun.backends import BACKENDS
from gridrun.dispatch import check_backend
from gridrun.dispatch.child import Answer, Death
from gridrun.dispatch.pool import MOST_BATCH, Event, Pool
from gridrun.errors import EnvironmentFault, InputError
from gridrun.job import Job
from gridrun.outcome import Outcome, Task
from gridrun.signals import Stop
from gridrun.spec import Run
from gridrun.trainers.function import FunctionSettings

JOB = Job(FunctionSettings("toy:train"), (), "accuracy", None, None)
Decide = Callable[[Task], Answer | None]


class Obedient:
    """Workers whose slots answer when `answer` is called, the oldest errand first."""

    batch_s = 0.02

    def __init__(self, hosts: Sequence[str], most: int | None = None) -> None:
        self.hosts, self.most = hosts, most
        self.sent: list[tuple[str, Sequence[Task], Future[Answer]]] = []
        self.lost = ""

    @property
    def count(self) -> int:
        return len(self.hosts)

    def begin(self, _job: Job, events: "SimpleQueue[Event]", _keep: object) -> None:
        for host in self.hosts:
            events.put(ObedientSlot(self, host))

    def check(self) -> None:
        if self.lost:
            raise EnvironmentFault(self.lost)

    def end(self, *, kill: bool) -> None:
        pass

    @property
    def running(self) -> list[tuple[str, Sequence[Task], "Future[Answer]"]]:
        return [errand for errand in self.sent if not errand[2].done()]


class ObedientSlot:
    number = 0
    gone = False

    def __init__(self, workers: Obedient, host: str) -> None:
        self.workers, self.host = workers, host

    def send(self, batch: Sequence[Task]) -> "Future[Answer]":
        future: Future[Answer] = Future()
        self.workers.sent.append((self.host, batch, future))
        return future

    def receive(self, future: "Future[Answer]") -> Answer:
        return future.result()

    def check(self) -> None:
        pass

    def epochs(self) -> list[Outcome]:
        return []


def tasks(count: int) -> list[Task]:
    return [Task(str(number), {"a": number}, None) for number in range(count)]


def done(batch: Sequence[Task]) -> list[Outcome]:
    return [Outcome(task.trajectory, task.params, ({"accuracy": 1.0},), None, 0.0) for task in batch]


def run(
    workers: Obedient,
    given: Iterator[Task],
    look: Callable[[], None],
    dies: Sequence[str] = (),
    **options: int,
) -> list[Outcome]:
    """Run a pool, answering the oldest errand whenever it waits; `dies` name what kills its worker."""
    pool = Pool(JOB, workers, options.get("max_attempts", 3), Stop(), lambda _: None)

    class Events(SimpleQueue):  # type: ignore[type-arg]
        def get(self, *_: object, **__: object) -> Event:
            if self.empty() and workers.running:
                look()
                _host, batch, future = workers.running[0]
                poison = any(task.trajectory in dies for task in batch)
                future.set_result(Death("SIGKILL") if poison else done(batch))
            return super().get(timeout=0)

        def get_nowait(self) -> Event:
            return super().get(timeout=0)

    pool.events = Events()
    return [outcome for outcomes in pool.run(given) for outcome in outcomes]


def test_no_more_is_taken_from_the_grid_than_is_in_flight() -> None:
    workers = Obedient(["one", "one", "two"])
    taken = 0

    def endless() -> Iterator[Task]:
        nonlocal taken
        for task in tasks(20_000):
            taken += 1
            yield task

    def look() -> None:
        in_flight = sum(len(batch) for _, batch, _ in workers.running)
        answered = sum(len(batch) for _, batch, future in workers.sent if future.done())
        assert taken - answered <= in_flight <= 3 * MOST_BATCH

    outcomes = run(workers, endless(), look)
    assert sorted(int(outcome.trajectory) for outcome in outcomes) == list(range(20_000))
    assert max(len(batch) for _, batch, _ in workers.sent) > 1  # they travel together
    assert len(workers.sent[0][1]) == 1  # but not before it is known that they are short


def test_no_more_slots_are_busy_than_were_asked_for() -> None:
    workers = Obedient(["one", "one", "two"], most=2)
    busiest = 0

    def look() -> None:
        nonlocal busiest
        busiest = max(busiest, len(workers.running))

    assert len(run(workers, iter(tasks(50)), look)) == 50
    assert busiest == 2


def test_of_a_batch_that_died_only_the_culprit_fails_and_none_runs_twice_with_it() -> None:
    workers = Obedient(["one"])
    outcomes = run(workers, iter(tasks(3000)), lambda: None, dies=["2500"], max_attempts=2)
    assert len(outcomes) == 3000
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    assert [outcome.trajectory for outcome in failed] == ["2500"]
    assert failed[0].failure is not None
    assert failed[0].failure.reason == "its worker died 2 times, last by SIGKILL"
    with_it = [batch for _, batch, _ in workers.sent if any(task.trajectory == "2500" for task in batch)]
    assert [len(batch) for batch in with_it[1:]] == [1, 1]  # the batch was no attempt of its own


def test_the_last_attempt_has_its_machine_for_itself() -> None:
    workers = Obedient(["one", "one", "two", "two"])
    dies = ["0", "1", "2", "3", "4"]
    attempts: dict[str, int] = {}

    def look() -> None:
        for host, batch, future in workers.sent:
            tried = sum(batch[0].trajectory == other[0].trajectory for _, other, _ in workers.sent)
            if not future.done() and tried == 3 and batch[0].trajectory in dies:
                assert [h for h, _, _ in workers.running].count(host) == 1
                attempts[batch[0].trajectory] = tried

    outcomes = run(workers, iter(tasks(8)), look, dies=dies)
    assert attempts == dict.fromkeys(dies, 3)
    assert sum(outcome.failure is not None for outcome in outcomes) == 5


def test_a_death_is_not_counted_when_what_died_is_the_whole_cluster() -> None:
    workers = Obedient(["one"])

    def look() -> None:
        workers.lost = "the scheduler is gone"

    with pytest.raises(EnvironmentFault, match="the scheduler is gone"):
        run(workers, iter(tasks(1)), look, dies=["0"], max_attempts=1)


def test_what_travels_with_a_task_is_its_name_and_its_parameters() -> None:
    params = {"learning_rate": 0.01, "dropout_rate": 0.3, "batch_size": 10, "dataset": "mnist", "seed": 7}
    sent = pickle.dumps([Task("0123456789abcdef", params, 5)])
    assert len(sent) < 300
    each = (len(pickle.dumps([Task(f"{n:016x}", params, 5) for n in range(100)])) - len(sent)) / 99
    assert each < 60  # of a hundred that travel together


@pytest.mark.parametrize(("backend", "package"), [(n, b.package) for n, b in BACKENDS.items() if b.package])
def test_a_backend_that_is_not_installed_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, backend: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"pip install 'gridrun\[{backend}\]'"):
        check_backend(Run(backend=backend))


def test_where_a_batch_has_run_before_it_is_sent_it_is_timed_all_the_same() -> None:
    """In the backend sequential it is: its batches grew without end, and a kill or Ctrl-C met all of one."""

    class Synchronous(ObedientSlot):
        def send(self, batch: Sequence[Task]) -> "Future[Answer]":
            future = super().send(batch)
            time.sleep(0.03 * len(batch))
            future.set_result(done(batch))
            return future

    workers = Obedient([])
    pool = Pool(JOB, workers, 3, Stop(), lambda _: None)
    pool.events.put(Synchronous(workers, "here"))
    assert sum(len(outcomes) for outcomes in pool.run(iter(tasks(8)))) == 8
    assert [len(batch) for _, batch, _ in workers.sent] == [1] * 8


@pytest.mark.parametrize(("slots", "expected"), [(2, 2), (200, 100)])
def test_with_many_slots_batches_are_longer(slots: int, expected: int) -> None:
    """Of 10 ms tasks two make a batch of 0.02 s; with 200 slots a batch is 5 ms for each, 1 s."""
    workers = Obedient(["one"] * slots)
    pool = Pool(JOB, workers, 3, Stop(), lambda _: None)
    pool.task_s = 0.01
    pool.idle.extend(ObedientSlot(workers, "one") for _ in range(slots))
    batch, _ = pool._next_batch(pool.idle[0], iter(tasks(1000)))
    assert len(batch) == expected
