"""Shares against statsmodels, the definition and simulation; complete subgrids against all there are."""

import csv
import itertools
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata

from gridrun import effects
from gridrun.effects import Effects, complete_subgrid, find_effects

STUDY = Path(__file__).parents[2] / "results" / "lenet-digits" / "report" / "cells.csv"
Floats = npt.NDArray[np.float64]


def shares(found: Effects | None) -> dict[tuple[int, ...], float]:
    assert found is not None
    return {effect.axes: effect.share for effect in found.effects}


def test_of_the_reference_study_the_interplay_of_learning_rate_and_batch_size_matters_most() -> None:
    with STUDY.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = ["learning_rate", "dropout_rate", "epochs", "batch_size"]
    shape = [len({row[name] for row in rows}) for name in names]
    found = find_effects(np.array([float(row["accuracy"]) for row in rows]).reshape([*shape, 1]))
    assert found is not None
    told = [(":".join(names[axis] for axis in e.axes), round(e.share, 3)) for e in found.effects[:5]]
    assert told == [
        ("learning_rate:batch_size", 0.475),
        ("learning_rate", 0.240),
        ("batch_size", 0.123),
        ("epochs", 0.044),
        ("learning_rate:dropout_rate:batch_size", 0.039),
    ]
    ranked = {e.axes: e.share_rank for e in found.effects}
    assert (round(ranked[(0, 3)], 2), round(ranked[(0,)], 2)) == (0.27, 0.31)


def anova(runs: Floats) -> pd.DataFrame:
    """Sums of squares by statsmodels, of the model with every interplay."""
    pytest.importorskip("statsmodels", reason="statsmodels comes with [dev]")
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    index = pd.MultiIndex.from_product([range(n) for n in runs.shape])
    table = pd.DataFrame(list(index), columns=[*(f"a{i}" for i in range(runs.ndim - 1)), "run"])
    table["y"] = runs.ravel()
    model = "*".join(f"C(a{i}, Sum)" for i in range(runs.ndim - 1))
    found: pd.DataFrame = anova_lm(ols(f"y ~ {model}", table).fit())
    found.index = [
        tuple(int(part[3]) for part in name.split(":")) if name != "Residual" else () for name in found.index
    ]
    return found


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (3, 2, 3, 2), (2, 3, 2, 2, 2), (2, 2, 2, 3, 2, 2)])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.filterwarnings("ignore:divide by zero|invalid value")  # of one run nothing is left for F
def test_shares_are_those_of_an_analysis_of_variance(shape: tuple[int, ...], count: int) -> None:
    runs = np.random.default_rng(len(shape)).normal(size=(*shape, count)) ** 3 + np.arange(shape[0]).reshape(
        -1, *[1] * len(shape)
    )
    table, found = anova(runs), find_effects(runs)
    assert found is not None
    cells = math.prod(shape)
    total = count * cells * runs.mean(axis=-1).var()
    error = table.loc[[()], "mean_sq"].iloc[0] if count > 1 else 0.0
    for axes, share in shares(found).items():
        row = table.loc[[axes]].iloc[0]
        # As omega squared does, the mean square of error is taken off for each degree of freedom.
        assert share == pytest.approx((row["sum_sq"] - row["df"] * error) / total, abs=1e-9)
    assert len(found.effects) == 2 ** len(shape) - 1
    if count > 1:
        assert found.noise == pytest.approx((cells - 1) * error / total)
    else:
        assert found.noise is None


