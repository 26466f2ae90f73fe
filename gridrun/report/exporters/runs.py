"""Trajectories one by one, for tools that keep a run and its curve."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gridrun.cell import Params, Value, encode_value
from gridrun.outcome import Failure, Metrics, Timing
from gridrun.results.aggregate import Aggregate
from gridrun.store import Store

# Of a name made from parameters: what a file system and a list of runs take.
MOST_NAME = 120


@dataclass(frozen=True)
class Run:
    """A trajectory with an outcome: what it was called with, its epochs, why it failed, when it ran.

    `name` is made of the parameters that vary, and no two are alike. `is_whole` is whether it has all epochs
    that cells ask for, or ended by itself before. `seconds` are those to the end of each epoch.
    """

    trajectory: str
    name: str
    params: Params
    history: Sequence[Metrics]
    failure: Failure | None
    is_whole: bool
    began: datetime
    seconds: Sequence[float]


def runs(result: Aggregate, store: Store) -> Iterator[Run]:
    """Yield those of the grid in its order, as far as there are any."""
    grid, seen = result.spec.grid, set[str]()
    varying = [axis.name for axis in grid.trajectory_axes if len(axis.values) > 1]
    longest = max(grid.budgets, default=None)
    for number, trajectory in enumerate(result.trajectories):
        history, failure = store.history_of(trajectory), store.failure_of(trajectory)
        metrics = history.metrics[:longest]
        if not metrics and failure is None:
            continue
        params = grid.trajectory_params(number)
        name = _name(params, varying)
        if not name or name in seen:
            name = f"{name}-{trajectory}".lstrip("-")
        seen.add(name)
        timing = store.timing_of(trajectory)
        whole = history.ended or len(metrics) >= (longest or 1)
        yield Run(
            trajectory,
            name,
            params,
            metrics,
            None if whole else failure,
            whole,
            began_at(timing),
            _ends(timing, len(metrics)),
        )


def began_at(timing: Timing | None) -> datetime:
    """When a trajectory began; 1970 where that was not kept."""
    try:
        assert timing is not None
        ended = datetime.fromisoformat(timing.finished_at).astimezone(UTC)
        return datetime.fromtimestamp(ended.timestamp() - timing.wall_s, UTC)
    except (AssertionError, ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _ends(timing: Timing | None, epochs: int) -> Sequence[float]:
    """Seconds to the end of each epoch; evenly spread where they were not kept."""
    if timing is None:
        return [0.0] * epochs
    if len(timing.seconds) >= epochs:
        return timing.seconds[:epochs]
    return [timing.wall_s * (k + 1) / epochs for k in range(epochs)]


def _name(params: Params, names: Sequence[str]) -> str:
    words = ",".join(f"{name}={plain(params[name])}" for name in names if name in params)
    return re.sub(r"[^\w.,=+-]", "_", words, flags=re.ASCII)[:MOST_NAME].lstrip(".")


def plain(value: Value) -> str | int | float | bool:
    """A value as tools know them: lists, tables and null as JSON."""
    return value if isinstance(value, str | int | float | bool) else encode_value(value)
