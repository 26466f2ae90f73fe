"""Signals at bad moments, and streams that end before the sweep does."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridrun.store import Store
from tests.acceptance.conftest import GRIDRUN, Run
from tests.acceptance.test_kills import SHORT_S, ledger, spawn, wait_until, wait_until_alone

Write = Callable[..., str]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_while_the_train_function_is_being_imported_ends_in_one_line(
    write_grid: Write, tmp_path: Path, number: int
) -> None:
    (tmp_path / "toy.py").write_text(
        "import pathlib, time\npathlib.Path('ledger').touch()\ntime.sleep(600)\ndef train(**params): ...\n"
    )
    sweep = spawn(tmp_path, "sweep", write_grid(), stderr=subprocess.PIPE)
    wait_until((tmp_path / "ledger").exists)
    time.sleep(0.1)
    sweep.send_signal(number)
    _, errors = sweep.communicate(timeout=SHORT_S)
    assert (sweep.returncode, errors) == (130, "gridrun: interrupted; nothing was changed\n")
    assert not (tmp_path / "results").exists()


def test_ctrl_c_while_gridrun_itself_is_being_imported_leaves_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import time\nopen('importing', 'w').close()\ntime.sleep(600)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "gridrun", "--help"], cwd=tmp_path, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    wait_until((tmp_path / "importing").exists)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=SHORT_S)
    assert (process.returncode, errors) == (-signal.SIGINT, b"")


def test_under_nohup_a_closed_terminal_does_not_end_the_sweep(write_grid: Write, tmp_path: Path) -> None:
    command = ["nohup", GRIDRUN, "sweep", write_grid(nap=0.05)]
    sweep = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_until((tmp_path / "ledger").exists)
    sweep.send_signal(signal.SIGHUP)
    assert sweep.wait(timeout=60) == 0
    assert len([line for line in ledger(tmp_path) if line[0] == "end"]) == 6


def test_a_terminal_that_is_closed_fails_no_cell_that_prints(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    grid = write_grid(a="[1, 3, 4, 5, 6, 7]", nap=0.1)
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        os.execv(GRIDRUN, [GRIDRUN, "sweep", grid])
    while not ledger(tmp_path):  # read, or the terminal would be full
        os.read(terminal, 1000)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130
    wait_until_alone(tmp_path)
    with Store.read(tmp_path / "results" / "toy") as store:
        assert list(store.failures()) == []
        assert 0 < len(store.progress()) < 12
    assert len([line for line in ledger(tmp_path) if line[0] == "end"]) == len(ledger(tmp_path)) / 2
    assert run("sweep", grid).returncode == 0


@pytest.mark.parametrize("where", [">/dev/full", "2>/dev/full", ">&- 2>&- <&-", "| true", "2>&1 | true"])
@pytest.mark.parametrize("backend", ["loky", "sequential"])
def test_nothing_that_happens_to_its_output_ends_a_sweep(
    run: Run, write_grid: Write, tmp_path: Path, where: str, backend: str
) -> None:
    if "full" in where and not Path("/dev/full").exists():
        where = where.replace("/dev/full", "/dev/null")
    script = f"{GRIDRUN} sweep {write_grid(nap=0.01)} --backend {backend} {where}; exit ${{PIPESTATUS[0]}}"
    assert subprocess.run(["bash", "-c", script], cwd=tmp_path, timeout=60).returncode == 0
    assert json.loads(run("status", "--json").stdout)["completed"] == 12


@pytest.mark.parametrize("words", [["status"], ["report"]], ids=" ".join)
def test_results_that_cannot_be_printed_are_one_line_and_a_gone_reader_none(
    run: Run, write_grid: Write, tmp_path: Path, words: list[str]
) -> None:
    run("sweep", write_grid())
    command = f"{GRIDRUN} {' '.join(words)}"
    script = f"{command} | true; exit ${{PIPESTATUS[0]}}"
    piped = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert piped.returncode in (0, 1)
    assert piped.stderr == ""
    if Path("/dev/full").exists():
        full = subprocess.run(
            ["bash", "-c", f"{command} > /dev/full"], cwd=tmp_path, capture_output=True, text=True
        )
        assert full.returncode == 3
        assert full.stderr == "gridrun: the output: No space left on device\n"


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """The end to write to of a pipe that is full, and that nobody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("which", ["stdout", "stderr", "both"])
def test_a_pipe_that_nobody_reads_holds_no_sweep_up_and_no_signal(
    write_grid: Callable[..., str], tmp_path: Path, full_pipe: int, which: str
) -> None:
    streams = {name: full_pipe for name in ("stdout", "stderr") if which in (name, "both")}
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **streams}
    grid = write_grid(a="[1, 2]", b="[1.0]", mode=["ok", "raise"])
    words = [GRIDRUN, "sweep", grid, "--out", "whole"]
    assert subprocess.run(words, cwd=tmp_path, timeout=60, **streams).returncode == 1  # type: ignore[call-overload]
    (tmp_path / "ledger").unlink()
    grid = write_grid(a=str(list(range(100))), nap=0.05)
    sweep = subprocess.Popen([GRIDRUN, "sweep", grid, "--out", "cut"], cwd=tmp_path, **streams)  # type: ignore[call-overload]
    wait_until(lambda: len(ledger(tmp_path)) >= 4)
    sweep.terminate()
    assert sweep.wait(timeout=30) == 130
    wait_until_alone(tmp_path)
