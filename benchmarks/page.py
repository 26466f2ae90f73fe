"""How long until a report's page is open: of the study, of 10,000 cells and of 100,000.

`python -m benchmarks.page` (or `benchmarks page`), two or three minutes; needs Chromium and playwright.

The page itself marks when it can be read, filtered and pinned in (`readable`), when its library is there and
all that is in sight is drawn (`ready`: the page is open), and when every picture but surfaces is (`drawn`);
surfaces wait until one is looked at. Times are from the start of the navigation, in a browser that has just
been started. Nothing listens to the browser meanwhile: one that does has V8 keep the stack of every error
that is caught, and the first within plotly takes it 0.4 s.
"""

import importlib.util
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gridrun.cell import Identity
from gridrun.outcome import Outcome
from gridrun.report import write_live_page
from gridrun.spec import Spec
from gridrun.store import Store

RUNS = 5
SETTLED_S = 5  # a page that takes longer is opened again, and waited for longer
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
STUDY = Path(__file__).parents[1] / "grid.toml"
AXES = {10_000: 4, 100_000: 5}
MARKS = ("readable", "ready", "drawn")


def main() -> None:
    """Make the three pages and open each in turns."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None or importlib.util.find_spec("playwright") is None:
        print("The page: not measured; Chromium and playwright (`pip install playwright`) are needed.")
        return
    with tempfile.TemporaryDirectory(prefix="gridrun-page-") as place:
        pages = {"the study": _study(Path(place) / "study")}
        pages |= {f"{cells:,} cells": _made(Path(place) / str(cells), cells) for cells in AXES}
        times: dict[str, list[dict[str, float]]] = {name: [] for name in pages}
        for _ in range(RUNS):
            for name, page in pages.items():
                times[name].append(open_page(browser, page))
        print(f"## Opening the page: {RUNS} runs each, median (least to most)\n")
        print(f"Load while this was measured: {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores.\n")
        print(
            "| | MB | read and filtered | open: what is in sight drawn | all drawn |\n|---|---|---|---|---|"
        )
        for name, found in times.items():
            cells = (_tell([run[mark] for run in found]) for mark in MARKS)
            print(f"| {name} | {pages[name].stat().st_size / 1e6:.2f} | {' | '.join(cells)} |")


def _tell(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def _study(directory: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "gridrun", "sweep", str(STUDY), "--out", str(directory), "--quiet"], check=True
    )
    return write_live_page(directory, 0)


def _made(directory: Path, cells: int) -> Path:
    """A page on so many completed cells, with two metrics."""
    axes = "\n".join(f"{name} = {list(range(10))}" for name in "abcde"[: AXES[cells]])
    text = f'[sweep]\nname = "made"\ntrain = "made:train"\nmetric = "score"\n[grid]\n{axes}\n'
    spec = Spec.parse(text, "grid.toml")
    grid = spec.grid
    identity = Identity(spec.trainer.name, "1", ((None, grid.trajectory_count),))
    outcomes = []
    for index, name in enumerate(grid.trajectory_ids(identity)):
        params = grid.trajectory_params(index)
        values = [float(str(value)) for value in params.values()]
        score = sum((value - 3 - i) ** 2 for i, value in enumerate(values)) / 100 + values[0] * values[1] / 50
        outcomes.append(Outcome(name, params, [{"score": -score, "loss": score}], None, 0.1, [0.1]))
    with Store.write(directory) as store:
        store.begin(text, identity, {}, {})
        store.save(outcomes)
    return write_live_page(directory, 0)


def open_page(browser: str, page: Path, wait_s: float = SETTLED_S) -> dict[str, float]:
    """Seconds until each mark of the page, in a browser of its own."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="gridrun-page-") as profile:
        options = ("--headless", "--no-sandbox", "--window-size=1280,900", "--remote-debugging-port=0")
        process = subprocess.Popen(
            [browser, *options, f"--user-data-dir={profile}", page.as_uri()],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            address = _address(process)
            time.sleep(wait_s)
            with sync_playwright() as playwright:
                tab: Any = playwright.chromium.connect_over_cdp(address).contexts[0].pages[0]
                told = tab.evaluate(
                    "performance.getEntriesByType('mark').map(mark => [mark.name, mark.startTime])"
                )
        finally:
            process.terminate()
            process.wait()
    found = {name: milliseconds / 1000 for name, milliseconds in told}
    if set(found) >= set(MARKS):
        return found
    if wait_s > 60:
        sys.exit(f"{page}: not open after {wait_s:.0f} s")
    return open_page(browser, page, 2 * wait_s)


def _address(process: subprocess.Popen[str]) -> str:
    """Where the browser listens, which it says on stderr."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"listening on ws://([^/\s]+)", line):
            return f"http://{found[1]}"
    sys.exit("Chromium ended before the page was opened")


if __name__ == "__main__":
    main()
