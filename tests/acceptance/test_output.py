"""What cells print: kept, shown, followed; it takes little space and reaches no screen."""

# ruff: noqa: F811 - `place` is a fixture

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from gridrun.directory import RUNNING
from gridrun.output import PART, RAW
from gridrun.spec import Spec
from gridrun.store import Store
from tests.acceptance.backends import BACKENDS, ENDING_CELLS, Place
from tests.acceptance.conftest import GRIDRUN, Begin, Run
from tests.acceptance.test_backends import on, place  # noqa: F401
from tests.acceptance.test_kills import wait_until

TALKER = Path(__file__).with_name("talker.py")


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A grid of talkers; `write` makes it."""
    (tmp_path / "talker.py").write_text(TALKER.read_text())
    return tmp_path / "t.toml"


def write(path: Path, how: list[str], n: int = 1, run: str = "jobs = 1") -> str:
    path.write_text(
        '[sweep]\nname = "talk"\ntrain = "talker:train"\nmetric = "score"\n'
        f'[fixed]\nfolder = "{path.parent}"\n'
        f"[grid]\nhow = {json.dumps(how)}\nn = {list(range(n))}\n[run]\n{run}\n"
    )
    return path.name


def printed(folder: Path) -> dict[str, str]:
    """What the cells of a sweep have printed, by how they did."""
    with Store.read(folder / "results/talk") as store:
        grid = Spec.parse(store.grid_text(), "").grid
        found = {}
        for index, name in enumerate(grid.trajectory_ids(store.identity())):
            output = store.output_of(name)
            params = grid.trajectory_params(index)
            found[f"{params['how']} {params['n']}"] = "" if output is None else output.text
    return found


WAYS = {
    "python": "out\nerr\n",
    "no newline": "half a line",
    "descriptors": "one\ntwo\n",
    "program": "from a program\nand its stderr\n",
    "native": "from printf 7\n",
    "logging": "WARNING:root:careful\n",
    "replaced": "before\n",
    "closed": "before\n",
    "redirected": "before\n",
    "not utf-8": "\N{REPLACEMENT CHARACTER}\n",
    "silent": "",
    "raises": "before it raised\n",
}


@on(BACKENDS)
def test_whatever_a_cell_prints_is_kept_by_whichever_means_it_does(
    run: Run, talk: Path, tmp_path: Path, place: Place
) -> None:
    """Each twice, and in batches: nobody gets what is another's."""
    grid = write(talk, [*WAYS, "faulthandler"], n=2)
    result = run("sweep", grid, *place.options)
    assert "24 completed, 2 failed" in result.stdout
    assert "before it raised" not in result.stdout + result.stderr
    found = printed(tmp_path)
    for number in range(2):
        assert 'talker.py", line' in found.pop(f"faulthandler {number}")
    assert found == {f"{how} {number}": text for how, text in WAYS.items() for number in range(2)}
    shown = run("show", "how=python,n=1").stdout
    assert "\noutput (8 bytes):\nout\nerr\n" in shown


@on(ENDING_CELLS)
def test_what_a_cell_said_before_its_worker_died_is_kept_of_the_last_attempt(
    run: Run, talk: Path, tmp_path: Path, place: Place
) -> None:
    grid = write(talk, ["dies", "crashes", "hangs"], run="timeout_s = 2\nmax_attempts = 2")
    result = run("sweep", grid, *place.options)
    assert "0 completed, 3 failed" in result.stdout, result.stderr
    assert printed(tmp_path) == {
        "dies 0": "attempt 2\nprintf\n",
        "crashes 0": "attempt 2\nprintf\n",
        "hangs 0": "attempt 1\n",
    }
    assert "timed out after 2 s" in run("show", "how=hangs").stdout


@on(BACKENDS)
def test_a_long_cell_is_followed_from_its_first_line_to_its_last(
    run: Run, begin: Begin, talk: Path, tmp_path: Path, place: Place
) -> None:
    """Where cells run in the sweep's own process its reader gets all of it when it has ended."""
    sweep = begin(write(talk, ["long"]), *place.options)
    wait_until((tmp_path / "began").exists)
    own = not place.backend.facts.ends_cells
    if not own:
        wait_until((tmp_path / "results/talk" / RUNNING).exists)
    reader = subprocess.Popen(
        [GRIDRUN, "show", "how=long", "--follow"], cwd=tmp_path, text=True, stdout=subprocess.PIPE
    )
    assert reader.stdout is not None
    if not own:
        assert reader.stdout.readline() == "line 0\n"
        assert "pending" in (shown := run("show", "how=long").stdout)
        assert "\noutput so far (" in shown
    (tmp_path / "go").touch()
    out, _ = reader.communicate(timeout=60)
    rest = "".join(f"line {k}\n" for k in range(1, 6)) + "bye\n"
    assert out == rest if not own else f"\nline 0\n{rest}\n" in out
    assert reader.returncode == 0
    assert sweep.wait(timeout=60) == 0
    again = run("show", "how=long", "--follow")
    assert "line 0\nline 1\n" in again.stdout
    assert not (tmp_path / "results/talk" / RUNNING).exists()


