"""How many workers can one parent feed? A simulation of its loop, with costs measured on real sweeps.

`python -m benchmarks.simulate_scaling` measures what a cell and a round trip cost the parent on this
machine, predicts real sweeps on two workers and runs them for comparison, then simulates 10 to 100,000
workers. Measured: the costs, and the sweeps on two workers. Simulated: everything else.

The model is the loop of gridrun/dispatch/pool.py: send to every idle slot, wait, collect what has
arrived, commit it in one transaction. One server, the parent, pays for each round trip and each cell; a
second one, the scheduler of a cluster, for each round trip. Cells take 0.5 to 1.5 times their mean.
"""

import math
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from pathlib import Path

from benchmarks.sweeps import ROOT, arrivals, commit_s, print_machine
from gridrun.dispatch.pool import MOST_BATCH, SHARE_S

WORKERS = (10, 100, 1_000, 10_000, 100_000)
CELL_S = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)
PREDICTED = (("nothing", 100_000, 0.0), ("nap", 8_000, 0.001), ("nap", 2_000, 0.005), ("nap", 200, 0.05))


@dataclass(frozen=True)
class Costs:
    """Seconds. `cell_s` and `trip_s` are the parent's CPU time a cell and a round trip.

    `relay_s` is a scheduler's CPU time a round trip, `delay_s` what a slot stands idle besides, `commit_s`
    a transaction. Short cells travel together until they take `batch_s`, or `share_s` times the slots.
    """

    cell_s: float
    trip_s: float
    delay_s: float
    commit_s: float
    batch_s: float
    share_s: float
    relay_s: float = 0.0


# One Dask worker of 16 slots on loopback, cells that sleep 0.6 s, 400 and 1,600 of them, and the CPU
# times of parent and scheduler (/proc/PID/stat) subtracted: 2026-11-24, the machine of benchmarks/README.md.
DASK_TRIP_S, DASK_RELAY_S, DASK_DELAY_S = 1.8e-3, 2.6e-3, 0.028


@dataclass(frozen=True)
class Faults:
    """Seconds between the deaths of one worker, and until it is back. What it was at is done again."""

    every_s: float = math.inf
    away_s: float = 60.0


