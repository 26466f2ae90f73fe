"""The process of a cell: what it may use as in plain Python, and what reaches the next cell."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import copy

import pytest

from gridrun.spec import Spec
from gridrun.store import Store
from tests.acceptance import owner
from tests.acceptance.conftest import GRIDRUN, HERE, Run
from tests.acceptance.test_kills import ledger, processes, spawn, wait_until, wait_until_alone

BACKENDS = ("loky", "dask", "sequential")
# What `max_attempts`, `timeout_s` and the like are of use to.
WORKERS = ("loky", "dask")

WriteCells = Callable[..., str]


@pytest.fixture
def write_cells(tmp_path: Path) -> WriteCells:
    copy(HERE / "owner.py", tmp_path)

    def write(
        parts: Sequence[str], n: Sequence[int] = (0,), train: str = "owner:train", **run: object
    ) -> str:
        lines = [f"{key} = {json.dumps(value)}" for key, value in {"jobs": 1, **run}.items()]
        (tmp_path / "g.toml").write_text(
            f'[sweep]\nname = "own"\ntrain = "{train}"\nmetric = "score"\n[fixed]\nfolder = "{tmp_path}"\n'
            f"[grid]\nn = {list(n)}\nwhat = {json.dumps(list(parts))}\n[run]\n" + "\n".join(lines) + "\n"
        )
        return "g.toml"

    return write


def scores(directory: Path) -> dict[str, float]:
    """The metric of each cell, by what it did."""
    with Store.read(directory) as store:
        grid = Spec.parse(store.grid_text(), "").grid
        names = list(grid.trajectory_ids(store.identity()))
        found = {name: history.metrics[-1]["score"] for name, history in store.histories()}
        params = [grid.trajectory_params(index) for index in range(len(names))]
    return {str(each["what"]): found[name] for name, each in zip(names, params, strict=True) if name in found}


def printed_by(directory: Path, line: str) -> int:
    """How many trajectories have printed this line."""
    with Store.read(directory) as store:
        found = [store.output_of(name) for name, _ in store.histories()]
    return sum(output is not None and line in output.text.splitlines() for output in found)


def reasons(directory: Path) -> list[str]:
    with Store.read(directory) as store:
        return [failure.reason for _, failure in store.failures()]


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_cell_does_with_processes_it_does_as_in_plain_python(
    run: Run, write_cells: WriteCells, tmp_path: Path, backend: str
) -> None:
    """Pools of every start method, what is terminated, nested loky; each twice in a worker."""
    result = run("sweep", write_cells(list(owner.AS_PLAIN), n=(0, 1)), "--backend", backend)
    assert result.returncode == 0, result.stderr
    script = "import json, owner; print(json.dumps({what: owner.PARTS[what]() for what in owner.AS_PLAIN}))"
    # `chosen` comes first: in plain Python a start method is chosen once.
    script = script.replace("in owner.AS_PLAIN", "in sorted(owner.AS_PLAIN, key='chosen'.__ne__)")
    plain = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert scores(tmp_path / "results/own") == json.loads(plain.stdout)
    wait_until_alone(tmp_path)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_module_may_choose_a_start_method_when_it_is_imported(
    run: Run, write_cells: WriteCells, tmp_path: Path, backend: str
) -> None:
    choice = 'multiprocessing.set_start_method("spawn")\n'
    (tmp_path / "chooser.py").write_text("import multiprocessing\nfrom owner import train\n" + choice)
    result = run(
        "sweep", write_cells(["pool", "process"], n=(0, 1), train="chooser:train"), "--backend", backend
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("backend", WORKERS)
def test_workers_leave_what_all_processes_of_a_job_are_sent_to_their_parent(
    write_cells: WriteCells, tmp_path: Path, backend: str
) -> None:
    """From their first instant on: what a scheduler or a terminal sends ends no cell."""
    grid = write_cells(["nap"], n=range(12), jobs=2, max_attempts=1)
    sweep = spawn(tmp_path, "sweep", grid, "--backend", backend)
    # Not the parent or what it has just forked, and not those who look after workers.
    others = {"gridrun sweep", "guard.py", "resource_tracker"}
    while sweep.poll() is None:
        for line in processes(tmp_path):
            number, _, command = line.partition(" ")
            if not any(word in command for word in others):
                for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(number), each)
        time.sleep(0.02)
    assert sweep.returncode == 0
    assert len([line for line in ledger(tmp_path) if line[0] == "end"]) == 12


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_cells_and_their_children_print_stops_none_of_them_and_reaches_no_terminal(
    write_cells: WriteCells, tmp_path: Path, backend: str
) -> None:
    grid = write_cells(["look"], n=range(3))
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        script = f"stty tostop; exec {GRIDRUN} sweep {grid} --backend {backend}"
        os.execvp("bash", ["bash", "-c", script])
    printed = b""
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 1000):
            printed += part
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, printed
    assert b"lives" not in printed
    assert printed_by(tmp_path / "results/own", "a child lives") == 3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("change", owner.CHANGES)
def test_what_a_cell_changes_of_its_process_does_not_reach_the_next(
    run: Run, write_cells: WriteCells, tmp_path: Path, backend: str, change: str
) -> None:
    result = run("sweep", write_cells(["look", change], n=range(4)), "--backend", backend)
    assert reasons(tmp_path / "results/own") == []
    assert "8 completed, 0 failed" in result.stdout  # the parent's own streams are as they were, too
    assert result.stdout.count("\n") == 2, result.stdout
    assert result.stderr == ""
    for line in ("stdout lives", "stderr lives", "a child lives", "here too"):
        assert printed_by(tmp_path / "results/own", line) == 4


@pytest.mark.parametrize("backend", WORKERS)
def test_a_worker_whose_memory_has_grown_is_replaced_by_one_that_the_guard_knows(
    write_cells: WriteCells, tmp_path: Path, backend: str
) -> None:
    sweep = spawn(tmp_path, "sweep", write_cells(["nap", "leak"], n=range(40)), "--backend", backend)
    wait_until(lambda: len({line[3] for line in ledger(tmp_path) if line[1] == "leak"}) >= 3)
    sweep.kill()
    sweep.wait()
    wait_until_alone(tmp_path)
    cells: dict[str, list[str]] = {}
    for _, what, _, worker in (line for line in ledger(tmp_path) if line[0] == "end"):
        cells.setdefault(worker, []).append(what)
    assert max(later.count("leak") for _, *later in cells.values()) == 1  # what the first took is the measure


@pytest.mark.parametrize("backend", WORKERS)
def test_a_worker_whose_garbage_can_be_collected_stays(
    run: Run, write_cells: WriteCells, tmp_path: Path, backend: str
) -> None:
    run("sweep", write_cells(["nap", "loop"], n=range(3)), "--backend", backend)
    assert len({line[3] for line in ledger(tmp_path)}) == 1


@pytest.mark.parametrize("backend", WORKERS)
def test_a_worker_runs_no_more_trajectories_than_it_may(
    run: Run, write_cells: WriteCells, tmp_path: Path, backend: str
) -> None:
    grid = write_cells(["handled"], n=range(20), max_tasks_per_worker=3, jobs=2)
    assert run("sweep", grid, "--backend", backend).returncode == 0
    runs = Counter(line[3] for line in ledger(tmp_path) if line[0] == "start")
    assert sum(runs.values()) == 20
    assert max(runs.values()) <= 3
    wait_until_alone(tmp_path)


def test_where_no_worker_can_be_replaced_it_is_said(run: Run, write_cells: WriteCells) -> None:
    grid = write_cells(["nap"], backend="sequential", max_tasks_per_worker=3)
    result = run("sweep", grid)
    assert result.returncode == 2
    assert "can't replace it after max_tasks_per_worker; write loky" in result.stderr


@pytest.mark.parametrize("backend", WORKERS)
@pytest.mark.parametrize("edited", ["owner.py", "beside.py", "other.py"])
def test_code_that_is_edited_while_a_sweep_runs_is_told_once(
    run: Run, write_cells: WriteCells, tmp_path: Path, backend: str, edited: str
) -> None:
    """The train function's file and what it imports; not what lies there by chance."""
    (tmp_path / "beside.py").touch()
    (tmp_path / "other.py").touch()
    with (tmp_path / "owner.py").open("a") as file:
        file.write("\n\ndef later() -> None:\n    import beside\n")
        file.write("\n\nwith (Path(__file__).parent / 'loads').open('a') as file:\n    print(file=file)\n")
        # The first worker edits, when it has imported everything.
        file.write(
            f"\nif Path('loads').read_text().count('\\n') == 3:\n    open('{edited}', 'a').write('\\n')\n"
        )
    grid = write_cells(["nap"], n=range(4), max_tasks_per_worker=1)
    result = run("sweep", grid, "--backend", backend)
    assert result.returncode == 0, result.stderr
    told = [line for line in result.stderr.splitlines() if "sources" in line]
    assert told == [
        "gridrun: the sources of owner:train have changed since the sweep began:"
        " cells run by what started since then use the new code"
    ] * (edited != "other.py")


