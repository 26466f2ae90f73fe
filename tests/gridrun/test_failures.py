"""Failures by kind: what is alike, and the example that is told."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridrun.cell import Identity
from gridrun.grid import Axis, Grid
from gridrun.outcome import Failure, Outcome, Progress
from gridrun.results.failures import MOST_KINDS, describe_failure, group_failures, kind_of
from gridrun.results.lines import tell_kinds
from gridrun.store import Store
from gridrun.worker import _own_traceback

IDENTITY = Identity("m:f", None, ((None, 4),))
GRID = Grid((Axis("a", (1, 2, 3, 4)), Axis("epochs", (2, 5))), budget="epochs")


def raised(source: str, error: str) -> Failure:
    """What is kept of an exception that `source` raises, called from a file `cell.py`."""
    try:
        exec(compile(source, "/somewhere/cell.py", "exec"), {})
    except Exception as found:
        return Failure(error, _own_traceback(found))
    raise AssertionError


RAISE = "def train():\n    raise ValueError({!r})\ntrain()\n"


def test_one_cause_is_one_kind_whatever_its_message_says() -> None:
    one = raised(RAISE.format("a = 1"), "ValueError: a = 1")
    two = raised(RAISE.format("a = 2"), "ValueError: a = 2")
    assert kind_of(one) == kind_of(two)
    assert describe_failure(one) == "ValueError: a = 1 (cell.py:2)"


@pytest.mark.parametrize(
    "source",
    [
        "\n" + RAISE.format("a = 1"),
        "def train():\n    raise KeyError(1)\ntrain()\n",
    ],
    ids=["another line", "another type"],
)
def test_another_line_or_another_type_is_another_kind(source: str) -> None:
    reason = "KeyError: 1" if "KeyError" in source else "ValueError: a = 1"
    assert kind_of(raised(source, reason)) != kind_of(raised(RAISE.format("a = 1"), "ValueError: a = 1"))


def test_the_place_is_the_innermost_one_of_the_last_exception() -> None:
    chained = (
        "def read():\n    raise OSError(1)\n"
        "def train():\n    try:\n        read()\n    except OSError as error:\n"
        "        raise ValueError(2) from error\ntrain()\n"
    )
    assert describe_failure(raised(chained, "ValueError: 2")) == "ValueError: 2 (cell.py:7)"
    quoted = raised(RAISE.format('see\n  File "x'), "ValueError: see")
    assert describe_failure(quoted) == "ValueError: see (cell.py:2)"


@pytest.mark.parametrize(
    ("one", "two", "alike"),
    [
        ("timed out after 2 s", "timed out after 2.5 s", True),
        ("its worker died 2 times, last by SIGKILL", "its worker died 3 times, last by SIGKILL", True),
        ("its worker died 2 times, last by SIGKILL", "its worker died 2 times, last by SIGSEGV", False),
    ],
)
def test_without_a_traceback_reasons_are_alike_but_for_their_numbers(one: str, two: str, alike: bool) -> None:
    # faulthandler's stack is none: where a hang was met says nothing of its cause.
    stack = 'Timeout (0:00:02)!\nThread 0x1 (most recent call first):\n  File "x.py", line {} in f\n'
    kinds = {kind_of(Failure(one, stack.format(1))), kind_of(Failure(two, stack.format(2)))}
    assert len(kinds) == (1 if alike else 2)


def fill(directory: Path, outcomes: list[tuple[int, int, Failure]]) -> Iterator[Store]:
    names = list(GRID.trajectory_ids(IDENTITY))
    with Store.write(directory) as store:
        store.begin("", IDENTITY, {}, {})
        for index, epochs, failure in outcomes:
            params = GRID.trajectory_params(index)
            store.save([Outcome(names[index], params, [{"score": 1.0}] * epochs, failure, 0.1)])
        yield store


def test_each_kind_counts_its_failed_cells_and_shows_the_first_in_grid_order(tmp_path: Path) -> None:
    here, there = raised(RAISE.format("x"), "ValueError: x"), Failure("timed out after 2 s")
    outcomes = [(3, 0, here), (2, 0, there), (1, 3, raised(RAISE.format("y"), "ValueError: y"))]
    for store in fill(tmp_path, outcomes):  # the last one in grid order came first
        kinds = group_failures(store, GRID, IDENTITY, store.progress())
        names = list(GRID.trajectory_ids(IDENTITY))
        # Of the trajectory with 3 epochs the cell with 2 is completed.
        first = GRID.cell(1, names[1], 5)
        assert [(kind.count, kind.reason) for kind in kinds] == [
            (3, "ValueError: y (cell.py:2)"),
            (2, "timed out after 2 s"),
        ]
        assert kinds[0].cell == first.id
        assert kinds[1].cell == GRID.cell(2, names[2], 2).id
        lines = tell_kinds(kinds, tmp_path)
        assert lines[0] == "5 cells failed, of 2 kinds:"
        assert lines[2].split()[:3] == ["gridrun", "show", first.id]


def test_what_failed_beyond_every_budget_failed_no_cell(tmp_path: Path) -> None:
    for store in fill(tmp_path, [(0, 5, Failure("timed out after 2 s"))]):
        assert group_failures(store, GRID, IDENTITY, store.progress()) == []


class _Endless(Store):
    """A store with very many failures, made as they are read."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def failures(self) -> Iterator[tuple[str, Failure]]:
        for number, name in enumerate(self.names):
            yield name, Failure("ValueError: x", f'  File "{number}.py", line 1, in f\n' + "x" * 10_000)

    def failure_of(self, trajectory: str) -> Failure | None:
        return Failure(trajectory)


def test_many_failures_stay_small_in_memory_and_few_in_kinds() -> None:
    count = 2000
    grid, identity = Grid((Axis("a", tuple(range(count))),)), Identity("m:f", None, ((None, count),))
    names = list(grid.trajectory_ids(identity))
    known = dict.fromkeys(names, Progress(0, True))
    tracemalloc.start()
    try:
        kinds = group_failures(_Endless(names), grid, identity, known)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(kind.count for kind in kinds) == count
    assert len(kinds) == MOST_KINDS + 1  # the others are one
    assert peak < 500 * count