def simulate(workers: int, cell_s: float, costs: Costs, faults: Faults | None = None) -> float:
    """Cells a second in the second half of a sweep that is long enough to be steady."""
    chance, faults = random.Random(0), faults or Faults()
    target_s = max(costs.batch_s, costs.share_s * workers)
    size = max(1, min(MOST_BATCH, int(target_s / max(cell_s, 1e-6))))
    rounds = max(12, 2000 // workers)
    horizon = rounds * max(size * cell_s, 0.5) + 4 * workers * costs.trip_s
    now = relay_free = 0.0
    idle, late = workers, 0
    under_way: list[tuple[float, int]] = []  # when it arrives, and how many cells: none of a worker that died
    while now < horizon:
        finished = 0
        for _ in range(2):  # work first, then the disk
            while idle:
                idle -= 1
                now += (costs.trip_s + size * costs.cell_s) / 2
                relay_free = max(now, relay_free) + costs.relay_s
                taken, dies = _duration(chance, size, cell_s), chance.expovariate(1) * faults.every_s
                arrival = (dies + faults.away_s, 0) if dies < taken else (taken + costs.delay_s, size)
                heappush(under_way, (max(now, relay_free) + arrival[0], arrival[1]))
            if finished:
                break
            now = max(now, under_way[0][0])
            while under_way and under_way[0][0] <= now:
                _, cells = heappop(under_way)
                idle, finished = idle + 1, finished + cells
                now += (costs.trip_s + cells * costs.cell_s) / 2
        now += costs.commit_s
        late += finished if now > horizon / 2 else 0
    return late / (now - horizon / 2)


def _duration(chance: random.Random, size: int, cell_s: float) -> float:
    if size > 12:  # the sum of uniform times, by the central limit
        return max(0.0, chance.gauss(size * cell_s, cell_s * math.sqrt(size / 12)))
    return sum(chance.uniform(0.5, 1.5) for _ in range(size)) * cell_s


# Runs the command line and says how much CPU time its own process took, workers excluded.
MEASURED = """
import resource, sys
from gridrun.cli import app
app(sys.argv[1:], standalone_mode=False)
spent = resource.getrusage(resource.RUSAGE_SELF)
print(spent.ru_utime + spent.ru_stime)
"""


@dataclass(frozen=True)
class Sweep:
    """A real sweep on two workers: what a cell took there, cells a second, and CPU seconds of the parent."""

    cells: int
    cell_s: float
    rate: float
    cpu_s: float


def sweep(folder: Path, train: str, cells: int, seconds: float = 0.0) -> Sweep:
    """Run a real sweep."""
    out = folder / f"{train}-{cells}-{seconds}"
    grid = out.with_suffix(".toml")
    grid.write_text(
        f'[sweep]\nname = "s"\ntrain = "benchmarks.cells:{train}"\nmetric = "score"\n'
        f"[fixed]\nseconds = {seconds}\n[grid]\na = {{ from = 1, to = {cells}, num = {cells} }}\n"
    )
    command = [
        sys.executable,
        "-c",
        MEASURED,
        "sweep",
        str(grid),
        "--out",
        str(out),
        "--jobs",
        "2",
        "--quiet",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    moments, taken_s = arrivals(out)
    rate = (len(moments) - 1) / (moments[-1] - moments[0]) if cells > 2 else math.nan
    return Sweep(cells, taken_s, rate, float(done.stdout.split()[-1]))


def measure_costs(folder: Path) -> Costs:
    """What the parent pays on this machine, from the CPU times of three sweeps."""
    idle = sweep(folder, "nap", 2, 0.001)
    many = sweep(folder, "nothing", 50_000)
    single = sweep(folder, "nap", 1000, 0.012)  # longer than half a batch: each travels alone
    cell_s = (many.cpu_s - idle.cpu_s) / many.cells
    trip_s = (single.cpu_s - idle.cpu_s) / single.cells - cell_s
    costs = Costs(cell_s, trip_s, 0.0, commit_s(folder), 0.02, SHARE_S)
    # What is left of a slot's round, once the model's own share is taken off.
    delay_s = 2 / single.rate - 2 / simulate(2, single.cell_s, costs)
    return replace(costs, delay_s=max(0.0, delay_s))


def main() -> None:
    """Measure, predict and compare, then simulate."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as name:
        folder = Path(name)
        print_machine(folder)
        local = measure_costs(folder)
        print("measured, us: " + ", ".join(f"{key} {value * 1e6:.0f}" for key, value in vars(local).items()))
        print(f"\nTwo workers, cells/s\n{'a cell takes':>14}{'predicted':>12}{'measured':>12}")
        for train, cells, seconds in PREDICTED:
            real = sweep(folder, train, cells, seconds)
            predicted = simulate(2, real.cell_s, local)
            print(f"{real.cell_s * 1e3:>11.3f} ms{predicted:>12,.0f}{real.rate:>12,.0f}")
    dask = replace(local, trip_s=DASK_TRIP_S, relay_s=DASK_RELAY_S, delay_s=DASK_DELAY_S, batch_s=0.5)
    print_table("if batches were 0.5 s whatever the number of workers", replace(dask, share_s=0.0), Faults())
    print_table(f"batches of 0.5 s, or {1e3 * SHARE_S:.0f} ms a worker", dask, Faults())
    print_table("the same; each worker dies once a day and is back after a minute", dask, Faults(86_400.0))


def print_table(title: str, costs: Costs, faults: Faults) -> None:
    """Print how busy the workers are, in per cent of their time."""
    print(f"\nSimulated, through Dask: {title}")
    print("per cent of the workers' time that is spent on cells")
    print(f"{'workers':>9}" + "".join(f"{cell_s:>9g} s" for cell_s in CELL_S))
    for workers in WORKERS:
        shares = (simulate(workers, cell_s, costs, faults) * cell_s / workers for cell_s in CELL_S)
        print(f"{workers:>9,}" + "".join(f"{100 * share:>10.0f}%" for share in shares), flush=True)


if __name__ == "__main__":
    main()