def test_who_waits_is_told_and_leaves_by_ctrl_c_and_nobody_waits_for_what_no_sweep_runs(
    run: Run, begin: Begin, talk: Path, tmp_path: Path
) -> None:
    grid = write(talk, ["long", "python"])
    sweep = begin(grid)
    wait_until((tmp_path / "began").exists)
    with subprocess.Popen(
        [GRIDRUN, "show", "how=python", "--follow"], cwd=tmp_path, text=True, stderr=subprocess.PIPE
    ) as waiting:
        assert waiting.stderr is not None
        assert "has not begun" in waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(timeout=20) == 130
    wait_until((tmp_path / "results/talk" / RUNNING).exists)
    os.killpg(sweep.pid, signal.SIGKILL)
    sweep.communicate()
    shown = run("show", "how=long").stdout
    assert "\noutput until it was interrupted (" in shown
    assert "\nline 0\n" in shown
    followed = run("show", "how=long", "--follow")
    assert (followed.returncode, followed.stdout) == (0, "line 0\n")
    assert "was interrupted" in followed.stderr
    refused = run("show", "how=python", "--follow")
    assert refused.returncode == 2
    assert "no sweep is running in results/talk; run `gridrun sweep` first" in refused.stderr
    several = run("show", "n=0", "--follow")
    assert (several.returncode, several.stderr.count("\n")) == (2, 1)
    (tmp_path / "go").touch()
    assert run("sweep", grid).returncode == 0
    assert not (tmp_path / "results/talk" / RUNNING).exists()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "sequential"])
def test_a_flood_fills_neither_disk_nor_memory_nor_the_store(
    begin: Begin, talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """2 GB by a program, while the cell waits for it."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    sweep = begin(write(talk, ["flood"]), "--backend", backend)
    most_disk = most_memory = 0
    while sweep.poll() is None:
        with suppress(psutil.Error):
            process = psutil.Process(sweep.pid)
            found = [process, *process.children(recursive=True)]
            most_memory = max(most_memory, sum(each.memory_info().rss for each in found))
        most_disk = max(most_disk, spool_size(found))
        time.sleep(0.02)
    assert sweep.returncode == 0
    text = printed(tmp_path)["flood 0"]
    assert re.match(r"begin\n(y\n)+\[\.\.\. [\d,]{13} bytes left out \.\.\.\]\n(y\n)+end\n$", text)
    assert len(text) <= 2 * PART + 60
    assert most_disk < 1_000_000_000
    assert most_memory < 1_500_000_000
    assert (tmp_path / "results/talk/sweep.db").stat().st_size < RAW


def spool_size(processes: list[psutil.Process]) -> int:
    """Bytes on disk of the files that these have as their stdout."""
    sizes = [0]
    for process in processes:
        with suppress(OSError):
            sizes.append(Path(f"/proc/{process.pid}/fd/1").stat().st_blocks * 512)
    return max(sizes)


@pytest.mark.parametrize("backend", ["loky", "sequential"])
@pytest.mark.parametrize("columns", [40, 80])
def test_nothing_that_cells_print_reaches_the_live_screen(
    talk: Path, tmp_path: Path, backend: str, columns: int
) -> None:
    """On a terminal every line is the sweep's own, and the bar is drawn while a cell runs."""
    grid = write(talk, ["python", "program", "descriptors", "long", "raises"], n=1)
    (tmp_path / "go").touch()
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        size = f"stty rows 20 cols {columns}; unset COLUMNS LINES; export TERM=xterm"
        script = f"{size}; exec {GRIDRUN} sweep {grid} --backend {backend}"
        os.execvp("bash", ["bash", "-c", script])
    screen = b""
    with suppress(OSError):
        while part := os.read(terminal, 10_000):
            screen += part
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    text = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", screen.decode())
    bars = re.findall(r"[\r\n]((?:\S+ )?\d/5 cells[^\r\n]*)", text)
    assert len(bars) > 3
    assert max(map(len, bars)) <= columns
    lines = {line.split("\r")[-1].strip() for line in text.replace("\r\n", "\n").split("\n")}
    lines = {line for line in lines if not line.startswith("output: gridrun show ")}
    assert not [line for line in lines if re.search(r"out|err\b|from a|line \d|half|before", line)], lines


def test_a_script_without_standard_streams_sweeps_in_its_own_process(tmp_path: Path) -> None:
    """Files that are opened must not get their numbers: cells print to these."""
    (tmp_path / "study.py").write_text(
        "import gridrun\n"
        "def train(*, a):\n    print('hello', a)\n    return float(a)\n"
        "gridrun.sweep(train, grid={'a': [1, 2]}, metric='score', out='out', backend='sequential')\n"
    )
    script = f"exec {sys.executable} study.py <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", script], cwd=tmp_path, timeout=60).returncode == 0
    with Store.read(tmp_path / "out") as store:
        outputs = [store.output_of(name) for name, _ in store.histories()]
    assert sorted(output.text for output in outputs if output is not None) == ["hello 1\n", "hello 2\n"]
