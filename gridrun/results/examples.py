"""Bits a held-out example, laid out for resampling: which examples each choice got right."""

from dataclasses import dataclass

import numpy as np

from gridrun.grid import FOLD, Axis
from gridrun.metrics import Bits
from gridrun.refit import is_nested
from gridrun.results.gather import Gathered
from gridrun.results.layout import Floats, Layout
from gridrun.selection import merits
from gridrun.spec import Spec
from gridrun.store import Store

# Of the metric that is taken where a trainer gives bits of several and [select] names none.
USUAL = "correct"
# So many of the best choices are resampled: one that lies behind them wins no sample.
MOST_CHOICES = 1000


@dataclass(frozen=True)
class Examples:
    """metric: what the bits are of. places: each choice, the best first: combination, place of its budget.

    scores: (choices, examples), of each example the share of seeds that got it right.
    """

    metric: str
    places: tuple[tuple[int, int], ...]
    scores: Floats


def gather_examples(
    store: Store, spec: Spec, layout: Layout, means: Floats, gathered: Gathered
) -> Examples | None:
    """The bits of the best choices; None where there are none, or the best choice has none.

    Shapes: means (combinations, budgets).
    """
    if is_nested(spec.grid):  # each outer fold's inner folds hold nearly the same examples
        return None
    names = store.bits_metrics()
    wanted = spec.choice.examples if isinstance(spec.choice.examples, str) else ""
    metric = wanted or (USUAL if USUAL in names else next(iter(names), "") * (len(names) == 1))
    if metric not in names:
        return None
    pairs = layout.pairs
    order = np.argsort(-merits(means[*pairs.T], spec.mode), kind="stable")
    order = order[np.isfinite(means[*pairs[order].T])][:MOST_CHOICES]
    places: list[tuple[int, int]] = []
    rows: list[Floats] = []
    for combination, budget in pairs[order].tolist():
        at, runs = layout.runs_of(combination, budget)
        epochs = gathered.epoch[at, runs].tolist()
        found = [
            store.bits_of(gathered.ids[run], epoch).get(metric)
            for run, epoch in zip(runs, epochs, strict=True)
        ]
        row = _lay_out([bits for bits in found if bits is not None], spec.grid.replicates)
        if row is not None and (not rows or len(row) == len(rows[0])):
            places.append((combination, budget))
            rows.append(row)
        elif not rows:
            return None
    return Examples(metric, tuple(places), np.array(rows)) if rows else None


def _lay_out(found: list[Bits], replicates: tuple[Axis, ...]) -> Floats | None:
    """Examples of one choice: those of its folds one after another, of its seeds the mean."""
    shape = [len(axis.values) for axis in replicates]
    if len(found) != int(np.prod(shape)):
        return None
    numbers = np.arange(len(found)).reshape(shape)
    at = next((place for place, axis in enumerate(replicates) if axis.name == FOLD), None)
    folds = [numbers.ravel()] if at is None else list(np.moveaxis(numbers, at, 0).reshape(shape[at], -1))
    parts = []
    for runs in folds:
        unpacked = [_unpack(found[run]) for run in runs.tolist()]
        if len({len(flags) for flags in unpacked}) != 1:
            return None
        parts.append(np.mean(unpacked, axis=0))
    return np.concatenate(parts)


def _unpack(bits: Bits) -> Floats:
    return np.unpackbits(np.frombuffer(bits.packed, np.uint8), count=bits.count).astype(float)