@pytest.mark.parametrize("where", ["import", "validate", "fingerprint"])
def test_a_train_function_that_exits_when_it_is_asked_is_bad_input(
    run: Run, write_cells: WriteCells, tmp_path: Path, where: str
) -> None:
    source = "import sys\ndef train(**params): return {'score': 0.0}\ndef leaves(**params): sys.exit()\n"
    end = "leaves()" if where == "import" else f"train.{where} = leaves"
    (tmp_path / "leaver.py").write_text(source + end + "\n")
    result = run("sweep", write_cells(["nap"], train="leaver:train"))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "raised SystemExit (leaver.py:3)" in result.stderr
    assert not (tmp_path / "results").exists()


HOSTILE = """
def train(*, what, n, **rest):
    class Exits(Exception):
        def __str__(self): raise SystemExit(0)
        __repr__ = __str__
    class Interrupts(BaseException):
        def __str__(self): raise KeyboardInterrupt
        @property
        def __notes__(self): raise KeyboardInterrupt
    class Name(str):
        def __reduce__(self): raise SystemExit(0)
        __str__ = __repr__ = __reduce__
    class Number(float):
        def __reduce__(self): raise SystemExit(0)
        def __float__(self): raise KeyboardInterrupt
    if what == "text": raise Exits
    if what == "notes": raise Interrupts
    if what == "cause": raise ValueError from Exits()
    if what == "key": raise KeyError(Exits())
    if what == "number": return {"score": Number(1)}
    if what == "value": return {"score": Exits()}
    if what == "key that is no text": return {Exits(): 1.0}
    return {"score": 1.0, Name("travels"): 2.0}
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_that_a_cell_raises_or_yields_ends_more_than_the_cell(
    run: Run, write_cells: WriteCells, tmp_path: Path, backend: str
) -> None:
    (tmp_path / "hostile.py").write_text(HOSTILE)
    bad = ["text", "notes", "cause", "key", "number", "value", "key that is no text"]
    grid = write_cells([*bad, "good"], n=(0, 1), train="hostile:train", max_attempts=1)
    result = run("sweep", grid, "--backend", backend)
    assert "2 completed, 14 failed" in result.stdout, result.stderr
    assert not [reason for reason in reasons(tmp_path / "results/own") if "worker" in reason]


# The smallest are too few for two workers, the last is enough.
LIMITS = {"loky": [*range(18, 44, 4), 64], "dask": [12, 24, 30, 36, 64], "sequential": [24, 64]}


@pytest.mark.parametrize("backend", BACKENDS)
def test_with_few_descriptors_everything_is_done_or_it_is_said_in_one_line(
    write_cells: WriteCells, tmp_path: Path, backend: str
) -> None:
    grid = write_cells(["nap"], n=(0, 1), jobs=2)
    codes = []
    for limit in LIMITS[backend]:
        script = f"ulimit -n {limit}; exec {GRIDRUN} sweep {grid} --backend {backend} --out {limit}"
        result = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        codes.append(result.returncode)
        assert result.returncode in (0, 3), result.stderr
        if result.returncode == 3:
            assert result.stderr.count("\n") == 1, result.stderr
            assert "Too many open files" in result.stderr
    assert codes[-1] == 0
    wait_until_alone(tmp_path)


@pytest.mark.parametrize("backend", WORKERS)
def test_the_death_of_a_worker_is_seen_while_a_child_of_it_lives(
    run: Run, write_cells: WriteCells, tmp_path: Path, backend: str
) -> None:
    result = run("sweep", write_cells(["nap", "orphan"], max_attempts=2), "--backend", backend)
    assert "1 completed, 1 failed" in result.stdout, result.stderr
    assert reasons(tmp_path / "results/own") == ["its worker died 2 times, last by exit code 3"]
    wait_until_alone(tmp_path)


@pytest.mark.parametrize("backend", WORKERS)
@pytest.mark.parametrize("replaced", [True, False])
def test_what_a_cell_leaves_running_ends_with_its_worker(
    run: Run, write_cells: WriteCells, tmp_path: Path, backend: str, replaced: bool
) -> None:
    limit = {"max_tasks_per_worker": 1} if replaced else {}
    assert run("sweep", write_cells(["leave"], n=(0, 1), **limit), "--backend", backend).returncode == 0
    wait_until_alone(tmp_path)


SHADOWS = ("random", "queue", "tempfile", "subprocess", "own_name")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SHADOWS)
def test_a_file_beside_the_grid_may_have_the_name_of_any_module_of_python(
    run: Run, write_cells: WriteCells, tmp_path: Path, backend: str, name: str
) -> None:
    """And programs that a cell starts import from the working directory, as they do without gridrun."""
    (tmp_path / "beside.py").write_text("")
    (tmp_path / f"{name}.py").write_text(
        "import os, sys\n"
        "def train(**params):\n"
        "    python = [sys.executable, '-c', 'import beside']\n"
        "    return {'score': os.spawnv(os.P_WAIT, sys.executable, python)}\n"
    )
    result = run("sweep", write_cells(["plain"], train=f"{name}.py:train"), "--backend", backend)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert scores(tmp_path / "results/own") == {"plain": 0}