@settings(deadline=None, max_examples=50)
@example(np.array([[-0.5, 1.0], [0.0, 0.0]]))
@example(np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 0.25]]))  # mean ranks that are alike but for rounding
@given(
    arrays(
        float,
        st.lists(st.integers(1, 4), min_size=2, max_size=5).map(tuple),
        elements=st.floats(-1e300, 1e300, allow_subnormal=False),
    ).filter(lambda y: np.ptp(y.mean(axis=-1) / max(1.0, np.abs(y).max())) > 1e-6)
)
def test_shares_noise_and_rest_sum_to_one_and_follow_the_definition(runs: Floats) -> None:
    found = find_effects(runs)
    assert found is not None
    assert sum(e.share for e in found.effects) + (found.noise or 0) + found.rest == pytest.approx(1)
    ranks = sum(e.share_rank for e in found.effects) + (found.noise_rank or 0)
    assert math.isnan(ranks) or ranks == pytest.approx(1)
    if runs.shape[-1] > 1:
        return
    for values, share in ((runs, "share"), (rankdata(runs).reshape(runs.shape), "share_rank")):
        y = values[..., 0] / np.abs(values).max()
        for effect in found.effects:
            f = sum(
                (-1) ** (len(effect.axes) - len(s))
                * y.mean(axis=tuple(a for a in range(y.ndim) if a not in s), keepdims=True)
                for k in range(len(effect.axes) + 1)
                for s in itertools.combinations(effect.axes, k)
            )
            assert getattr(effect, share) == pytest.approx(np.mean(f**2) / y.var(), abs=1e-6)


def test_where_all_is_noise_the_axes_have_no_share_on_average() -> None:
    chance = np.random.default_rng(0)
    found = [find_effects(chance.normal(size=(4, 3, 5))) for _ in range(400)]
    mean = np.mean([list(dict(sorted(shares(f).items())).values()) for f in found], axis=0)
    error = np.std([list(dict(sorted(shares(f).items())).values()) for f in found], axis=0) / 20
    # Each 0 but for chance and for the ratio's own bias: noise over a variance that it makes itself.
    assert (np.abs(mean) < 4 * error + 0.15).all()
    assert np.mean([f.noise for f in found if f is not None and f.noise is not None]) > 0.8


def test_of_many_axes_interplays_of_up_to_three_are_told_and_the_rest_as_one() -> None:
    y = np.random.default_rng(0).normal(size=[2] * (effects.MOST_AXES + 1) + [1])
    found = find_effects(y)
    assert found is not None
    assert {len(effect.axes) for effect in found.effects} == {1, 2, 3}
    assert sum(e.share for e in found.effects) + found.rest == pytest.approx(1)
    assert found.rest > 0.8


def largest(there: npt.NDArray[np.bool_]) -> int:
    """By trying every subgrid."""
    choices = [[c for k in range(1, n + 1) for c in itertools.combinations(range(n), k)] for n in there.shape]
    sizes = [math.prod(map(len, kept)) for kept in itertools.product(*choices) if there[np.ix_(*kept)].all()]
    return max(sizes, default=0)


@settings(deadline=None, max_examples=60)
@given(arrays(bool, st.sampled_from([(3, 4), (2, 3, 3), (4, 4), (2, 2, 2, 2)]), elements=st.booleans()))
def test_the_complete_subgrid_is_the_largest_there_is(there: npt.NDArray[np.bool_]) -> None:
    kept, surely = complete_subgrid(there)
    assert there[np.ix_(*kept)].all()
    assert math.prod(map(len, kept)) == largest(there)
    assert surely
    assert complete_subgrid(there)[0] == kept


def test_a_search_that_would_take_too_long_is_cut_short_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    there = np.random.default_rng(0).random((12, 12, 12)) > 0.3
    monkeypatch.setattr(effects, "MOST_LOOKS", 1_000_000)
    kept, surely = complete_subgrid(there)
    assert there[np.ix_(*kept)].all()
    assert not surely
    assert math.prod(map(len, kept)) > 1


def test_a_corner_that_diverged_bends_no_effect() -> None:
    """The metric rises along a: the mean over survivors would say 4, 5, 5.5, 5, 6."""
    a, b = np.meshgrid(np.arange(5.0), np.arange(4.0), indexing="ij")
    runs = (a + 2 * b)[..., None]
    runs[3, 2:] = np.nan
    found = find_effects(runs)
    assert found is not None
    assert found.kept == ((0, 1, 2, 4), (0, 1, 2, 3))
    assert shares(found)[(0, 1)] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("value", [math.nan, 0.5, math.inf])
def test_of_what_does_not_vary_nothing_is_said(value: float) -> None:
    assert find_effects(np.full((3, 2, 1), value)) is None
    assert find_effects(np.full((1, 1, 3), value)) is None
