"""The whole program on Ray, where it is installed: pip install 'gridrun[ray]'."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tests.acceptance.conftest import Run
from tests.acceptance.test_dask import begin, csv_of, ledger, wait_for

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")

Write = Callable[..., str]
RAY = str(Path(sys.executable).with_name("ray"))


@pytest.fixture(scope="module")
def head() -> Iterator[str]:
    """The address of a Ray cluster of one node with two CPUs, which lets in who knows its token."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("RAY_AUTH_MODE", "token")
        environment.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        started = subprocess.Popen(
            [RAY, "start", "--head", "--block", "--port=0", "--num-cpus=2", "--include-dashboard=false"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        assert started.stdout is not None
        for line in started.stdout:
            if "--address='" in line:
                yield line.partition("--address='")[2].partition("'")[0]
                break
        os.killpg(started.pid, signal.SIGKILL)
        started.communicate()


def actors() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name().startswith("ray::Host"):
                found.append(process)
    return found


def cells() -> list[psutil.Process]:
    return [child for actor in actors() for child in actor.children() if child.is_running()]


def test_the_same_bytes_on_ray_as_here(run: Run, write_grid: Write, tmp_path: Path, head: str) -> None:
    grid = write_grid()
    found = set()
    for name, options in (
        ("loky", ["--backend", "loky"]),
        ("own", ["--backend", "ray"]),
        ("cluster", ["--backend", "ray", "--scheduler", head, "--jobs", "-1"]),
    ):
        result = run("sweep", grid, "--out", name, *options)
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines() == [
            "toy: 12 cells, 0 cached, 12 new, 6 trajectories, 2 workers",
            f"12 completed, 0 failed; next: gridrun report {name}",
        ]
        found.add(csv_of(tmp_path / name))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("raise", "ValueError: bad luck in two lines"),
        ("kill", "its worker died 2 times, last by SIGKILL"),
        ("segv", "its worker died 2 times, last by SIGSEGV"),
        ("exit", "its worker died 2 times, last by exit code 3"),
        ("hang", "timed out after 2 s"),
        ("hang-native", "timed out after 2 s"),
    ],
)
def test_a_cell_that_fails_on_ray_is_recorded_and_the_others_finish(
    run: Run, write_grid: Write, tmp_path: Path, head: str, mode: str, reason: str
) -> None:
    grid = write_grid(mode=mode, run="timeout_s = 2\nmax_attempts = 2")
    result = run("sweep", grid, "--backend", "ray", "--scheduler", head, "--jobs", "-1")
    assert result.returncode == 1, result.stderr
    assert result.stdout.splitlines()[-1].startswith("8 completed, 4 failed")
    rows = csv_of(tmp_path / "results" / "toy").decode().splitlines()
    failed = [row.partition(",")[0] for row in rows if ",failed," in row]
    assert reason in run("show", failed[-1]).stdout
    assert len(ledger(tmp_path, "start 2 ")) == (4 if mode in ("kill", "segv", "exit") else 2)


def test_a_worker_lost_half_way_costs_only_what_it_was_at(
    run: Run, write_grid: Write, tmp_path: Path, head: str
) -> None:
    grid = write_grid(a="[1, 2, 3, 4, 5, 6]", epochs="[2, 3]", nap=0.1)
    started = begin(tmp_path, grid, "--out", "cut", "--backend", "ray", "--scheduler", head, "--jobs", "-1")
    wait_for(lambda: len(ledger(tmp_path, "start")) > 3)
    actors()[0].kill()
    out, errors = started.communicate(timeout=60)
    assert started.returncode == 0, out + errors
    assert len(ledger(tmp_path, "start")) <= 12 + 1
    run("sweep", grid, "--out", "whole")
    assert csv_of(tmp_path / "cut") == csv_of(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_ray_too(run: Run, write_grid: Write, tmp_path: Path, head: str, number: int) -> None:
    grid = write_grid(a="[1, 2, 3, 4, 5, 6]", epochs="[2, 3]", nap=0.1)
    options = ["--backend", "ray", "--scheduler", head, "--jobs", "-1"]
    started = begin(tmp_path, grid, *options)
    wait_for(lambda: ledger(tmp_path, "start"))
    started.send_signal(number)
    _, errors = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "the same command goes on: gridrun sweep g.toml" in errors
    assert len(ledger(tmp_path, "start")) == len(ledger(tmp_path, "end")) < 12
    assert run("sweep", grid, *options).returncode == 0
    assert len(ledger(tmp_path, "start")) == 12


def test_a_killed_sweep_leaves_no_cell_running_on_ray_and_resumes(
    run: Run, write_grid: Write, tmp_path: Path, head: str
) -> None:
    grid = write_grid(a="[1, 2, 3, 4]", epochs="[1, 2]", nap=0.2)
    options = ["--out", "cut", "--backend", "ray", "--scheduler", head, "--jobs", "-1"]
    started = begin(tmp_path, grid, *options)
    wait_for(lambda: len(ledger(tmp_path, "end")) > 3 and cells())
    running = cells()
    os.killpg(started.pid, signal.SIGKILL)
    started.communicate()
    _, alive = psutil.wait_procs(running, timeout=10)
    assert not alive
    assert run("sweep", grid, *options).returncode == 0
    assert len(ledger(tmp_path, "start")) <= 8 + 2 + 2  # in flight, and done but not yet saved
    run("sweep", grid, "--out", "whole")
    assert csv_of(tmp_path / "cut") == csv_of(tmp_path / "whole")


def test_a_node_that_would_compute_something_else_is_refused(
    run: Run, write_grid: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif any('popen_loky' in word for word in sys.orig_argv):\n"
        "    import importlib.metadata as metadata\n    found = metadata.version\n"
        "    metadata.version = lambda name: '0.1' if name == 'scipy' else found(name)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = run("sweep", write_grid(), "--backend", "ray")
    assert result.returncode == 3, result.stdout + result.stderr
    assert "scipy is 0.1 there and" in result.stderr
    assert not ledger(tmp_path, "start")


def test_no_ray_there_is_a_line(run: Run, write_grid: Write) -> None:
    result = run("sweep", write_grid(), "--backend", "ray", "--scheduler", "127.0.0.1:1")
    assert result.returncode == 3
    assert result.stderr == (
        "gridrun: no Ray cluster answers at 127.0.0.1:1;"
        " start one with `ray start --head` or mend the address\n"
    )
