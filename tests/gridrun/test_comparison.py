"""Ties, one standard error and the search curve against SciPy, statsmodels, trying out, and simulation."""

import itertools
import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gridrun.comparison import (
    LEVEL,
    compare_examples,
    compare_proportions,
    find_ties,
    search_curve,
    simplest,
)

SWEEPS = 10_000 if os.environ.get("GRIDRUN_SOAK") else 400


def test_p_values_are_those_of_scipys_paired_test_adjusted_by_statsmodels() -> None:
    pytest.importorskip("statsmodels", reason="statsmodels comes with [dev]")
    from statsmodels.stats.multitest import multipletests

    chance = np.random.default_rng(0)
    runs = chance.normal(size=(6, 8)) + np.array([4, 0, 1, 2, 3, 3.9])[:, None]
    found = find_ties(runs, 0)
    raw = [stats.ttest_rel(runs[0], runs[c]).pvalue for c in range(1, 6)]
    # Every pair that has not the best in it may as well be larger than all of these.
    others = [1.0] * (6 * 5 // 2 - 5)
    adjusted = multipletests([*raw, *others], method="holm")[1][:5]
    assert found.p[1:] == pytest.approx(adjusted)
    assert math.isnan(found.p[0])
    assert found.tied.tolist() == [False, *(adjusted > LEVEL)]
    assert 0 < found.tied.sum() < 5


def test_between_folds_the_variance_is_that_of_nadeau_and_bengio() -> None:
    """Ten times ten-fold cross-validation, written out as in scikit-learn's example of comparing models."""
    chance = np.random.default_rng(1)
    runs = chance.normal(size=(2, 100)) * 0.02 + np.array([0.9, 0.89])[:, None]
    n_train, n_test = 900, 100
    differences = runs[0] - runs[1]
    corrected = np.sqrt(np.var(differences, ddof=1) * (1 / 100 + n_test / n_train))
    t = np.mean(differences) / corrected
    found = find_ties(runs, 0, overlap=1 / 9)
    assert found.p[1] == pytest.approx(2 * stats.t.sf(abs(t), 99))
    assert found.p[1] > find_ties(runs, 0).p[1]


def test_what_has_no_two_runs_in_common_with_the_best_is_not_claimed_to_differ() -> None:
    nan = math.nan
    runs = np.array([[1.0, 1.1, nan], [0.1, nan, 0.2], [nan, nan, nan], [1.0, 1.1, 5.0], [0.5, 0.6, nan]])
    found = find_ties(runs, 0)
    assert np.isnan(found.p).tolist() == [True, True, True, False, False]
    assert found.tied.tolist() == [False, True, True, True, False]  # the last: the same difference twice


@pytest.mark.parametrize(("count", "n"), [(2, 3), (10, 3), (10, 10), (100, 5), (100, 20)])
def test_where_all_are_alike_a_false_claim_is_made_in_at_most_five_of_a_hundred_sweeps(
    count: int, n: int
) -> None:
    chance = np.random.default_rng(count + n)
    false = 0
    for _ in range(SWEEPS):
        runs = chance.normal(size=(count, n)) + chance.normal(size=n)  # a seed is lucky for all of them
        found = find_ties(runs, int(runs.mean(axis=1).argmax()))
        false += int((found.p <= LEVEL).any())
    assert false <= stats.binom.ppf(0.999, SWEEPS, LEVEL)


def test_what_is_far_worse_is_told_and_what_is_hardly_worse_is_not() -> None:
    chance = np.random.default_rng(0)
    runs = chance.normal(size=(20, 10)) * 0.01 + np.repeat([0.98, 0.97, 0.5], [2, 2, 16])[:, None]
    found = find_ties(runs, int(runs.mean(axis=1).argmax()))
    assert found.tied[4:].sum() == 0
    assert found.tied[:2].sum() == 1


def adjusted_by_statsmodels(raw: list[float], combinations: int) -> list[float]:
    """Holm over all pairs; those that have not the best in them may as well be larger than all of these."""
    from statsmodels.stats.multitest import multipletests

    others = [1.0] * (combinations * (combinations - 1) // 2 - len(raw))
    return list(multipletests([*raw, *others], method="holm")[1][: len(raw)])


def test_on_the_examples_of_one_split_p_values_are_those_of_statsmodels_exact_mcnemar() -> None:
    pytest.importorskip("statsmodels", reason="statsmodels comes with [dev]")
    from statsmodels.stats.contingency_tables import mcnemar

    chance = np.random.default_rng(0)
    hard = chance.random(200)
    right = hard < np.array([0.95, 0.94, 0.9, 0.7, 0.95])[:, None] + chance.normal(size=(5, 200)) * 0.05
    right[4] = right[0]
    found = compare_examples(right, 0, 9)
    tables = [
        [[(right[0] & right[c]).sum(), (right[0] & ~right[c]).sum()], [(~right[0] & right[c]).sum(), 0]]
        for c in range(1, 5)
    ]
    raw = [mcnemar(table, exact=True).pvalue for table in tables]
    assert found.p[1:] == pytest.approx(adjusted_by_statsmodels(raw, 9))
    assert found.p[4] == 1
    assert found.tied.tolist() == [False, True, True, False, True]


def test_of_proportions_alone_p_values_are_those_of_statsmodels_z_test() -> None:
    pytest.importorskip("statsmodels", reason="statsmodels comes with [dev]")
    from statsmodels.stats.proportion import proportions_ztest

    right = np.array([970, 968, 940, 900, 970, 0])
    raw = [float(proportions_ztest([970, other], [1000, 1000])[1]) for other in right[1:]]
    found = compare_proportions(right / 1000, 1000, 0)
    assert found.p[1:] == pytest.approx(adjusted_by_statsmodels(raw, 6))
    assert found.tied.tolist() == [False, True, False, False, True, False]
    assert compare_proportions(np.array([1.0, 1.0, 0.0]), 10, 0).tied.tolist() == [False, True, False]


@pytest.mark.parametrize(("count", "examples", "agree"), [(2, 100, 0.0), (20, 400, 0.0), (20, 400, 0.8)])
def test_on_one_split_a_false_claim_is_made_in_at_most_five_of_a_hundred_sweeps(
    count: int, examples: int, agree: float
) -> None:
    """All are right as often; on a share of the examples they are right or wrong together."""
    chance = np.random.default_rng(count)
    false = np.zeros(2)
    for _ in range(SWEEPS):
        right = chance.random((count, examples)) < 0.7
        shared = chance.random(examples) < agree
        right[:, shared] = chance.random(int(shared.sum())) < 0.7
        best = int(right.mean(axis=1).argmax())
        false[0] += (compare_examples(right, best, count).p <= LEVEL).any()
        false[1] += (compare_proportions(right.mean(axis=1), examples, best).p <= LEVEL).any()
    assert (false <= stats.binom.ppf(0.999, SWEEPS, LEVEL)).all()


@given(
    st.lists(st.sampled_from([0.1, 0.5, 0.7, 0.9, math.nan]), min_size=1, max_size=7).filter(
        lambda values: not all(map(math.isnan, values))
    ),
    st.sampled_from(["max", "min"]),
)
def test_the_search_curve_is_the_mean_over_all_searches(values: list[float], mode: str) -> None:
    better = max if mode == "max" else min
    worst = {"max": min, "min": max}[mode](v for v in values if not math.isnan(v))
    known = [worst if math.isnan(v) else v for v in values]
    sizes = range(1, len(values) + 1)
    expected = [np.mean([better(drawn) for drawn in itertools.combinations(known, n)]) for n in sizes]
    assert search_curve(np.array(values), mode, sizes) == pytest.approx(expected)


@pytest.mark.parametrize("value", [1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 0.0])
def test_the_search_curve_of_equal_values_is_that_value_however_large(value: float) -> None:
    for count in range(1, 40):
        assert search_curve(np.full(count, value), "max", [1, count]) == [value, value]


def test_the_search_curve_of_a_million_is_finite_and_rises() -> None:
    values = np.random.default_rng(0).random(1_000_000)
    found = search_curve(values, "max", [1, 10, 1000, 999_999, 1_000_000])
    assert found[:2] == pytest.approx([0.5, 10 / 11], abs=0.01)
    assert sorted(found) == found
    assert found[-1] == pytest.approx(values.max())


@settings(max_examples=200)
@given(st.data())
def test_the_simplest_within_one_standard_error_is_the_first_by_what_is_preferred(
    data: st.DataObject,
) -> None:
    count = data.draw(st.integers(1, 8))
    numbers = st.lists(st.integers(0, 3), min_size=count, max_size=count)
    means = np.array(data.draw(numbers), float)
    first, second = np.array(data.draw(numbers)), np.array(data.draw(numbers))
    error, mode = data.draw(st.sampled_from([0.0, 1.0, 1.5])), data.draw(st.sampled_from(["max", "min"]))
    merit = means if mode == "max" else -means
    best = int(merit.argmax())
    within = [c for c in range(count) if merit[c] >= merit[best] - error]
    expected = min(within, key=lambda c: (first[c], second[c], -merit[c], c))
    assert simplest(means, best, error, mode, [first, second]) == expected
