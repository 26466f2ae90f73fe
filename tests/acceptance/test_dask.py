"""The whole program on a Dask cluster of real processes on loopback, killed, joined late and misled."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gridrun.aggregate import aggregate
from gridrun.cli import ECHO_S
from gridrun.report.csv import write_cells
from gridrun.store import Store
from tests.acceptance.conftest import GRIDRUN, HERE, Run

Write = Callable[..., str]
DASK = str(Path(sys.executable).with_name("dask"))


class Cluster:
    """A scheduler and its workers, each with a process group of its own, far from grid.toml's directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.groups: list[subprocess.Popen[bytes]] = []
        self.file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        wait_for(lambda: self.file.exists() and self.file.stat().st_size)
        self.address = json.loads(self.file.read_text())["address"]

    def _start(self, *words: str, path: str = "") -> "subprocess.Popen[bytes]":
        with (self.folder / f"log-{len(self.groups)}").open("w") as log:
            started = subprocess.Popen(
                [DASK, *words, "--scheduler-file", str(self.file), "--no-dashboard"],
                cwd=self.folder, env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
                stdout=log, stderr=log,
            )  # fmt: skip
        self.groups.append(started)
        return started

    def add_worker(self, threads: int = 1, path: str = "") -> "subprocess.Popen[bytes]":
        return self._start(
            "worker", "--nthreads", str(threads), "--local-directory", str(self.folder), path=path
        )

    def options(self) -> list[str]:
        return ["--backend", "dask", "--scheduler", self.address, "--jobs", "-1"]

    def close(self) -> None:
        for group in reversed(self.groups):
            kill(group)


def kill(group: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group.pid, signal.SIGKILL)
    group.wait()


def cells_on(group: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """The processes that run cells for a Dask worker."""
    found = []
    for process in psutil.Process(group.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("popen_loky" in word for word in process.cmdline()):
                found.append(process)
    return found


def wait_for(what: Callable[[], object], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "cluster")
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster of two workers, one thread each, for all tests that leave it whole."""
    cluster = Cluster(tmp_path_factory.mktemp("dask") / "cluster")
    cluster.add_worker()
    cluster.add_worker()
    wait_for(lambda: (cluster.folder / "log-0").read_text().count("Register worker") == 2)
    yield cluster
    cluster.close()


def begin(tmp_path: Path, grid: str, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [GRIDRUN, "sweep", grid, *options], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip


def csv_of(directory: Path) -> bytes:
    """cells.csv, without the report's pictures: they take seconds."""
    with Store.read(directory) as store:
        write_cells(aggregate(store), directory / "cells.csv")
    return (directory / "cells.csv").read_bytes()


def ledger(tmp_path: Path, beginning: str) -> list[str]:
    path = tmp_path / "ledger"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if line.startswith(beginning)]


def test_the_same_bytes_on_a_cluster_as_here(
    run: Run, write_grid: Write, tmp_path: Path, lasting: Cluster
) -> None:
    grid = write_grid()
    found = set()
    for name, options in (
        ("loky", ["--backend", "loky"]),
        ("sequential", ["--backend", "sequential"]),
        ("dask", lasting.options()),
        ("own", ["--backend", "dask"]),
    ):
        result = run("sweep", grid, "--out", name, *options)
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines()[0].startswith("toy: 12 cells, 0 cached, 12 new, 6 trajectories")
        assert "noise" not in result.stdout
        assert "distributed" not in result.stderr
        found.add(csv_of(tmp_path / name))
    assert len(found) == 1
    again = run("sweep", grid, "--out", "dask", "--backend", "dask", "--scheduler", "tcp://127.0.0.1:1")
    assert "12 cached, 0 new, 0 trajectories, 0 workers" in again.stdout  # needs no cluster


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("raise", "ValueError: bad luck in two lines"),
        ("sysexit", "SystemExit: 4"),
        ("kill", "its worker died 2 times, last by SIGKILL"),
        ("segv", "its worker died 2 times, last by SIGSEGV"),
        ("exit", "its worker died 2 times, last by exit code 3"),
        ("hang", "timed out after 2 s"),
        ("hang-native", "timed out after 2 s"),
    ],
)
def test_a_cell_that_fails_there_is_recorded_and_the_others_finish(
    run: Run, write_grid: Write, tmp_path: Path, lasting: Cluster, mode: str, reason: str
) -> None:
    grid = write_grid(mode=mode, run="timeout_s = 2\nmax_attempts = 2")
    result = run("sweep", grid, *lasting.options())
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("noise") == result.stderr.count("\n")  # and not a line of Dask's
    states = {"total": 12, "completed": 8, "failed": 4, "pending": 0}
    assert json.loads(run("status", "--json").stdout) == states
    rows = csv.DictReader(csv_of(tmp_path / "results" / "toy").decode().splitlines())
    failed = [row["cell"] for row in rows if row["status"] == "failed"]
    shown = run("show", failed[-1][:12]).stdout
    assert reason in shown
    assert ("toy.py" in shown) == (mode not in ("kill", "exit"))  # where it was
    starts = len(ledger(tmp_path, "start 2 "))
    assert starts == (4 if mode in ("kill", "segv", "exit") else 2)  # and Dask ran nothing again by itself


