"""What every backend promises, tried on each of them: the same bytes, the same words, the same way to go on.

What only one of them has is in test_loky.py, test_dask.py and test_ray.py.
"""

import csv
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from gridrun import backends
from gridrun.report.csv import write_cells
from gridrun.results.aggregate import aggregate
from gridrun.signals import ECHO_S
from gridrun.store import Store
from tests.acceptance.backends import (
    BACKENDS,
    CLUSTERS,
    ENDING_CELLS,
    OWN_CLUSTERS,
    Backend,
    Place,
    end,
    left,
    running,
    running_on,
    start,
)
from tests.acceptance.conftest import HERE, Begin, Run
from tests.acceptance.test_hostile import call
from tests.acceptance.test_kills import SHORT_S, ledger, reported, wait_until, wait_until_alone

Write = Callable[..., str]

# What a cell may do, and how its failure is told.
RAISED = {
    "raise": "ValueError: bad luck in two lines",
    "sysexit": "SystemExit: 4",
    "cancelled": "CancelledError",
    "interrupt": "KeyboardInterrupt",
    "mute": "Mute: (no text: its __str__ raised RuntimeError)",
    "surrogate": "ValueError: no such file: \\udcff",
    "forked": "ValueError: the child came back as well",
}
DIED = {
    "kill": "its worker died 2 times, last by SIGKILL",
    "segv": "its worker died 2 times, last by SIGSEGV",
    "usr1": "its worker died 2 times, last by SIGUSR1",
    "realtime": "its worker died 2 times, last by signal 40",
    "exit": "its worker died 2 times, last by exit code 3",
}
HANG = dict.fromkeys(["hang", "hang-native", "subprocess"], "timed out after 2 s")
# Only a cluster has somebody between the sweep and the cell's process who can be lost.
LOST = {"kill-host": "its worker died 2 times, last by the loss of its "}
# Of these there is no stack.
SUDDEN = {"kill", "usr1", "realtime", "exit", "kill-host"}

# A library's own words, which a user is spared.
FOREIGN = re.compile(r"distributed|tornado|asyncio|raylet|Traceback|Warning")


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One backend, up for all tests that leave it whole."""
    backend: Backend = request.param
    with start(backend, tmp_path_factory.mktemp("cluster")) as place:
        yield place


def on(backends: Iterable[Backend]) -> pytest.MarkDecorator:
    """Run a test on each of these that is installed."""

    def missing(backend: Backend) -> pytest.MarkDecorator:
        return pytest.mark.skipif(not backend.installed, reason=f"{backend.name} is not installed")

    rows = [pytest.param(backend, id=str(backend), marks=missing(backend)) for backend in backends]
    return pytest.mark.parametrize("place", rows, indirect=True)


def cells_csv(directory: Path) -> bytes:
    """As `gridrun report` writes it, but without the report's pictures: they take seconds."""
    with Store.read(directory) as store:
        write_cells(aggregate(store), directory / "cells.csv")
    return (directory / "cells.csv").read_bytes()


def rows_of(directory: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(cells_csv(directory).decode().splitlines()))


def clean_csv(run: Run, folder: Path, grid: str) -> bytes:
    """The cells.csv of one run without a disturbance, and without naps."""
    result = run("sweep", grid, "--out", "clean", "--backend", "sequential", TOY_NAPS="0")
    assert result.returncode == 0, result.stderr
    return cells_csv(folder / "clean")


def lines(folder: Path, *beginning: str) -> int:
    """How many lines of the ledger begin so."""
    return sum(tuple(line[: len(beginning)]) == beginning for line in ledger(folder))


def wait_until_nobody_is_left(folder: Path) -> None:
    wait_until(lambda: not left(folder), SHORT_S)
    wait_until_alone(folder)


def test_every_backend_is_held_to_these_promises() -> None:
    assert {backend.name for backend in BACKENDS} == set(backends.BACKENDS)


