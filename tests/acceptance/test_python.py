"""`gridrun.sweep` from scripts, the interpreter and notebooks: run again, edited, interrupted, killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import gridrun
from gridrun.signals import ECHO_S
from gridrun.store import Store
from tests.acceptance.backends import DaskCluster
from tests.acceptance.conftest import Run
from tests.acceptance.test_kills import ledger, wait_until, wait_until_alone

Write = Callable[..., str]

# A function of a script's own, which notes what it does; `helper` and `SCALE` are what it refers to.
TRAIN = """
import pathlib, time

SCALE = 10
LEDGER = pathlib.Path("ledger").absolute()

def note(*words):
    with LEDGER.open("a") as file:
        print(*words, file=file)

def helper(x):
    return x * SCALE

def train(x, epochs=2, nap=0.0):
    note("start", x)
    for epoch in range(epochs):
        time.sleep(nap)
        yield {"score": helper(x) + epoch}
    note("end", x)
"""
SWEEP = """
note("main")
results = gridrun.sweep(
    train, {"x": list(range(1, 5)), "epochs": [1, 2]}, metric="score", budget="epochs", jobs=2
)
print(results)
"""
GUARDED = 'if __name__ == "__main__":' + SWEEP.replace("\n", "\n    ")
ANSWER = "Results: train, 8 of 8 cells completed; best score 41 at x 4, epochs 2 (results/train)\n"


def script(folder: Path, text: str, name: str = "study.py") -> "subprocess.Popen[str]":
    (folder / name).write_text(text)
    return python(folder, name)


def python(folder: Path, *words: str, given: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *words], cwd=folder, start_new_session=True, text=True,
        stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def answer(process: "subprocess.Popen[str]", given: str | None = None) -> tuple[str, str]:
    out, errors = process.communicate(given, timeout=120)
    assert process.returncode == 0, errors
    return out, errors


def count(folder: Path, word: str) -> int:
    return sum(line[0] == word for line in ledger(folder))


def test_a_script_with_or_without_a_guard_runs_once_and_only_an_edited_function_runs_anew(
    tmp_path: Path,
) -> None:
    study = "import gridrun\n" + TRAIN + SWEEP

    out, errors = answer(script(tmp_path, study))

    assert out == ANSWER
    assert errors.startswith("train: 8 cells, 0 cached, 8 new, 4 trajectories, 2 workers\n")
    assert (count(tmp_path, "main"), count(tmp_path, "start")) == (1, 4)
    out, errors = answer(
        script(tmp_path, "# moved by a line\nimport gridrun\n" + TRAIN + GUARDED, "other.py")
    )
    assert (out, count(tmp_path, "main"), count(tmp_path, "start")) == (ANSWER, 2, 4)
    assert errors == "train: 8 cells, 8 cached, 0 new, 0 trajectories, 0 workers\n"
    out, _ = answer(script(tmp_path, study.replace("return x * SCALE", "return x * SCALE + 1")))
    assert (out, count(tmp_path, "start")) == (ANSWER.replace("41", "42"), 8)
    out, _ = answer(script(tmp_path, study))
    assert (out, count(tmp_path, "start")) == (ANSWER, 8)  # the first is still there


def test_what_a_script_swept_is_there_for_the_command_line(tmp_path: Path, run: Run) -> None:
    answer(script(tmp_path, "import gridrun\n" + TRAIN + GUARDED))
    with Store.read(tmp_path / "results" / "train") as store:
        (tmp_path / "kept.toml").write_text(store.grid_text())

    ended = run("sweep", "kept.toml")

    assert (ended.returncode, ended.stderr) == (
        2,
        "gridrun: kept.toml: [sweep] callable 'train' is a function of a program or a notebook;"
        ' call gridrun.sweep there, or write train = "module:function"\n',
    )
    assert json.loads(run("status", "--json").stdout)["state"] == "finished"
    assert run("show", "best").returncode == 0
    assert run("report").returncode == 0


def test_the_interpreter_runs_it_without_a_file(tmp_path: Path) -> None:
    text = "import gridrun\n" + TRAIN + SWEEP

    assert answer(python(tmp_path, "-c", text))[0] == ANSWER
    # Line by line, as typed.
    typed = "import gridrun\n" + TRAIN.replace("\n\n", "\n").replace("def ", "\ndef ") + "\n" + SWEEP
    for _ in range(2):
        assert ANSWER in answer(python(tmp_path, "-q", "-i", given=subprocess.PIPE), typed)[0]
    # Python 3.11 compiles time.sleep otherwise where it has not seen the import.
    assert count(tmp_path, "start") in (4, 8)


def test_a_function_of_a_module_shares_its_cells_with_the_command_line(
    tmp_path: Path, run: Run, write_grid: Write
) -> None:
    grid = write_grid()
    study = (
        "import gridrun, toy\n"
        'grid = {"a": [1, 2, 3, 4], "b": [0.5, 1.0], "epochs": [2, 5]}\n'
        f'fixed = {{"mode": "ok", "ledger": {str(tmp_path / "ledger")!r}, "nap": 0}}\n'
        "gridrun.sweep(toy.train, grid, fixed=fixed, metric='accuracy', budget='epochs', out='both')\n"
    )
    assert run("sweep", grid, "--out", "both").returncode == 0
    assert count(tmp_path, "start") == 6

    answer(script(tmp_path, study))

    assert count(tmp_path, "start") == 8  # a = 4 alone
    assert "6 cells" not in run("sweep", grid, "--out", "both").stdout
    assert count(tmp_path, "start") == 8


LONG = """
import signal
own = signal.signal(signal.SIGINT, lambda number, frame: print("mine", flush=True))
results = gridrun.sweep(train, {"x": range(1, 31)}, fixed={"nap": 0.2}, metric="score", jobs=2)
done = (results.cells["status"] == "completed").sum()
print(results.interrupted, results.complete, len(results.cells), done)
signal.raise_signal(signal.SIGINT)
"""


def test_killed_or_interrupted_the_same_call_goes_on(tmp_path: Path, run: Run) -> None:
    study = "import gridrun\n" + TRAIN + LONG
    with script(tmp_path, study) as process:
        wait_until(lambda: count(tmp_path, "end") >= 5)
        process.kill()
    wait_until_alone(tmp_path)
    found = gridrun.load(tmp_path / "results" / "train")
    assert (found.interrupted, found.complete) == (True, False)
    kept = sum(found.cells["status"] == "completed")
    assert count(tmp_path, "start") - kept <= 2 * 2  # in flight, or not yet on disk, of two workers
    (tmp_path / "ledger").unlink()

    process = script(tmp_path, study)
    wait_until(lambda: count(tmp_path, "end") >= 3)
    os.killpg(process.pid, signal.SIGINT)

    out, errors = answer(process)
    kept += count(tmp_path, "end")
    assert kept < 30
    assert out == f"True False 30 {kept}\nmine\n"
    assert "finishing the cells in flight" in errors
    assert count(tmp_path, "start") == count(tmp_path, "end")
    assert "go on: call gridrun.sweep as before\n" in run("status").stdout
    wait_until_alone(tmp_path)
    assert answer(script(tmp_path, study))[0] == "False True 30 30\nmine\n"


@pytest.mark.parametrize("backend", ["loky", "sequential"])
def test_a_second_ctrl_c_stops_now_and_fails_no_cell(tmp_path: Path, backend: str) -> None:
    study = (
        "import gridrun\n" + TRAIN + "try:\n"
        f"    gridrun.sweep(train, {{'x': [1, 2]}}, fixed={{'nap': 300}}, metric='m', backend={backend!r})\n"
        "except KeyboardInterrupt:\n"
        "    print(gridrun.load('results/train'), flush=True)\n"
    )
    process = script(tmp_path, study)
    wait_until(lambda: count(tmp_path, "start") >= 1)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "once more stops at once" not in process.stderr.readline():
        pass
    time.sleep(ECHO_S + 0.1)

    process.send_signal(signal.SIGINT)

    out, _ = answer(process)
    assert out == "Results: train, 0 of 2 cells completed, 2 pending (results/train)\n"
    wait_until_alone(tmp_path)


def test_a_large_closure_goes_to_each_worker_once_and_leaves_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    study = (
        "import os, pathlib, gridrun, numpy as np\n"
        f"os.environ['TMPDIR'] = {str(temporary)!r}\n"
        "X = np.arange(1_000_000.0)\n"
        "def train(x): return float(X[x])\n"
        "r = gridrun.sweep(train, {'x': range(40)}, metric='m', jobs=2)\n"
        f"print(r.cells['m'].sum(), os.listdir({str(temporary)!r}))\n"
    )

    assert answer(script(tmp_path, study))[0] == "780.0 []\n"


def test_a_function_of_a_script_travels_to_a_dask_cluster_and_finds_its_cells_at_home(tmp_path: Path) -> None:
    cluster = DaskCluster(tmp_path / "cluster")
    try:
        cluster.add_machine(slots=2)
        there = f'backend="dask", scheduler="{cluster.address}"'
        study = "import gridrun\n" + TRAIN + SWEEP
        assert answer(script(tmp_path, study.replace("jobs=2", there)))[0] == ANSWER
    finally:
        cluster.close()
    assert answer(script(tmp_path, study))[0] == ANSWER
    assert count(tmp_path, "start") == 4


def test_joblib_multiprocessing_and_the_threads_of_libraries_are_as_before(tmp_path: Path) -> None:
    study = (
        "import gridrun, joblib, multiprocessing, os, threadpoolctl, numpy\n" + TRAIN + "if True:\n"
        "    before = os.getcwd(), dict(os.environ), threadpoolctl.threadpool_info()\n"
        "    for backend in 'loky', 'sequential':\n"
        "        gridrun.sweep(train, {'x': [1, 2]}, metric='score', backend=backend, out=backend)\n"
        "    print(before == (os.getcwd(), dict(os.environ), threadpoolctl.threadpool_info()))\n"
        "    print(multiprocessing.get_start_method(allow_none=True))\n"
        "    print(joblib.Parallel(2)(joblib.delayed(helper)(x) for x in (1, 2)))\n"
        "    with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(helper, [1, 2]))\n"
    )

    assert answer(script(tmp_path, study))[0] == "True\nNone\n[10, 20]\n[10, 20]\n"


def notebook(folder: Path, *cells: str) -> list[str]:
    """Run a notebook; what each of its cells prints to stdout or shows as its value."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()
    return [
        "".join(
            output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"]
            for output in cell["outputs"]
            if output["output_type"] != "stream" or output["name"] == "stdout"
        )
        for cell in book["cells"]
    ]


