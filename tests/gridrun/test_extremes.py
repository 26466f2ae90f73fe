"""Reports of random sweeps made of extremes: the largest and smallest numbers, hostile names, gaps."""

import io
import math
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gridrun.cell import Identity
from gridrun.outcome import Failure, Outcome
from gridrun.report import write_and_answer
from gridrun.report.sentences import tell
from gridrun.report.tables import leaderboard
from gridrun.spec import Spec
from gridrun.store import Store
from gridrun.writing import write_grid

SWEEPS = 500 if os.environ.get("GRIDRUN_SOAK") else 12

NUMBERS = [
    *(1.7e308, -1.7e308, 1.7976931348623157e308, 5e-324, -5e-324, 1e-308, 0.0, -0.0, 1e154, 1e-154),
    *(math.nan, math.inf, -math.inf, 1e17, 2**53 + 1.0, 0.1, 3.0),
]
POOLS = [
    NUMBERS,
    [1.7e308, -1.7e308],
    [1.7976931348623157e308],
    [5e-324, 0.0],
    [math.nan],
    [math.inf, -math.inf, 1.0],
    [0.1, 0.2, 0.3],
]
AXES: list[list[Any]] = [
    *([1e308, -1e308], [1e308, 1], [5e-324, 1e308], [-1.7e308, 0, 1.7e308], [0.0, 1e-320], [1e-5, 1e5]),
    *([1, 2, 3], [-(2**63), 2**63 - 1], [True, False], [[1, 0], [True, False]], [None, 1]),
    *(["a\u202e", "b"], ["x" * 300, "y"], ["\x1b[31m", "<script>"], ["", "\n"], [{"a": 1}, {"a": [2]}]),
]
METRICS = ["m", "a,b", "=1+1", "x0", "\u202e", "cell", "<b>"]
LONE = "\ud800"  # a surrogate that is no text: a metric of a trainer may be called so


def write_sweep(directory: Path, chance: random.Random) -> None:
    """A store of a sweep with whatever a trainer may have given; some of it failed, some was never run."""
    metric, budget = chance.choice(METRICS), chance.random() < 0.3
    grid = {f"x{place}": chance.choice(AXES) for place in range(chance.randint(1, 4))}
    tables: dict[str, Mapping[str, Any]] = {
        "sweep": {
            **{"name": "t", "train": "m:f", "metric": metric, "mode": chance.choice(["max", "min"])},
            **({"budget": "epochs"} if budget else {}),
        },
        "grid": {**grid, **({"epochs": [1, 3]} if budget else {})},
        "replicate": {"seed": [0, 1, 2]} if chance.random() < 0.4 else {},
    }
    spec = Spec.parse(write_grid(tables), "grid.toml")
    identity = Identity("m:f", None, ((None, spec.grid.trajectory_count),))
    names, pool = [metric, LONE, "other", "x" * 200], chance.choice(POOLS)
    outcomes = []
    for index, name in enumerate(spec.grid.trajectory_ids(identity)):
        params, fate = spec.grid.trajectory_params(index), chance.random()
        if fate < 0.1:
            continue
        if fate < 0.2:
            outcomes.append(Outcome(name, params, [], Failure("no luck \x1b", "trace"), 0.1))
            continue
        history = [
            {each: chance.choice(pool) for each in names if each == metric or chance.random() < 0.5}
            for _ in range(3 if budget else 1)
        ]
        if fate < 0.25:
            del history[-1][metric]
        seconds = [0.1 * (epoch + 1) for epoch in range(len(history))]
        outcomes.append(Outcome(name, params, history, None, chance.choice([0.0, 0.1, 1e9]), seconds))
    with Store.write(directory) as store:
        store.begin(spec.text, identity, {}, {})
        store.save(outcomes)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SWEEPS))
def test_of_whatever_a_trainer_gives_there_is_a_report(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    write_sweep(tmp_path, chance)
    result, answer, costs = write_and_answer(tmp_path)
    lines = tell(result, answer, costs)
    assert all("\n" not in line and line.isprintable() for line in lines)
    if len(result.best):
        console = Console(width=chance.choice([40, 80]), file=io.StringIO())
        console.print(leaderboard(result, 10, console.width))
    assert {"cells.csv", "summary.json", "report.html"} <= {
        path.name for path in (tmp_path / "report").iterdir()
    }