def test_a_machine_lost_half_way_costs_only_what_it_was_at(
    run: Run, write_grid: Write, tmp_path: Path, cluster: Cluster
) -> None:
    first = cluster.add_worker()
    cluster.add_worker()
    grid = write_grid(a="[1, 2, 3, 4, 5, 6, 7, 8]", epochs="[2, 3]", nap=0.1)
    started = begin(tmp_path, grid, "--out", "cut", *cluster.options())
    wait_for(lambda: len(ledger(tmp_path, "start")) > 4 and cells_on(first))
    cells = cells_on(first)
    kill(first)
    out, errors = started.communicate(timeout=60)
    assert started.returncode == 0, out + errors
    assert len(ledger(tmp_path, "start")) <= 17
    psutil.wait_procs(cells, timeout=10)
    assert not any(cell.is_running() for cell in cells)
    run("sweep", grid, "--out", "whole")
    assert csv_of(tmp_path / "cut") == csv_of(tmp_path / "whole")


def test_a_cell_that_takes_the_dask_worker_along_fails_and_the_others_finish(
    run: Run, write_grid: Write, tmp_path: Path, cluster: Cluster
) -> None:
    cluster.add_worker()
    toy = tmp_path / "toy.py"
    toy.write_text(toy.read_text().replace("os.kill(os.getpid(), 9)", "os.kill(os.getppid(), 9)"))
    result = run("sweep", write_grid(mode="kill", run="max_attempts = 2"), *cluster.options())
    assert result.returncode == 1, result.stderr
    rows = csv_of(tmp_path / "results" / "toy").decode().splitlines()
    failed = [row.partition(",")[0] for row in rows if ",failed," in row]
    assert len(failed) == 4
    assert "died 2 times, last by the loss of its Dask worker tcp://" in run("show", failed[0]).stdout
    assert len(ledger(tmp_path, "start 2 ")) == 4  # two cells, twice each: Dask ran nothing by itself


@pytest.mark.usefixtures("run")
def test_workers_may_come_late_and_go_and_come_again(
    write_grid: Write, tmp_path: Path, cluster: Cluster
) -> None:
    grid = write_grid(a="[1, 2, 3, 4, 5, 6, 7, 8]", epochs="[2, 3]", nap=0.1)
    started = begin(tmp_path, grid, *cluster.options())
    assert started.stderr is not None
    assert "has no workers yet; waiting for one to join" in started.stderr.readline()
    first = cluster.add_worker()
    wait_for(lambda: len(ledger(tmp_path, "start")) > 1)
    second = cluster.add_worker(threads=2)
    wait_for(lambda: len(cells_on(second)) == 2)  # it is given work, in a process for each thread
    for worker in (first, second):
        for process in psutil.Process(worker.pid).children():  # the nanny is left, and starts another
            process.kill()
    out, errors = started.communicate(timeout=60)
    assert started.returncode == 0, out + errors
    assert len(ledger(tmp_path, "start")) <= 16 + 3


