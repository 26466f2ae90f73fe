"""Epochs of a trajectory that runs: through the pipe and the pool into the store and onto the screen."""

import os
import pickle
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from gridrun import worker
from gridrun.cell import Identity
from gridrun.dispatch.child import Answer, Death
from gridrun.dispatch.pool import TICK_S, Pool
from gridrun.execution import open_sweep
from gridrun.grid import Axis, Grid
from gridrun.job import Job
from gridrun.ledger import Ledger
from gridrun.metrics import Bits
from gridrun.outcome import Failure, Outcome, Progress, Task
from gridrun.plan import Count, Plan
from gridrun.progress import Screen
from gridrun.relay import EACH_S, Receiver, Sender
from gridrun.results.standings import Standings
from gridrun.selection import Rule
from gridrun.signals import Stop
from gridrun.spec import Run, Spec
from gridrun.store import Store
from gridrun.surroundings import Surroundings
from gridrun.trainers.function import FunctionSettings
from tests.acceptance.quick import Watcher
from tests.gridrun.test_dispatch import JOB, Obedient, ObedientSlot

pytestmark = pytest.mark.slow

HERE = Path(__file__)


def so_far(epochs: int, trajectory: str = "t", width: int = 1, number: int = 0) -> Outcome:
    history = [{f"score{k}": float(epoch) for k in range(width)} | {"score": 1.0} for epoch in range(epochs)]
    seconds = [float(epoch) for epoch in range(epochs)]
    bits = [{"correct": Bits(8, bytes([epoch % 256]))} for epoch in range(epochs)]
    return Outcome(
        trajectory, {"a": 1}, history, None, float(epochs), seconds, bits=bits, number=number, underway=True
    )


@pytest.fixture
def ends(tmp_path: Path) -> tuple[Sender, Receiver]:
    receiver = Receiver(tmp_path / "epochs-0")
    return Sender(tmp_path / "epochs-0"), receiver


def test_what_is_sent_piece_by_piece_arrives_as_a_whole(ends: tuple[Sender, Receiver]) -> None:
    sender, receiver = ends
    assert receiver.receive() == []
    for epochs in (1, 2, 5):
        sender.send(so_far(epochs))
    assert receiver.receive() == [so_far(5)]
    sender.send(so_far(5))  # nothing new
    assert receiver.receive() == []
    sender.begin()
    sender.send(so_far(3, "u"))
    sender.begin()
    sender.send(so_far(2))  # begun anew
    assert receiver.receive() == [so_far(3, "u"), so_far(2)]


def test_where_the_pipe_is_full_nobody_waits_and_nothing_is_lost(ends: tuple[Sender, Receiver]) -> None:
    sender, receiver = ends
    for epochs in range(1, 40):
        sender.send(so_far(epochs, width=1000))  # 20 KB each
    found = receiver.receive()
    assert 0 < len(found[0].history) < 39
    for _ in range(20):
        sender.send(so_far(39, width=1000))  # tries again what was left
        found = receiver.receive() or found
    assert found == [so_far(39, width=1000)]


def test_half_of_a_message_is_none(ends: tuple[Sender, Receiver], tmp_path: Path) -> None:
    sender, receiver = ends
    sender.send(so_far(1))
    message = pickle.dumps((False, so_far(1)))
    pipe = os.open(tmp_path / "epochs-0", os.O_WRONLY)
    os.write(pipe, len(message).to_bytes(8) + message[:-1])
    os.close(pipe)
    assert receiver.receive() == [so_far(1)]
    assert receiver.receive() == []


def test_long_histories_are_handed_over_less_often(ends: tuple[Sender, Receiver]) -> None:
    assert ends[0].send(so_far(10)) == 1.0
    assert ends[0].send(so_far(3000)) == pytest.approx(3000 * EACH_S)


# In the worker.


def validated_every_second(*, epochs: int) -> list[dict[str, float]]:
    return [{"loss": 1.0} | ({"score": 2.0} if epoch % 2 else {}) for epoch in range(epochs)]


@pytest.mark.parametrize(
    ("budgets", "kept"), [((4, 8), [1, 2, 3, 4, 5, 6, 7]), ((3, 6, 8), [1, 2, 2, 2, 2, 6, 7])]
)
def test_no_more_is_handed_over_than_would_be_kept_if_it_ended_there(
    ends: tuple[Sender, Receiver], monkeypatch: pytest.MonkeyPatch, budgets: tuple[int, ...], kept: list[int]
) -> None:
    """A cell that lacks its metric is done when a larger one has it: until then nobody knows."""
    handed: list[int] = []
    monkeypatch.setattr(worker, "AFTER_S", 0.0)
    monkeypatch.setattr(ends[0], "send", lambda outcome: handed.append(len(outcome.history)) or 0.0)
    name = f"{__name__}:validated_every_second"
    job = Job(FunctionSettings(name), (), "score", "epochs", None, budgets=budgets)
    (outcome,) = worker.run(job, [Task("t", {}, 8)], Surroundings, teller=ends[0])
    assert outcome.failure is None
    assert handed == kept


# In the pool.


