"""Sweeps within the test's own process: a train function that costs nothing, and what became of it."""

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gridrun.cell import encode_params
from gridrun.execution import open_sweep
from gridrun.outcome import Outcome, Working
from gridrun.plan import Count
from gridrun.report.csv import (
    write_best,
    write_cells,
    write_effects,
    write_history,
    write_isolation,
    write_sensitivity,
)
from gridrun.report.summary import summarise
from gridrun.results.aggregate import aggregate
from gridrun.results.answer import find_answer
from gridrun.signals import Stop
from gridrun.spec import Run, Spec
from gridrun.store import Store

HERE = Path(__file__)
HEAD = '[sweep]\nname = "quick"\ntrain = "tests.acceptance.quick:train"\nmetric = "accuracy"\n'

called: list[tuple[object, ...]] = []  # by which parameters, since somebody last cleared it


def train(*, a: object = 0, b: object = 0, c: object = 0, epochs: int = 1) -> Iterator[dict[str, float]]:
    """Some cells fail at once, some later, some diverge: each always in the same way."""
    called.append((a, b, c))
    seed = sum(map(ord, encode_params({"a": a, "b": b, "c": c})))  # type: ignore[dict-item]
    for epoch in range(epochs):
        if seed % 7 == epoch + 1:
            raise ValueError(f"no luck with {a!r}")
        yield {"accuracy": math.nan if seed % 5 == epoch + 2 else seed / (epoch + 1), "loss": float(epoch)}


def escapes(*, a: object, **params: object) -> Iterator[dict[str, float]]:
    """Metrics, failures and output as strangers might have them."""
    text = str(params["c"])
    print(text)
    yield {"acc" + text: 1.0, "loss" + text: 2.0}
    if a == 1:
        raise ValueError(text)


def odd(**params: object) -> dict[str, float]:
    """Names as strangers might have them, half a character among them."""
    if params["a/b c"] == "../x":
        raise ValueError("odd")
    return {"m:/*\udc80": 1.0, "m:/*": 2.0}


EXTREMES = (0.0, -0.0, 1.0, 0.5, 5e-324, -5e-324, 2.2e-308, 1.7e308, -1.7e308, 1e308, -1e308, 1e16, 1e-16)


def extremes(*, draw: int, epochs: int = 1, **params: object) -> Iterator[dict[str, float]]:
    """Metrics at the ends of what a float can be, under names of all kinds; drawn by `draw`."""
    whole = random.Random(str(draw))
    values = whole.choices(
        [*EXTREMES, math.inf, -math.inf, math.nan, whole.gauss(0, 1)], k=whole.randint(1, 6)
    )
    names = whole.choices(["m", "x\ud800y", "\x00", "a,b\n;=1", "<b>", "\u202e", "n" * 300, ""], k=2)
    chance = random.Random(f"{draw} {sorted(params.items())!r}")
    for _ in range(epochs):
        yield {name: chance.choice(values) for name in ("metric", *names)}


class Killed(BaseException):
    """What a test raises where a process would have died."""


class Watcher:
    """Keeps what it is told; `saved` hears of each commit, and may raise."""

    def __init__(self, saved: Callable[[Sequence[Outcome]], None] = lambda _: None) -> None:
        self.add, self.said = saved, list[str]()

    def look(self, working: Sequence[Working]) -> None:
        pass

    def say(self, message: str) -> None:
        self.said.append(message)


def sweep_here(
    directory: Path, text: str, saved: Callable[[Sequence[Outcome]], None] = lambda _: None, **how: bool
) -> Count:
    """Run `text`'s sweep with the backend sequential."""
    run = Run(backend="sequential", max_failures=10**9)
    with open_sweep(Spec.parse(text, "grid.toml"), directory, run, grid_file=HERE, **how) as sweep:
        return sweep.run(Stop(), Watcher(saved))


def tables_of(directory: Path, scratch: Path) -> bytes:
    """What the CSVs of the report and summary.json would hold."""
    tables = b""
    with Store.read(directory) as store:
        result = aggregate(store)
        write_history(result, store, scratch)
        tables += scratch.read_bytes()
    for write in (write_cells, write_best, write_effects, write_isolation):
        write(result, scratch)
        tables += scratch.read_bytes()
    answer = find_answer(result)
    write_sensitivity(answer, scratch)
    summary = summarise(result, answer)
    del summary["versions"]  # of what it was run with, which may differ
    return tables + scratch.read_bytes() + json.dumps(summary).encode()