@pytest.mark.slow
def test_in_a_notebook_a_cell_that_is_run_again_finds_its_results_and_an_edited_one_runs(
    tmp_path: Path,
) -> None:
    edited = TRAIN.replace("SCALE = 10", "SCALE = 20")
    closure = "def make(k):\n    return lambda x: x * k\n"
    told = notebook(
        tmp_path, "import gridrun", TRAIN, SWEEP, "# again\n" + TRAIN, SWEEP, edited, SWEEP, closure,
        "gridrun.sweep(make(3), {'x': [1, 2]}, metric='m').best_params",
    )  # fmt: skip

    assert told[2] == told[4] == ANSWER
    assert told[6] == ANSWER.replace("41", "81")
    assert told[8] == "{'x': 2}"
    assert count(tmp_path, "start") == 4 + 4
    assert notebook(tmp_path, "import gridrun", TRAIN + SWEEP)[1] == ANSWER  # another kernel
    assert count(tmp_path, "start") == 4 + 4


@pytest.mark.slow
def test_the_interrupt_button_of_a_notebook_returns_what_is_there(tmp_path: Path) -> None:
    press = (
        "import os, signal, threading\n"
        "def press():\n"
        "    while LEDGER.read_text().count('end') < 3 if LEDGER.exists() else True: time.sleep(0.05)\n"
        "    os.killpg(os.getpgid(0), signal.SIGINT)\n"
        "threading.Thread(target=press).start()\n"
    )
    sweep = 'r = gridrun.sweep(train, {"x": range(1, 31)}, fixed={"nap": 0.1}, metric="score", jobs=2)\n'
    state = "(r.interrupted, len(r.cells.query('status == \"completed\"')) >= 3, r.failures.empty)"

    told = notebook(tmp_path, "import gridrun", TRAIN, press + sweep + state, sweep + "r.complete")

    assert told[2:] == ["(True, True, True)", "True"]
    assert count(tmp_path, "start") == 30