@on(BACKENDS + OWN_CLUSTERS)
def test_the_same_bytes_everywhere(run: Run, write_grid: Write, tmp_path: Path, place: Place) -> None:
    grid = write_grid()
    expected = clean_csv(run, tmp_path, grid)
    for jobs in (None, *place.backend.jobs):
        out = f"jobs-{jobs}"
        result = run(
            "sweep", grid, "--out", out, *place.options, *([] if jobs is None else ["--jobs", str(jobs)])
        )
        assert result.returncode == 0, result.stderr
        workers = "1 worker" if (jobs or place.slots) == 1 else f"{jobs or place.slots} workers"
        assert result.stdout.splitlines() == [
            f"toy: 12 cells, 0 cached, 12 new, 6 trajectories, {workers}",
            f"12 completed, 0 failed; next: gridrun report {out}",
        ]
        assert not FOREIGN.search(result.stderr)
        assert cells_csv(tmp_path / out) == expected


@on(BACKENDS)
def test_a_cell_that_fails_is_told_in_the_same_words_and_the_others_finish(
    run: Run, write_grid: Write, tmp_path: Path, place: Place
) -> None:
    """All that a cell may do, in one sweep: one that behaves stands beside each that does not."""
    survived = DIED | HANG | (LOST if place.cluster else {}) if place.backend.facts.ends_cells else {}
    expected = RAISED | survived
    count = len(expected)
    grid = write_grid(
        mode=list(expected), a="[1, 2]", b="[1.0]", epochs="[1]", nap=place.backend.alone_s,
        run="timeout_s = 2\nmax_attempts = 2" if place.backend.facts.ends_cells else "",
    )  # fmt: skip
    result = run("sweep", grid, *place.options)
    assert result.returncode == 1, result.stderr
    assert f"{count} completed, {count} failed" in result.stdout
    assert "noise" not in result.stdout
    assert not FOREIGN.search(result.stderr)

    found = {}
    for row in rows_of(tmp_path / "results/toy"):
        assert row["status"] == ("failed" if row["a"] == "2" else "completed")
        if row["a"] == "2":
            _, shown, _ = call("show", row["cell"], str(tmp_path / "results/toy"))
            mode = row["mode"]
            found[mode] = next(
                (line for line in shown.splitlines() if line.startswith(expected[mode])), shown
            )
            assert ("toy.py" in shown) == (mode not in SUDDEN), shown
            assert ("in misbehave" in shown) == (mode not in SUDDEN), shown
    if place.cluster:
        assert re.fullmatch(
            LOST["kill-host"] + r"(Dask worker tcp://\S+|worker on Ray node \w+)", found["kill-host"]
        )
        found["kill-host"] = LOST["kill-host"]
    assert found == expected

    for mode in expected:  # nobody runs anything again but the pool, and it counts
        tries = 2 if mode in DIED | LOST else 1
        assert [lines(tmp_path, "start", "2", "1.0", "1", mode), mode] == [tries, mode]
        assert lines(tmp_path, "start", "1", "1.0", "1", mode) == 1
        assert lines(tmp_path, "end", "1", "1.0", "1", mode) == 1
    wait_until_nobody_is_left(tmp_path)  # what a cell has started ends with its worker

    again = run("sweep", grid, *place.options)
    assert again.returncode == 1
    assert f"{count} cached, {count} failed" in again.stdout
    states = {"total": 2 * count, "completed": count, "failed": count, "pending": 0}
    assert json.loads(run("status", "--json").stdout).items() >= states.items()


COUNT = """for epoch in $(seq "$1"); do
  [ "$epoch" -lt 3 ] || case "$2" in
    exit) echo "last words" >&2; exit 3;; kill) kill -9 $$;; hang) sleep 600;;
  esac
  echo "{\\"score\\": $epoch}"
done
"""


