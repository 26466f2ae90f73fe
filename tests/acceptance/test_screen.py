"""What a running sweep shows, and where: a block on a terminal of any width, plain lines elsewhere."""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import GRIDRUN, Run
from tests.acceptance.test_kills import ledger, spawn, wait_until

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(folder: Path, columns: int, *words: str, **environment: str) -> str:
    """What a terminal of that width gets from a command, to its end."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execve(GRIDRUN, [GRIDRUN, *words], {**os.environ, "TERM": "xterm", **environment})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    drawn = b""
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 1000):
            drawn += part
    os.waitpid(child, 0)
    os.close(terminal)
    return drawn.decode()


@pytest.mark.slow
def test_a_narrow_terminal_shows_each_worker_and_no_line_breaks(
    write_grid: Callable[..., str], tmp_path: Path
) -> None:
    grid = write_grid(a="[1, 2]", nap=0.3)
    drawn = on_terminal(tmp_path, 40, "sweep", grid, "--out", "out")
    # Between what stdout has first and last.
    block = re.split(r"[\r\n]+", ESCAPE.sub("", drawn).strip())[1:-1]
    assert max(map(len, block)) <= 40
    assert any(re.match(r"[0-9a-f]{8} +1 s \d/5 a \d, b ", line) for line in block), drawn
    assert "8/8 cells" in drawn
    assert any(line.startswith("output: gridrun show ") for line in block)


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"FORCE_COLOR": "1"}], ids=["dumb", "pipe"])
def test_where_nothing_can_be_drawn_there_are_plain_lines(
    run: Run, write_grid: Callable[..., str], tmp_path: Path, environment: dict[str, str]
) -> None:
    grid = write_grid(mode=["ok", "raise"], a="[2]")
    if "TERM" in environment:
        told = on_terminal(tmp_path, 80, "sweep", grid, "--out", "out", **environment)
    else:
        result = run("sweep", grid, "--out", "out", **environment)
        told = result.stdout + result.stderr
    assert "\x1b" not in told
    assert "gridrun: failed: mode raise, b " in told


@pytest.mark.slow
def test_status_tells_what_the_workers_of_a_running_sweep_do(
    run: Run, write_grid: Callable[..., str], tmp_path: Path
) -> None:
    sweep = spawn(tmp_path, "sweep", write_grid(a="[1]", nap=1.5), "--out", "out")
    wait_until(lambda: len(ledger(tmp_path)) > 1 and (tmp_path / "out/sweep.now").exists())
    # It is said once a second, and at first of no worker.
    wait_until(lambda: bool(json.loads(run("status", "out", "--json").stdout)["workers"]))
    state = json.loads(run("status", "out", "--json").stdout)
    told = run("status", "out").stdout
    assert sweep.wait(timeout=60) == 0
    assert [worker["epochs"] for worker in state["workers"]] == [5] * len(state["workers"])
    assert state["elapsed_s"] > 0
    assert re.search(
        r"^after \d+ s.*; what workers do:\n  [0-9a-f]{8} .* epoch \d/5  b (0.5|1.0)$", told, re.M
    )
    assert "what workers do" not in run("status", "out").stdout
