"""`gridrun status --watch` follows a sweep to its end; `gridrun sweep` alone takes ./grid.toml."""

import contextlib
import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.conftest import GRIDRUN, Run
from tests.acceptance.test_kills import ledger, spawn, wait_until


def test_status_is_told_again_with_each_change_until_the_sweep_has_ended(
    run: Run, write_grid: Callable[..., str], tmp_path: Path
) -> None:
    write_grid(nap=0.4, name="grid.toml")
    sweep = spawn(tmp_path, "sweep", "--out", "out")
    wait_until(lambda: len(ledger(tmp_path)) > 0)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execv(GRIDRUN, [GRIDRUN, "status", "out", "--watch"])
    told = run("status", "out", "--watch", "--json")
    drawn = b""
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 1000):
            drawn += part
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, drawn
    assert sweep.wait(timeout=60) == 0
    states = [json.loads(line) for line in told.stdout.splitlines()]
    assert (told.returncode, told.stderr) == (0, "")
    assert len(states) > 1
    assert [state["state"] for state in states] == ["running"] * (len(states) - 1) + ["finished"]
    completed = [state["completed"] for state in states]
    assert completed == sorted(completed)
    assert completed[-1] == 12
    text = drawn.decode()
    assert "running since" in text
    assert (
        text.rstrip().removesuffix("\x1b[?25h").rstrip().endswith("(cell " + states[-1]["best"]["cell"] + ")")
    )
    assert "12 of 12 cells completed (100%); finished" in text
    # Once it has ended there is nothing to wait for.
    again = run("status", "out", "--watch")
    assert again.stdout == run("status", "out").stdout


def test_without_a_name_it_is_the_grid_of_this_folder(
    run: Run, write_grid: Callable[..., str], tmp_path: Path
) -> None:
    result = run("sweep")
    assert (result.returncode, result.stdout) == (2, "")
    assert (
        result.stderr
        == "gridrun: grid.toml: no such file; `gridrun init grid.toml` writes one to start from\n"
    )
    write_grid(name="grid.toml")
    assert run("sweep", "--out", "out").returncode == 0
    words = [GRIDRUN, "status", "out"]
    told = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "12 of 12 cells completed" in told.stdout