class Reporting(ObedientSlot):
    """A slot with epochs to tell of."""

    def __init__(self, workers: Obedient, news: list[Outcome]) -> None:
        super().__init__(workers, "here")
        self.news = news

    def epochs(self) -> list[Outcome]:
        news, self.news[:] = list(self.news), []
        return news


def run_pool(news: list[Outcome], *answers: Answer) -> tuple[list[list[Outcome]], list[Task]]:
    """One trajectory, of which `news` is told first; then its worker answers."""
    workers, told = Obedient([]), list(answers)
    pool = Pool(JOB, workers, 2, Stop(), lambda _: None)

    class Slot(Reporting):
        def send(self, batch: Sequence[Task]) -> "Future[Answer]":
            future = super().send(batch)
            answer = told.pop(0)
            threading.Timer(2.5 * TICK_S, future.set_result, [answer]).start()
            return future

    pool.events.put(Slot(workers, news))
    came = list(pool.run(iter([Task("t", {"a": 1}, 5)])))
    return came, [batch[0] for _, batch, _ in workers.sent]


def test_epochs_of_a_running_trajectory_come_before_its_outcome_and_are_forgotten_with_it() -> None:
    final = so_far(5)._replace(underway=False)
    came, _ = run_pool([so_far(2)], [final])
    assert came == [[so_far(2)], [final]]


def test_a_trajectory_whose_worker_died_is_sent_again_with_its_epochs_and_fails_with_them() -> None:
    came, sent = run_pool([so_far(2)], Death("SIGKILL"), Death("SIGKILL"))
    assert [task.so_far for task in sent] == [None, so_far(2)]
    assert came[0] == [so_far(2)]
    (failed,) = came[-1]
    assert (failed.history, failed.underway) == (so_far(2).history, False)
    assert failed.failure is not None
    assert failed.failure.reason == "its worker died 2 times, last by SIGKILL"


# In the sweep.

GRID = (
    f'[sweep]\nname = "t"\ntrain = "{__name__}:steps"\nmetric = "score"\nbudget = "epochs"\n'
    "[grid]\na = [1, 2]\nepochs = [2, 5]\n"
)


def steps(*, a: int, epochs: int) -> list[dict[str, float]]:
    return [{"score": float(a)}] * epochs


class Telling:
    """Workers that tell of epochs before each outcome."""

    batch_s, most, count = 0.0, None, 1

    def begin(self, job: Job, events: "object", _keep: object) -> None:
        events.put(TellingSlot(job))  # type: ignore[attr-defined]

    def check(self) -> None:
        pass

    def end(self, *, kill: bool) -> None:
        pass


class TellingSlot:
    host, number, gone = "", 0, False

    def __init__(self, job: Job) -> None:
        self.job, self.news = job, list[Outcome]()

    def send(self, batch: Sequence[Task]) -> "Future[Answer]":
        future: Future[Answer] = Future()
        outcomes = worker.run(self.job, batch, Surroundings)
        (whole,) = outcomes
        self.left = [whole._replace(history=whole.history[:k], underway=True) for k in (1, 3, 2)]
        threading.Timer(3.5 * TICK_S, future.set_result, [outcomes]).start()
        return future

    def receive(self, future: "Future[Answer]") -> Answer:
        return future.result()

    def check(self) -> None:
        pass

    def epochs(self) -> list[Outcome]:
        return [self.left.pop(0)] if self.left else []


def test_a_cell_counts_when_its_epochs_are_stored_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridrun.dispatch.local.SequentialWorkers", lambda *_: Telling())
    spec, counted = Spec.parse(GRID, "grid.toml"), []
    with open_sweep(spec, tmp_path, Run(backend="sequential"), grid_file=HERE) as begun:
        screen = Screen(begun.plan, begun.standings, tmp_path, None, True)

        def look(outcomes: Sequence[Outcome]) -> None:
            screen.add(outcomes)
            with Store.read(tmp_path) as store:
                stored = sorted(progress.epochs for progress in store.progress().values())
            if outcomes:
                counted.append((screen.done, stored))

        count = begun.run(Stop(), Watcher(look))
    assert count == Count(completed=4)
    # After 3 epochs the 2-epoch cell is done; 2 epochs after 3 are no news.
    assert counted == [(0, [1]), (1, [3]), (2, [5]), (2, [1, 5]), (3, [3, 5]), (4, [5, 5])]


def test_a_failure_after_epochs_that_were_told_counts_what_is_left(tmp_path: Path) -> None:
    grid = Grid((Axis("a", (1,)), Axis("epochs", (2, 5))), (), {}, "epochs")
    plan = Plan(Spec.parse(GRID, ""), Identity("m:f", None, ((None, 1),)), {}, Count(pending=4), 2, False)
    screen = Screen(plan, Standings(grid, plan.identity, Rule("score", "max")), tmp_path, None, True)
    screen.add([so_far(3)])
    with Store.write(tmp_path) as store:
        Ledger(store, plan.known, resumes=False).learn([so_far(3)])
    assert (screen.done, screen.failed, plan.known["t"]) == (1, 0, Progress(3, False))
    screen.add([so_far(3)._replace(failure=Failure("its worker died"), underway=False)])
    assert (screen.done, screen.failed) == (2, 1)