@on(BACKENDS)
def test_a_command_is_told_in_the_same_words_and_bytes(run: Run, tmp_path: Path, place: Place) -> None:
    """A shell script that fails in the last of three epochs; the first of them is a cell of its own."""
    reasons = {"exit": "exit status 3: last words"}
    if place.backend.facts.ends_cells:
        reasons |= {"kill": "its worker died 2 times, last by SIGKILL", "hang": "timed out after 2 s"}
    (tmp_path / "count.sh").write_text(COUNT)
    (tmp_path / "g.toml").write_text(
        '[sweep]\nname = "c"\ncommand = ["sh", "count.sh", "{epochs}", "{how}"]\nmetric = "score"\n'
        f'budget = "epochs"\n[grid]\nhow = {["well", *reasons]}\nepochs = [1, 3]\n'
        + ("[run]\ntimeout_s = 2\nmax_attempts = 2\n" if place.backend.facts.ends_cells else "")
    )
    result = run("sweep", "g.toml", *place.options)
    assert result.returncode == 1, result.stderr
    assert not FOREIGN.search(result.stderr)
    for how, reason in reasons.items():
        assert f"gridrun: failed: how {how}: {reason}; gridrun show " in result.stderr
    found = [(row["how"], row["epochs"], row["score"]) for row in rows_of(tmp_path / "results/c")]
    assert found == [
        (how, str(epochs), f"{epochs}.0" if how == "well" or (how == "exit" and epochs == 1) else "")
        for how in ["well", *reasons]
        for epochs in (1, 3)
    ]


@on(ENDING_CELLS)
def test_what_a_cell_leaves_running_neither_ends_nor_holds_up_the_sweep(
    run: Run, write_grid: Write, tmp_path: Path, place: Place
) -> None:
    """A thread that ends the process when the cell is long done, and one that never ends itself."""
    grid = write_grid(mode=["late-exit", "thread"], b="[1.0]", nap=0.1)
    result = run("sweep", grid, *place.options)
    assert result.returncode == 0, result.stderr
    wait_until_nobody_is_left(tmp_path)


@on(ENDING_CELLS)
def test_a_worker_lost_half_way_costs_only_what_it_was_at(
    run: Run, begin: Begin, write_grid: Write, tmp_path: Path, place: Place
) -> None:
    """First the process of a cell, then on a cluster the process that looks after it there."""
    grid = write_grid(mode="wait")
    sweep = begin(grid, *place.options)
    wait_until(lambda: len(running(tmp_path)) == place.slots)
    os.kill(min(running(tmp_path)), signal.SIGKILL)
    wait_until(lambda: lines(tmp_path, "start") > place.slots)
    if place.cluster is not None:
        psutil.Process(max(running(tmp_path))).parent().kill()
    (tmp_path / "go").touch()
    out, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 0, out + errors
    assert lines(tmp_path, "start") <= 6 + 2
    assert cells_csv(tmp_path / "results/toy") == clean_csv(run, tmp_path, grid)


@on(BACKENDS + OWN_CLUSTERS)
def test_a_killed_sweep_leaves_no_cell_running_and_resumes_to_the_same_bytes(
    run: Run, begin: Begin, write_grid: Write, tmp_path: Path, place: Place
) -> None:
    grid = write_grid(a="[1, 2, 3, 4, 5, 6]", epochs="[1, 2]", nap=0.1)
    sweep = begin(grid, *place.options)
    wait_until(lambda: lines(tmp_path, "end") > 3)
    os.killpg(sweep.pid, signal.SIGKILL)
    sweep.communicate()
    wait_until_nobody_is_left(tmp_path)
    result = run("sweep", grid, *place.options)
    assert result.returncode == 0, result.stderr
    assert lines(tmp_path, "start") <= 12 + 2 * place.slots  # in flight, and done but not yet saved
    assert cells_csv(tmp_path / "results/toy") == clean_csv(run, tmp_path, grid)


