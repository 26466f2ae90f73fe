"""Every limit of a process, from nothing to enough: one line and exit code 3, or everything is done."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.acceptance.conftest import GRIDRUN, SOAK
from tests.acceptance.test_kills import wait_until, wait_until_alone

pytestmark = pytest.mark.slow
Write = Callable[..., str]
USER = "61007"  # who runs nothing else here: processes are counted by user
# A user that processes are counted for, but who may read root's Python.
AS_USER = [
    *(
        "setpriv",
        "--reuid",
        USER,
        "--regid",
        USER,
        "--clear-groups",
        "--bounding-set=-sys_resource,-sys_admin",
    ),
    *("--inh-caps=-all,+dac_override,+dac_read_search", "--ambient-caps=-all,+dac_override,+dac_read_search"),
]
# From where the program itself can start to more than it needs; with less memory OpenBLAS ends it, in a line
# of its own and with exit code 1.
LIMITS = {
    "descriptors": (resource.RLIMIT_NOFILE, range(7, 80) if SOAK else (9, 13, 21, 34, 80)),
    "processes": (resource.RLIMIT_NPROC, range(1, 30) if SOAK else (2, 8, 10, 11, 30)),
    "memory": (
        resource.RLIMIT_AS,
        range(160_000_000, 520_000_000, 8_000_000) if SOAK else (160_000_000, 260_000_000, 300_000_000),
    ),
    "file size": (resource.RLIMIT_FSIZE, range(0, 400_000, 8_000) if SOAK else (0, 40_000, 20_000_000)),
}
TASKS = range(1, 30) if SOAK else (3, 11, 13)  # processes and threads of a container


@pytest.mark.parametrize("what", LIMITS)
def test_at_every_limit_all_is_done_or_it_is_said_in_one_line(
    write_grid: Write, tmp_path: Path, what: str
) -> None:
    if what == "processes" and (os.geteuid() != 0 or shutil.which("setpriv") is None):
        pytest.skip("needs root and setpriv")
    kind, limits = LIMITS[what]
    most = resource.getrlimit(kind)[1]
    before = AS_USER if what == "processes" else []
    grid = write_grid(a="[1, 3, 4, 5]", epochs="[1]")
    ends = {
        sweep_within(tmp_path, grid, f"resource.setrlimit({kind}, ({limit}, {most}))", before)
        for limit in limits
    }
    assert what == "memory" or ends == {0, 3}
    # And with enough the same command goes on to the end.
    assert sweep_within(tmp_path, grid, "", before, anew=False) == 0


@pytest.fixture
def container() -> Iterator[Path]:
    """A control group whose tasks can be limited; of either version."""
    for root in ("pids", "."):
        place = Path("/sys/fs/cgroup") / root / f"gridrun-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            place.mkdir()
            if (place / "pids.max").exists():
                break
            place.rmdir()
    else:
        pytest.skip("needs a control group of its own")
    yield place
    place.rmdir()


def test_in_a_container_of_few_tasks_all_is_done_or_it_is_said_in_one_line(
    write_grid: Write, tmp_path: Path, container: Path
) -> None:
    grid = write_grid(a="[1, 3, 4, 5]", epochs="[1]")
    ends = []
    for limit in (*TASKS, "max"):
        (container / "pids.max").write_text(f"{limit}\n")
        enter = f"open('{container}/cgroup.procs', 'w').write(str(os.getpid()))"
        ends.append(sweep_within(tmp_path, grid, enter))
    assert (ends[0], ends[-1]) == (3, 0)
    wait_until(lambda: not (container / "cgroup.procs").read_text())


def sweep_within(
    folder: Path, grid: str, limit: str, before: Sequence[str] = (), *, anew: bool = True
) -> int:
    """Sweep after `limit`; the exit code, if what was said is what goes with it."""
    if anew:
        shutil.rmtree(folder / "out", ignore_errors=True)
    # Set by what has no threads and is small: a limit on memory is not to hit the shell itself.
    command = f"import os, resource, sys\n{limit}\nos.execv(sys.argv[1], sys.argv[1:])"
    ended = subprocess.run(
        [*before, sys.executable, "-c", command, GRIDRUN, "sweep", grid, "--out", "out", "--quiet"],
        cwd=folder, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    code, out, err = ended.returncode, ended.stdout, ended.stderr
    if code == 3:
        assert (err.count("\n"), err[:9]) == (1, "gridrun: "), (limit, out, err)
    else:
        assert (code, err) == (0, ""), (limit, out, err)
        assert " 0 failed" in out
        assert "8 completed" in out or "8 cached" in out
    assert "Traceback" not in out, (limit, out)
    wait_until_alone(folder)
    return code


THREADED = """
import threading, time, sys
threading.Thread(target=time.sleep, args=(600,)).start()
sys.stdout.flush()
def train(*, a):
    return {"m": a}
"""


@pytest.mark.parametrize("backend", ["loky", "sequential"])
def test_a_thread_that_the_train_module_starts_holds_up_no_end(tmp_path: Path, backend: str) -> None:
    (tmp_path / "threaded.py").write_text(THREADED)
    (tmp_path / "g.toml").write_text(
        '[sweep]\nname = "t"\ntrain = "threaded:train"\nmetric = "m"\n[grid]\na = [1, 2]\n'
    )
    for words in (
        ["sweep", "g.toml", "--backend", backend],
        ["sweep", "g.toml", "--dry-run"],
        ["try", "g.toml"],
    ):
        ended = subprocess.run([GRIDRUN, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout
