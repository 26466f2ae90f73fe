"""The corrected score against the bootstrap written out, and by simulation."""

import os

import numpy as np
import pytest
from scipy import stats

from gridrun import resampling
from gridrun.resampling import resample_examples, resample_runs

SOAK = bool(os.environ.get("GRIDRUN_SOAK"))  # `make soak`: as many samples as a report draws, of more sweeps
SWEEPS = 2000 if SOAK else 200


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    if not SOAK:
        monkeypatch.setattr(resampling, "SAMPLES", 200)


def test_it_is_the_bootstrap_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = (np.random.default_rng(3).random((7, 30)) < 0.6).astype(float)
    monkeypatch.setattr(resampling, "BLOCK", 30 * 17)  # samples come in parts
    found = resample_examples(scores, "max")
    chance, out, wins = np.random.default_rng(resampling.SEED), [], np.zeros(7)
    for _ in range(resampling.SAMPLES):
        drawn = chance.integers(30, size=30)
        chosen = int(scores[:, drawn].mean(axis=1).argmax())
        wins[chosen] += 1
        out.append(scores[chosen, np.setdiff1d(np.arange(30), drawn)].mean())
    assert found.mean == pytest.approx(np.mean(out))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(out, [2.5, 97.5])))
    assert found.wins == pytest.approx(wins / resampling.SAMPLES)


def test_where_all_combinations_guess_the_selected_score_is_lucky_and_the_corrected_one_is_not() -> None:
    chance = np.random.default_rng(0)
    selected, corrected, covered = [], [], 0
    for _ in range(SWEEPS):
        scores = (chance.random((100, 400)) < 0.5).astype(float)
        found = resample_examples(scores, "max")
        selected.append(scores.mean(axis=1).max())
        corrected.append(found.mean)
        covered += found.low <= 0.5 <= found.high
    assert np.mean(selected) == pytest.approx(0.5626, abs=0.01)  # the largest of 100 of that deviation
    assert np.mean(corrected) == pytest.approx(0.5, abs=0.005)
    assert covered >= stats.binom.ppf(0.001, SWEEPS, 0.95)


def test_of_one_that_is_far_better_nothing_is_taken_off() -> None:
    chance = np.random.default_rng(1)
    right = np.where(np.arange(20) == 4, 0.9, 0.5)
    scores = (chance.random((20, 1000)) < right[:, None]).astype(float)
    found = resample_examples(scores, "max")
    assert found.wins[4] == 1
    assert found.mean == pytest.approx(scores[4].mean(), abs=0.005)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_over_replicates_the_winner_is_counted_and_what_diverged_never_wins(mode: str) -> None:
    sign = 1 if mode == "max" else -1
    runs = sign * np.array([[9.0, 0, 0], [2, 2, 2], [np.nan, 100, 100], [1, 1, 1]])
    found = resample_runs(runs, mode)
    # The first wins where its lucky run is drawn at all: 1 - (2/3)^3.
    assert found.wins == pytest.approx([19 / 27, 8 / 27, 0, 0], abs=0.1)
    assert np.isnan(found.mean)


def test_a_single_example_corrects_nothing() -> None:
    found = resample_examples(np.array([[1.0], [0.0]]), "max")
    assert np.isnan(found.mean)
    assert found.wins.tolist() == [1, 0]


def test_equal_sums_that_were_added_up_in_another_order_stay_equal() -> None:
    """Then the better in rank wins all samples, with whatever threads BLAS adds up."""
    scores = np.random.default_rng(0).integers(0, 4, size=50) / 3
    apart = np.array([scores, np.nextafter(scores, 2)])
    assert resample_examples(apart, "max").wins.tolist() == [1, 0]
    assert resample_runs(apart[:, :5], "max").wins.tolist() == [1, 0]