def test_a_killed_sweep_leaves_no_cell_running_there_and_resumes(
    run: Run, write_grid: Write, tmp_path: Path, cluster: Cluster
) -> None:
    worker = cluster.add_worker(threads=2)
    grid = write_grid(a="[1, 2, 3, 4, 5, 6]", epochs="[1, 2]", nap=0.2)
    started = begin(tmp_path, grid, "--out", "cut", *cluster.options())
    wait_for(lambda: len(ledger(tmp_path, "end")) > 3)
    os.killpg(started.pid, signal.SIGKILL)
    started.communicate()
    wait_for(lambda: not cells_on(worker), timeout_s=10)
    result = run("sweep", grid, "--out", "cut", *cluster.options())
    assert result.returncode == 0, result.stderr
    assert len(ledger(tmp_path, "start")) <= 12 + 2 + 2  # in flight, and done but not yet saved
    run("sweep", grid, "--out", "whole")
    assert csv_of(tmp_path / "cut") == csv_of(tmp_path / "whole")


def test_a_signal_drains_a_cluster_too(run: Run, write_grid: Write, tmp_path: Path, lasting: Cluster) -> None:
    grid = write_grid(a="[1, 2, 3, 4, 5, 6, 7, 8]", epochs="[2, 3]", nap=0.1)
    started = begin(tmp_path, grid, *lasting.options())
    wait_for(lambda: ledger(tmp_path, "start"))
    started.send_signal(signal.SIGINT)
    _, errors = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "the same command goes on: gridrun sweep g.toml" in errors
    assert len(ledger(tmp_path, "start")) == len(ledger(tmp_path, "end")) < 16
    assert run("sweep", grid, *lasting.options()).returncode == 0
    assert len(ledger(tmp_path, "start")) == 16


@pytest.mark.usefixtures("run")
def test_a_second_signal_ends_what_runs_there(write_grid: Write, tmp_path: Path, lasting: Cluster) -> None:
    grid = write_grid(nap=60)
    started = begin(tmp_path, grid, *lasting.options())
    wait_for(lambda: len(ledger(tmp_path, "start")) == 2)
    cells = [cell for worker in lasting.groups[1:] for cell in cells_on(worker)]
    assert len(cells) == 2
    for _ in range(2):
        started.send_signal(signal.SIGINT)
        time.sleep(ECHO_S + 0.3)  # sooner, it would count as the same signal
    _, errors = started.communicate(timeout=20)
    assert started.returncode == 130
    assert errors.count("\n") == 3  # an empty line, one for each signal
    _, alive = psutil.wait_procs(cells, timeout=10)
    assert not alive


def test_a_scheduler_that_dies_is_told_in_a_line_and_another_goes_on(
    run: Run, write_grid: Write, tmp_path: Path, cluster: Cluster
) -> None:
    worker = cluster.add_worker()
    grid = write_grid(a="[1, 2, 3, 4, 5, 6]", nap=0.1)
    started = begin(tmp_path, grid, *cluster.options())
    wait_for(lambda: len(ledger(tmp_path, "end")) > 3)
    kill(cluster.scheduler)
    out, errors = started.communicate(timeout=60)
    assert started.returncode == 3
    told = [line for line in errors.splitlines() if "no workers yet" not in line]
    assert len(told) == 1
    assert told[0].startswith(f"gridrun: the Dask scheduler at {cluster.address} is gone")
    assert "Traceback" not in out + errors
    wait_for(lambda: not cells_on(worker), timeout_s=10)
    assert json.loads(run("status", "--json").stdout)["completed"] >= 4
    assert run("sweep", grid).returncode == 0
    assert len(ledger(tmp_path, "start")) <= 12 + 2


