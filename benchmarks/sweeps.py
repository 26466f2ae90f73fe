"""How fast is a sweep, and how large may a grid be? `python -m benchmarks.sweeps`; part of `make bench`.

Every figure of gridrun's is of the real program, started as a user starts it, its store on the disk that
holds this directory (not in /tmp, which may be memory). Peers run the same cell in the same run.
"""

import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from benchmarks.peers import WORKERS, peers
from gridrun.directory import FILE
from gridrun.outcome import Outcome
from gridrun.store import Store

ROOT = Path(__file__).parents[1]
GRIDRUN = str(Path(sys.executable).with_name("gridrun"))
WINDOW = 10_000
# A process starts with its parent's memory on its account: this small one stands between.
LAUNCHER = """
import os, subprocess, sys, time
began = time.perf_counter()
_, status, usage = os.wait4(subprocess.Popen(sys.argv[1:]).pid, 0)
print(time.perf_counter() - began, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""

SHORT = """
[sweep]
name = "nothing"
train = "benchmarks.cells:nothing"
metric = "score"
[grid]
a = { from = 1, to = 100, num = 100 }
b = { from = 1, to = 100, num = 100 }
c = { from = 1, to = 10, num = 10 }
"""

MILLION = """
[sweep]
name = "million"
train = "benchmarks.cells:hill"
metric = "score"
[grid]
learning_rate = { from = 1e-4, to = 1e-1, num = 100, scale = "log" }
dropout = { from = 0.0, to = 0.9, num = 100 }
weight_decay = { from = 1e-6, to = 1e-2, num = 5, scale = "log" }
momentum = [0.0, 0.5, 0.9, 0.99]
[replicate]
seed = [0, 1, 2, 3, 4]
"""


@dataclass(frozen=True)
class Finished:
    """One run of the program: wall-clock seconds, the largest memory of any process of it in MB, stdout."""

    began: datetime
    wall_s: float
    peak_mb: float
    output: str


def main() -> None:
    """Measure and print everything: about four minutes."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as folder:
        print_machine(Path(folder))
        compare_rates(Path(folder))
        climb_million(Path(folder))


def print_machine(folder: Path) -> None:
    """Say when, where and with what this is measured, and what the disk makes of a commit."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("joblib", "numpy", "pandas", "matplotlib"))
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, {platform.system()}")
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}")
    print(f"one outcome committed and synced to this disk: {commit_s(folder) * 1e6:.0f} us (median)")


def commit_s(folder: Path, repetitions: int = 200) -> float:
    """Median seconds that `Store.save` of a single outcome takes."""
    times = []
    with opened_store(folder / "commits") as store:
        for number in range(repetitions):
            outcome = Outcome(f"{number:016x}", {"a": number}, [{"score": 0.0}], None, 0.0)
            began = time.perf_counter()
            store.save([outcome])
            times.append(time.perf_counter() - began)
    return statistics.median(times)


@contextmanager
def opened_store(directory: Path) -> Iterator[Store]:
    """A new store that is ready for outcomes."""
    from gridrun.cell import Identity

    with Store.write(directory) as store:
        store.begin("", Identity("m:f", None, ((None, 1),)), {}, {})
        yield store


def compare_rates(folder: Path) -> None:
    """Cells that do nothing under gridrun, in windows, and under the peers."""
    grid = folder / "nothing.toml"
    grid.write_text(SHORT)
    run = gridrun("sweep", grid, "--out", folder / "nothing", "--jobs", WORKERS, "--quiet")
    moments, _ = arrivals(folder / "nothing")
    steady = (len(moments) - 1) / (moments[-1] - moments[0])
    starting = moments[0] - run.began.timestamp()
    ours = f"gridrun {version('gridrun')}"
    print(f"\nA cell that does nothing, {WORKERS} workers; workers started beforehand")
    print(f"{'':<36}{'kept':<14}{'cells':>8}{'cells/s':>10}")
    rows = [
        (ours, "every cell", len(moments), steady),
        *((peer.name, peer.kept, *peer.rate(folder)) for peer in peers()),
    ]
    for name, kept, cells, rate in rows:
        print(f"{name:<36}{kept:<14}{cells:>8,}{rate:>10,.0f}")
    print(
        f"gridrun, whole program: {run.wall_s:.1f} s, of which {starting:.1f} s until the first commit;"
        f" peak {run.peak_mb:.0f} MB"
    )
    windows = pairwise(moments[::WINDOW] if len(moments) % WINDOW else [*moments[::WINDOW], moments[-1]])
    print(f"by windows of {WINDOW:,}: " + " ".join(f"{WINDOW / (b - a):,.0f}" for a, b in windows))


def climb_million(folder: Path) -> None:
    """A grid of a million cells: planned, run, found finished, reported on."""
    grid, out = folder / "million.toml", folder / "million"
    grid.write_text(MILLION)
    print("\nA grid of 1,000,000 cells (5 axes, each cell a trajectory of its own)")
    print(f"{'':<42}{'s':>8}{'peak MB':>10}")
    sweep = ("sweep", grid, "--out", out, "--jobs", WORKERS, "--quiet")
    for words, command in (
        ("--dry-run, nothing run yet", (*sweep, "--dry-run")),
        ("sweep, from nothing to the end", sweep),
        ("sweep again: finds nothing to do", sweep),
        ("--dry-run, everything finished", (*sweep, "--dry-run")),
        ("status", ("status", out)),
        ("report", ("report", out)),
    ):
        run = gridrun(*command)
        print(f"{words:<42}{run.wall_s:>8.1f}{run.peak_mb:>10.0f}", flush=True)
    moments, _ = arrivals(out)
    first, last = moments[9 * WINDOW] - moments[0], moments[-1] - moments[-9 * WINDOW]
    print(f"cells/s in the first 90,000 and the last: {9 * WINDOW / first:,.0f}, {9 * WINDOW / last:,.0f}")
    size = sum(path.stat().st_size for path in out.glob("*") if path.is_file()) / 1e6
    print(f"the store: {size:.0f} MB")


def arrivals(directory: Path) -> tuple[list[float], float]:
    """When each outcome was handed to the store, seconds since the epoch, in order; a cell's mean time."""
    # The store's own interface tells of outcomes, not of the order in which they came: rows are in it.
    with sqlite3.connect(directory / FILE) as db:
        found = [text for (text,) in db.execute("SELECT finished_at FROM history ORDER BY rowid")]
        mean_s = db.execute("SELECT avg(wall_s) FROM history").fetchone()[0]
    db.close()
    return [datetime.fromisoformat(text).timestamp() for text in found], mean_s


def gridrun(*words: object) -> Finished:
    """Run the program in this checkout, and measure it."""
    began = datetime.now(UTC)
    command = [sys.executable, "-c", LAUNCHER, GRIDRUN, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"gridrun {' '.join(map(str, words))}: exit code {done.returncode}\n{done.stderr}")
    output, _, measured = done.stdout.rstrip().rpartition("\n")
    wall_s, peak = map(float, measured.split())
    # Kilobytes on Linux, bytes on macOS.
    return Finished(began, wall_s, peak / (1e6 if sys.platform == "darwin" else 1e3), output)


if __name__ == "__main__":
    main()