@on(BACKENDS)
def test_each_signal_drains_and_the_same_command_goes_on(
    run: Run, begin: Begin, write_grid: Write, tmp_path: Path, place: Place
) -> None:
    # So many that a busy machine cannot run them all between a signal and the next.
    grid = write_grid(a=str(list(range(1, 41))), epochs="[2, 3]", nap=0.05)
    for number in place.backend.signals:
        before = lines(tmp_path, "start")
        sweep = begin(grid, *place.options)
        wait_until(lambda before=before: lines(tmp_path, "start") > before)  # type: ignore[misc]
        sweep.send_signal(number)
        _, errors = sweep.communicate(timeout=60)
        assert sweep.returncode == 130, errors
        assert "the same command goes on: gridrun sweep g.toml" in errors
        assert "Traceback" not in errors
        assert lines(tmp_path, "start") == lines(tmp_path, "end") < 80
    assert run("sweep", grid, *place.options, TOY_NAPS="0.1").returncode == 0
    assert lines(tmp_path, "start") == 80
    assert cells_csv(tmp_path / "results/toy") == clean_csv(run, tmp_path, grid)


@on(BACKENDS)
def test_a_second_signal_stops_at_once_whatever_the_cells_are_doing(
    begin: Begin, write_grid: Write, tmp_path: Path, place: Place
) -> None:
    grid = write_grid(mode="hang")
    for number in place.backend.signals[:3]:  # what people send
        before = lines(tmp_path, "start", "2")
        sweep = begin(grid, *place.options)
        wait_until(lambda before=before: lines(tmp_path, "start", "2") > before)  # type: ignore[misc]
        sweep.send_signal(number)
        sweep.send_signal(number)  # a wrapper (timeout, uv run) passes on what the group got already
        assert sweep.stderr is not None
        while "finishing the cells in flight" not in sweep.stderr.readline():
            assert sweep.poll() is None
        time.sleep(ECHO_S + 0.2)
        assert sweep.poll() is None
        for _ in range(3):  # an impatient user's
            sweep.send_signal(number)
        _, errors = sweep.communicate(timeout=SHORT_S)
        assert sweep.returncode == 130
        assert "the same command goes on: gridrun sweep g.toml" in errors
        assert errors.count("gridrun: ") == 1
        assert not FOREIGN.search(errors)
        wait_until_nobody_is_left(tmp_path)
        assert ("2", "1.0") not in reported(tmp_path / "results" / "toy")


# Clusters.


@on(CLUSTERS)
def test_a_machine_may_join_late_and_its_loss_costs_only_what_it_was_at(
    run: Run, begin: Begin, write_grid: Write, tmp_path: Path, place: Place
) -> None:
    assert place.cluster is not None
    grid = write_grid(mode="wait")
    sweep = begin(grid, *place.options)
    wait_until(lambda: len(running(tmp_path)) == place.slots)
    machine = place.cluster.add_machine(slots=2)
    wait_until(
        lambda: len(running_on(machine, tmp_path)) == 2
    )  # it is given work, in a process for each slot
    end(machine)
    wait_until(lambda: len(left(tmp_path)) <= place.slots, SHORT_S)  # and so do its cells
    (tmp_path / "go").touch()
    out, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 0, out + errors
    assert lines(tmp_path, "start") == 6 + 2
    assert cells_csv(tmp_path / "results/toy") == clean_csv(run, tmp_path, grid)


@on(CLUSTERS)
def test_a_machine_without_the_train_function_is_refused(
    run: Run, write_grid: Write, tmp_path: Path, place: Place
) -> None:
    toy = tmp_path / "toy.py"
    # What is found there without a shared file system: it imports here, and nowhere else.
    toy.write_text(
        "import os, sys\nif not sys.argv[0].endswith('gridrun'): import nothing\n" + toy.read_text()
    )
    result = run("sweep", write_grid(), *place.options)
    assert result.returncode == 3
    assert "ModuleNotFoundError: No module named 'nothing'" in result.stderr


@on(CLUSTERS)
def test_a_machine_that_would_compute_something_else_is_refused_and_others_are_not(
    run: Run, write_grid: Write, tmp_path: Path, place: Place
) -> None:
    """Its scipy has another version, and its train function is another, found before grid.toml's."""
    other = tmp_path / "other"
    (other / "scipy-0.1.dist-info").mkdir(parents=True)
    (other / "scipy-0.1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: scipy\nVersion: 0.1\n")
    (other / "toy.py").write_text((HERE / "toy.py").read_text().replace("a * b /", "2 * a * b /"))
    grid = write_grid()
    cluster = place.start_cluster(tmp_path / "cluster", 1, path=f"{other}:{tmp_path}")
    code = "the code of toy differs, " if cluster.path_comes_first else ""
    difference = f"not be comparable: {code}scipy is 0.1 there and "
    try:
        alone = run("sweep", grid, *cluster.options)
        assert alone.returncode == 3, alone.stdout
        assert alone.stderr.count("\n") == 1, alone.stderr
        assert "is refused, as its results would " in alone.stderr
        assert difference in alone.stderr
        assert not ledger(tmp_path)
        cluster.add_machine()
        both = run("sweep", grid, *cluster.options)
    finally:
        cluster.close()
    assert both.returncode == 0, both.stderr
    assert difference in both.stderr
    assert lines(tmp_path, "end") == 6
    assert cells_csv(tmp_path / "results/toy") == clean_csv(run, tmp_path, grid)


@on(CLUSTERS)
def test_no_cluster_there_is_a_line_unless_nothing_is_left_to_run(
    run: Run, begin: Begin, write_grid: Write, tmp_path: Path, place: Place
) -> None:
    assert place.cluster is not None
    grid, nowhere = write_grid(), ["--backend", place.backend.name, "--scheduler", "127.0.0.1:1"]
    sweep = begin(grid, *nowhere)
    clean_csv(run, tmp_path, grid)
    finished = run("sweep", grid, "--out", "clean", *nowhere)
    assert "12 cached, 0 new, 0 trajectories, 0 workers" in finished.stdout, finished.stderr
    _, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 3
    assert errors == (
        f"gridrun: no {place.cluster.scheduler_name} answers at 127.0.0.1:1;"
        f" start one with `{place.cluster.start_command}` or mend the address\n"
    )


@on(BACKENDS)
def test_misuse_of_a_scheduler_is_one_line_and_writes_nothing(
    run: Run, write_grid: Write, tmp_path: Path, place: Place
) -> None:
    example = place.backend.facts.example
    wrong = [(["host:8786"], "write --backend dask")]
    if place.backend.cluster is not None:
        wrong = [
            (["somewhere"], f"write {example}\n"),
            (["http://host:8786"], f"write {example}\n"),
            (["host:8786", "--jobs", "-2"], "write -1 "),
        ]
    for words, told in wrong:
        result = run("sweep", write_grid(), "--backend", place.backend.name, "--scheduler", *words)
        assert result.returncode == 2
        assert told in result.stderr
        assert result.stderr.count("\n") == 1
    assert not (tmp_path / "results").exists()


@on(CLUSTERS)
def test_the_study_itself_runs_there(run: Run, tmp_path: Path, place: Place) -> None:
    (tmp_path / "study.toml").write_text(
        '[sweep]\nname = "study"\ntrain = "cnn_core:train"\nmetric = "accuracy"\nbudget = "epochs"\n'
        '[fixed]\ndataset = "digits"\ntrain_size = 60\ntest_size = 100\n'
        "[grid]\nlearning_rate = [0.01, 0.05]\nbatch_size = [10, 30]\nepochs = [1, 2]\n"
    )
    found = set()
    for name, options in (("here", ["--backend", "sequential"]), ("there", place.options)):
        result = run("sweep", "study.toml", "--out", name, *options)
        assert result.returncode == 0, result.stderr
        found.add(cells_csv(tmp_path / name))
    assert len(found) == 1