def other_code(tmp_path: Path) -> str:
    """A place before grid.toml's where the train function computes something else."""
    (tmp_path / "other").mkdir()
    text = (HERE / "toy.py").read_text()
    (tmp_path / "other" / "toy.py").write_text(text.replace("a * b /", "2 * a * b /"))
    return f"{tmp_path / 'other'}:{tmp_path}"


def other_version(tmp_path: Path) -> str:
    folder = tmp_path / "other" / "scipy-0.1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: scipy\nVersion: 0.1\n")
    return str(tmp_path / "other")


@pytest.mark.parametrize(
    ("other", "words"),
    [(other_code, "the code of toy differs;"), (other_version, "scipy is 0.1 there and ")],
)
def test_a_worker_that_would_compute_something_else_is_refused(
    run: Run,
    write_grid: Write,
    tmp_path: Path,
    cluster: Cluster,
    other: Callable[[Path], str],
    words: str,
) -> None:
    cluster.add_worker(path=other(tmp_path))
    grid = write_grid()
    alone = run("sweep", grid, *cluster.options())
    assert alone.returncode == 3
    told = [line for line in alone.stderr.splitlines() if "no workers yet" not in line]
    assert len(told) == 1
    assert "is refused, as its results would not be comparable" in told[0]
    assert words in told[0]
    assert not ledger(tmp_path, "start")
    worker = cluster.add_worker()
    wait_for(lambda: psutil.Process(worker.pid).children())
    both = run("sweep", grid, *cluster.options())
    assert both.returncode == 0, both.stderr
    assert words in both.stderr
    assert len(ledger(tmp_path, "end")) == 6


def test_a_worker_without_the_train_function_is_refused(
    run: Run, write_grid: Write, tmp_path: Path, lasting: Cluster
) -> None:
    grid = write_grid()
    toy = tmp_path / "toy.py"
    # What a worker without a shared file system finds: it imports here, and nowhere else.
    toy.write_text(
        "import os, sys\nif not sys.argv[0].endswith('gridrun'): import nothing\n" + toy.read_text()
    )
    result = run("sweep", grid, *lasting.options())
    assert result.returncode == 3
    assert "ModuleNotFoundError: No module named 'nothing'" in result.stderr


def test_no_scheduler_there_is_a_line(run: Run, write_grid: Write) -> None:
    result = run("sweep", write_grid(), "--backend", "dask", "--scheduler", "127.0.0.1:1")
    assert result.returncode == 3
    assert result.stderr == (
        "gridrun: no Dask scheduler answers at 127.0.0.1:1;"
        " start one with `dask scheduler` or mend the address\n"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--backend", "dask", "--scheduler", "somewhere"], "write tcp://host:8786"),
        (["--backend", "dask", "--scheduler", "http://host:8786"], "write tcp://host:8786"),
        (["--backend", "loky", "--scheduler", "tcp://host:8786"], "write --backend dask"),
        (["--backend", "dask", "--scheduler", "tcp://host:8786", "--jobs", "-2"], "write -1"),
    ],
)
def test_misuse_of_a_cluster_is_one_line_and_writes_nothing(
    run: Run, write_grid: Write, tmp_path: Path, options: list[str], words: str
) -> None:
    result = run("sweep", write_grid(), *options)
    assert result.returncode == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_the_study_itself_runs_there(run: Run, tmp_path: Path, lasting: Cluster) -> None:
    (tmp_path / "study.toml").write_text(
        '[sweep]\nname = "study"\ntrain = "cnn_core:train"\nmetric = "accuracy"\nbudget = "epochs"\n'
        '[fixed]\ndataset = "digits"\ntrain_size = 60\ntest_size = 100\n'
        "[grid]\nlearning_rate = [0.01, 0.05]\nbatch_size = [10, 30]\nepochs = [1, 2]\n"
    )
    for name, options in (("here", []), ("there", lasting.options())):
        result = run("sweep", "study.toml", "--out", name, *options)
        assert result.returncode == 0, result.stderr
    assert csv_of(tmp_path / "here") == csv_of(tmp_path / "there")
