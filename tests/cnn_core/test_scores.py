"""Metrics, held to scikit-learn's."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import f1_score, top_k_accuracy_score

from cnn_core import scores


def answers(classes: int, labels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return scores.softmax(3 * rng.standard_normal((300, classes))), rng.integers(labels, size=300)


@pytest.mark.parametrize(("classes", "labels"), [(10, 10), (10, 4), (3, 3), (2, 2), (40, 40)])
def test_metrics_are_scikit_learns(classes: int, labels: int) -> None:
    probabilities, y = answers(classes, labels, seed=classes)
    answered = probabilities.argmax(axis=1)
    assert scores.macro_f1(probabilities, y) == pytest.approx(f1_score(y, answered, average="macro"))
    if classes > 3:
        expected = top_k_accuracy_score(y, probabilities, k=3, labels=range(classes))
        assert scores.top3_accuracy(probabilities, y) == pytest.approx(expected)
    else:
        assert scores.top3_accuracy(probabilities, y) == 1


def test_the_calibration_error_is_that_of_scikit_learns_curve() -> None:
    probabilities, y = answers(10, 10, seed=3)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    rates, means = calibration_curve(right, confidence, n_bins=scores.BINS)
    counts, _ = np.histogram(confidence, np.linspace(0, 1, scores.BINS + 1))
    expected = (counts[counts > 0] * np.abs(rates - means)).sum() / len(y)
    assert scores.calibration_error(probabilities, y) == pytest.approx(expected)
    sure = np.eye(10)[y]
    assert scores.calibration_error(sure, y) == 0
    assert scores.calibration_error(sure, (y + 1) % 10) == 1


def test_of_equal_probabilities_the_first_three_count() -> None:
    assert scores.top3_accuracy(np.full((10, 10), 0.1), np.arange(10)) == pytest.approx(0.3)
