"""The live screen: as wide as the terminal, and true; what it tells `status`."""

import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from rich.console import Console

from gridrun.directory import NOW, Board, Holder
from gridrun.now import Row, read_now, tell_rows
from gridrun.outcome import Failure, Task, Working
from gridrun.plan import plan_sweep
from gridrun.progress import MOST_TOLD, Screen, _Block, show_progress
from gridrun.results.standings import Standings
from gridrun.signals import FINISHING, Stop
from gridrun.spec import Spec
from gridrun.store import Store
from tests.acceptance.quick import HEAD, HERE, sweep_here
from tests.gridrun.test_relay import so_far

LONG = "a rather long name of an optimizer that nobody would type but somebody did"
GRID = (
    HEAD + f'budget = "epochs"\n[grid]\na = [1, 2]\nb = [0.5, 1.0]\nc = ["{LONG}", "sgd"]\nepochs = [2, 5]\n'
)


@contextmanager
def screen_of(directory: Path, text: str = GRID) -> Iterator[Screen]:
    spec = Spec.parse(text, "grid.toml")
    plan = plan_sweep(spec, HERE, directory, retry_failed=False)
    screen = Screen(plan, Standings(spec.grid, plan.identity, spec.rule), directory, None, False)
    try:
        yield screen
    finally:
        screen.close()


def drawn(screen: Screen, width: int, height: int = 24, stop: Stop | None = None) -> list[str]:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)
    with console.capture() as text:
        console.print(_Block(screen, stop or Stop()))
    return text.get().splitlines()


def fill(screen: Screen, workers: int = 2) -> None:
    """Tell it of some failures, and what workers do."""
    tasks = list(screen.plan.tasks())
    for number, task in enumerate(tasks[:3]):
        failure = Failure(f"ValueError: {'no luck ' * 20}", f'  File "m.py", line {number // 2}, in f\n')
        outcome = so_far(1)._replace(trajectory=task.trajectory, params=task.params, number=number)
        screen.add([outcome._replace(failure=failure, underway=False)])
    now = time.monotonic()
    working = (Working(slot, tasks[3 + slot % 5], slot, now - 10 * slot, 2) for slot in range(workers))
    screen.look(list(working))


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_is_longer_than_the_terminal_is_wide(tmp_path: Path, width: int) -> None:
    with screen_of(tmp_path) as screen:
        fill(screen)
        screen.best = screen.standings.best()
        lines = drawn(screen, width)
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert "6/16 cells, 6 failed" in text
    assert "4 x " in text
    assert text.count("3/5") == 2
    assert text.replace(" ", "").endswith("--follow")
    if width == 200:
        assert lines[0].endswith("6/16 cells, 6 failed, after 1 s")
        assert lines[1].startswith("    4 x ValueError: no luck")
        assert "  epoch 3/5  a 1, b 1.0, c sgd" in lines[3]
        assert "   10 s  epoch 3/5  with 1 more  a 2, b 0.5" in lines[4]


def test_of_more_workers_than_fit_those_that_run_longest_are_told(tmp_path: Path) -> None:
    with screen_of(tmp_path) as screen:
        fill(screen, workers=50)
        lines = drawn(screen, 80, height=20)
    assert len(lines) < 20
    (others,) = (number for number, line in enumerate(lines) if line.endswith("more workers"))
    shown = lines[others - 3 : others]
    assert all("min" in line for line in shown), lines
    rows = [Row(f"{number:016x}", "", float(number), None, None, 0) for number in range(5)]
    assert tell_rows(rows, 5)[-1] == "00000000      4 s"
    assert tell_rows(rows, 1) == ["and 5 more workers"]


def test_kinds_of_failure_beyond_those_told_are_counted_as_one(tmp_path: Path) -> None:
    text = HEAD + "[grid]\na = { from = 1, to = 30, num = 30 }\n"
    with screen_of(tmp_path, text) as screen:
        for number, task in enumerate(screen.plan.tasks()):
            failure = Failure("KeyError: 1", f'  File "m.py", line {number}, in f\n')
            outcome = so_far(0)._replace(trajectory=task.trajectory, params=task.params, history=[])
            screen.add([outcome._replace(failure=failure, underway=False)])
        assert len(screen.kinds) == MOST_TOLD + 1
        assert sum(count for count, _ in screen.kinds.values()) == screen.failed == 30
        assert "   20 x of other kinds" in drawn(screen, 80)


def test_status_reads_what_the_screen_said_of_this_holder_and_of_late(tmp_path: Path) -> None:
    sweep_here(tmp_path, GRID)
    me = Holder(os.getpid())
    with Store.read(tmp_path) as store:
        assert read_now(store, me) is None
        with screen_of(tmp_path) as screen:
            screen.working = [Working(0, Task("t" * 16, {"a": 1}, 5, 0), 0, time.monotonic() - 3, 1)]
            screen.look(screen.working)
            found = read_now(store, me)
            assert found is not None
            (row,) = found.workers
            assert (row.params, row.epoch, row.epochs, row.more) == ("a 1", 2, 5, 0)
            assert row.seconds == pytest.approx(3, abs=2)
            assert read_now(store, Holder(1)) is None
            said = json.loads((tmp_path / NOW).read_text())
            for damage in ({"at": said["at"] - 100}, {"workers": [1]}, {"left_s": [1]}, {"elapsed_s": "x"}):
                (tmp_path / NOW).write_text(json.dumps(said | damage))
                assert read_now(store, me) is None, damage
            (tmp_path / NOW).write_text("[" * 100_000)
            assert read_now(store, me) is None
        assert not (tmp_path / NOW).exists()


def test_a_link_in_the_place_of_what_is_told_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / NOW).symlink_to(tmp_path / "precious")
    board = Board(tmp_path)
    board.write({"elapsed_s": 1.0})
    board.close()
    assert (tmp_path / "precious").read_text() == "kept"


def test_who_was_asked_to_stop_says_so_below_all_else(tmp_path: Path) -> None:
    """Not above it, as a signal's handler would: what it writes is drawn over."""
    with screen_of(tmp_path) as screen:
        assert FINISHING not in drawn(screen, 80)
        for _ in range(2):
            assert drawn(screen, 80, stop=Stop(asked=True))[-1] == FINISHING
            fill(screen)


@pytest.mark.parametrize("quiet", [True, False])
def test_nothing_is_left_when_the_sweep_is_over(tmp_path: Path, quiet: bool) -> None:
    sweep_here(tmp_path, GRID)
    spec = Spec.parse(GRID, "grid.toml")
    plan = plan_sweep(spec, HERE, tmp_path, retry_failed=False)
    standings = Standings(spec.grid, plan.identity, spec.rule)
    with (
        suppress(KeyboardInterrupt),
        show_progress(plan, standings, tmp_path, workers=2, quiet=quiet) as screen,
    ):
        screen.look([])
        assert (tmp_path / NOW).exists()
        raise KeyboardInterrupt
    assert not (tmp_path / NOW).exists()
