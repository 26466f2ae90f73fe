"""Sweeps within the test's own process: a train function that costs nothing, and what became of it."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gridrun.aggregate import aggregate
from gridrun.cell import encode_params
from gridrun.dispatch import Stop
from gridrun.report.csv import write_best, write_cells
from gridrun.spec import Run, Spec
from gridrun.store import Outcome, Store
from gridrun.sweep import Count, run_sweep

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
    """Metrics and failures named by strangers."""
    text = str(params["c"])
    yield {"acc" + text: 1.0, "loss" + text: 2.0}
    if a == 1:
        raise ValueError(text)


class Killed(BaseException):
    """What a test raises where a process would have died."""


def sweep_here(
    directory: Path, text: str, saved: Callable[[Sequence[Outcome]], None] = lambda _: None, **how: bool
) -> Count:
    """Run `text`'s sweep with the backend sequential. `saved` hears of each commit, and may raise."""
    return run_sweep(
        Spec.parse(text, "grid.toml"), directory, Run(backend="sequential", max_failures=10**9),
        grid_file=HERE, stop=Stop(), started=lambda *_: None, saved=saved, tell=lambda _: None, **how,
    )  # fmt: skip


def tables_of(directory: Path, scratch: Path) -> bytes:
    """What the CSVs of the report would hold."""
    with Store.read(directory) as store:
        result = aggregate(store)
    write_cells(result, scratch)
    cells = scratch.read_bytes()
    write_best(result, scratch)
    return cells + scratch.read_bytes()
