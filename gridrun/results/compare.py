"""Two sweeps where their combinations meet: which is better where, and which differences are beyond noise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from gridrun.cell import Params, Value, encode_params, encode_value
from gridrun.comparison import LEVEL, Floats, adjust, find_ties
from gridrun.errors import InputError
from gridrun.results.aggregate import Aggregate
from gridrun.results.picks import overlap_of
from gridrun.selection import mean, merits
from gridrun.terminal import visible

Places = npt.NDArray[np.int64]
# Where a parameter is that a sweep does not say and its trainer does not tell.
NOWHERE = "-"


@dataclass(frozen=True)
class Meeting:
    """A combination of one sweep and one of the other that agree in all that both of them vary.

    params: what the two combinations have, of all that varies in either sweep. one, other: their metrics, as
    ranked; where replicates are in common, the mean of these. runs: how many both have. p: of the difference
    between these, adjusted by Holm over all meetings; NaN of fewer than two. cells: the id of either's first.
    """

    params: Params
    one: float
    other: float
    runs: int
    p: float
    cells: tuple[str, str]

    @property
    def difference(self) -> float:
        """The other's metric less the one's."""
        return self.other - self.one


@dataclass(frozen=True)
class Compared:
    """Two sweeps of one metric. on: the axes that combinations meet in.

    differ: parameters that are fixed, to other values, with both of these. replicates: the axes whose values
    say which runs are compared with each other; none where nothing can be claimed.
    """

    one: Aggregate
    other: Aggregate
    on: tuple[str, ...]
    differ: Mapping[str, tuple[Value | str, Value | str]]
    replicates: tuple[str, ...]
    meetings: tuple[Meeting, ...]

    def better(self) -> tuple[int, int, int]:
        """In how many meetings the other is better, worse, and equal."""
        signs = np.sign(self._merit_gain())
        return int((signs > 0).sum()), int((signs < 0).sum()), int((signs == 0).sum())

    def beyond_noise(self) -> tuple[int, int]:
        """In how many meetings the other is better, and worse, by more than noise."""
        gain, p = self._merit_gain(), np.array([meeting.p for meeting in self.meetings])
        sure = p <= LEVEL
        return int((sure & (gain > 0)).sum()), int((sure & (gain < 0)).sum())

    def _merit_gain(self) -> Floats:
        mode = self.one.spec.mode
        one, other = (
            merits(np.array([getattr(m, name) for m in self.meetings], dtype=float), mode)
            for name in ("one", "other")
        )
        with np.errstate(invalid="ignore"):
            return np.where(one == other, 0.0, other - one)


def compare(one: Aggregate, other: Aggregate) -> Compared:
    """Compare two sweeps. Raises: InputError if they select on other metrics, or nowhere meet."""
    _check_metrics(one, other)
    known = [_known(each) for each in (one, other)]
    varied = [{axis.name for axis in each.axes} for each in (one, other)]
    names = list(dict.fromkeys(axis.name for axis in (*one.axes, *other.axes)))
    on = tuple(
        name for name in names if all(name in v or name in k for v, k in zip(varied, known, strict=True))
    )
    differ = {
        name: (known[0].get(name, NOWHERE), known[1].get(name, NOWHERE))
        for name in dict.fromkeys([*known[0], *known[1]])
        if not any(name in v for v in varied) and _apart(known[0], known[1], name)
    }
    rows = [list(_combinations(each, own)) for each, own in zip((one, other), known, strict=True)]
    by_key: dict[str, list[int]] = {}
    for place, params in enumerate(rows[1]):
        by_key.setdefault(_key(params, on), []).append(place)
    pairs = [(a, b) for a, params in enumerate(rows[0]) for b in by_key.get(_key(params, on), [])]
    if not pairs:
        words = f"no two of their combinations agree in {', '.join(map(visible, on))}"
        raise InputError(f"{one.spec.name} and {other.spec.name} nowhere meet: {words}")
    axes, columns = _common_runs(one, other)
    runs = [
        each.by_run[each.order, each.reached_at][:, places]
        for each, places in zip((one, other), columns, strict=True)
    ]
    overlap = max(overlap_of(one), overlap_of(other))
    p = adjust(np.array([_p(runs[0][a], runs[1][b], overlap) for a, b in pairs]), len(pairs))
    ranked = [each.best[each.names.metric].to_numpy(float) for each in (one, other)]
    ids = [each.best[each.names.cell].tolist() for each in (one, other)]
    meetings = []
    for (a, b), adjusted in zip(pairs, p, strict=True):
        params = {name: value for name, value in {**rows[0][a], **rows[1][b]}.items() if name in names}
        there = np.isfinite(runs[0][a]) & np.isfinite(runs[1][b])
        both = ranked[0][a], ranked[1][b]
        if axes and there.any():
            both = mean(runs[0][a][there].tolist()), mean(runs[1][b][there].tolist())
        runs_in_both, cells = int(there.sum()), (ids[0][a], ids[1][b])
        meetings.append(Meeting(params, float(both[0]), float(both[1]), runs_in_both, float(adjusted), cells))
    return Compared(one, other, on, differ, axes, tuple(meetings))


def _check_metrics(one: Aggregate, other: Aggregate) -> None:
    for each in (one, other):
        if not len(each.best):
            raise InputError(
                f"{each.spec.name}: no completed cell has {each.spec.metric}; nothing to compare"
            )
    told = [f"{each.spec.metric} ({each.spec.mode})" for each in (one, other)]
    if told[0] != told[1]:
        raise InputError(
            f"{one.spec.name} selects on {visible(told[0])}, {other.spec.name} on {visible(told[1])};"
            " name two sweeps of one metric"
        )


def _known(result: Aggregate) -> dict[str, Value]:
    """What is the same for all of a sweep's cells."""
    return {**result.defaults, **result.spec.grid.fixed}


def _apart(one: Params, other: Params, name: str) -> bool:
    return name not in one or name not in other or encode_value(one[name]) != encode_value(other[name])


def _combinations(result: Aggregate, known: Params) -> Iterator[Params]:
    """The parameters of each ranked combination, the best first."""
    codes = {axis: result.layout.codes[axis.name] for axis in result.axes}
    for place in result.order.tolist():
        own = {axis.name: axis.values[code[place]] for axis, code in codes.items() if code[place] >= 0}
        yield {**known, **own}


def _key(params: Params, names: tuple[str, ...]) -> str:
    return encode_params({name: params[name] for name in names if name in params})


def _common_runs(one: Aggregate, other: Aggregate) -> tuple[tuple[str, ...], tuple[Places, Places]]:
    """The replicate axes of both, and which runs of either have the same values on them."""
    labels = []
    for each in (one, other):
        axes = each.spec.grid.replicates
        values = product(*(axis.values for axis in axes))
        own = [axis.name for axis in axes]
        found = (encode_params(dict(sorted(zip(own, row, strict=True)))) for row in values)
        labels.append({label: place for place, label in enumerate(found)})
    common = [label for label in labels[0] if label in labels[1]]
    names = tuple(axis.name for axis in one.spec.grid.replicates) if len(common) > 1 else ()
    first, second = (np.array([places[label] for label in common], dtype=np.int64) for places in labels)
    return names, (first, second)


def _p(one: Floats, other: Floats, overlap: float) -> float:
    if len(one) < 2:
        return float("nan")
    return float(find_ties(np.array([one, other]), 0, overlap=overlap).p[1])
