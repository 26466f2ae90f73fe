"""Each update rule against its sum written out, and against the rule as PyTorch documents it."""

import dataclasses
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
from numba import njit

from cnn_core.compilation import plain_optimisation
from cnn_core.config import ConfigError
from cnn_core.optimisers import (
    L1,
    L2,
    OPTIMISERS,
    REGULARISERS,
    SGD,
    Adam,
    AdamW,
    ClipNorm,
    MaxNorm,
    Momentum,
    Nesterov,
    Optimiser,
    RMSprop,
    WeightDecay,
)

Array = np.ndarray[Any, np.dtype[Any]]
GRADIENTS = [0.5, -0.25, 1.0, 0.125]
RATE = 0.1


def run(optimiser: Optimiser, gradients: list[float] = GRADIENTS, start: float = 2.0) -> list[float]:
    """One number, led by gradients that do not depend on it; its value after each step."""
    parameter = np.array([start])
    kept = [np.zeros(1) for _ in optimiser.keeps]
    path = []
    for step, gradient in enumerate(gradients, start=1):
        optimiser.update(RATE, step, parameter, np.array([gradient]), *kept)
        path.append(float(parameter[0]))
    return path


def faded(values: list[float], beta: float) -> list[float]:
    """sum over i <= t of beta^(t - i) values[i], for each t."""
    return [sum(beta ** (t - i) * values[i] for i in range(t + 1)) for t in range(len(values))]


def walk(steps: list[float], start: float = 2.0) -> list[float]:
    return [start - RATE * sum(steps[: t + 1]) for t in range(len(steps))]


def adam_steps(beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> list[float]:
    means = faded([(1 - beta1) * g for g in GRADIENTS], beta1)
    squares = faded([(1 - beta2) * g * g for g in GRADIENTS], beta2)
    return [
        m / (1 - beta1**t) / ((s / (1 - beta2**t)) ** 0.5 + epsilon)
        for t, (m, s) in enumerate(zip(means, squares, strict=True), start=1)
    ]


def test_sgd() -> None:
    assert run(SGD()) == pytest.approx([1.95, 1.975, 1.875, 1.8625])


def test_momentum() -> None:
    velocity = faded(GRADIENTS, 0.9)
    assert velocity[:2] == pytest.approx([0.5, 0.2])  # 0.9 x 0.5 - 0.25
    assert run(Momentum()) == pytest.approx(walk(velocity))


def test_nesterov() -> None:
    velocity = faded(GRADIENTS, 0.9)
    steps = [g + 0.9 * v for g, v in zip(GRADIENTS, velocity, strict=True)]
    assert run(Nesterov()) == pytest.approx(walk(steps))


@pytest.mark.parametrize("optimiser", [Momentum(0), Nesterov(0)], ids=str)
def test_without_momentum_both_are_gradient_descent(optimiser: Optimiser) -> None:
    assert run(optimiser) == pytest.approx(run(SGD()))


def test_nesterov_is_where_the_gradient_is_taken() -> None:
    """Sutskever's form: v' = mu v - rate g(theta + mu v), theta' = theta + v'; here g(theta) = theta."""
    mu, theta, v = 0.9, 2.0, 0.0
    parameter, velocity = np.array([theta]), np.zeros(1)
    for step in range(1, 6):
        Nesterov(mu).update(RATE, step, parameter, parameter.copy(), velocity)
        v = mu * v - RATE * (theta + mu * v)
        theta += v
        assert parameter[0] == pytest.approx(theta + mu * v)


def test_rmsprop() -> None:
    squares = faded([0.01 * g * g for g in GRADIENTS], 0.99)
    steps = [g / (s**0.5 + 1e-8) for g, s in zip(GRADIENTS, squares, strict=True)]
    assert steps[0] == pytest.approx(10, rel=1e-6)
    assert run(RMSprop()) == pytest.approx(walk(steps))


def test_adam() -> None:
    assert run(Adam()) == pytest.approx(walk(adam_steps()))
    assert run(Adam(0.5, 0.6, 0.1)) == pytest.approx(walk(adam_steps(0.5, 0.6, 0.1)))


@pytest.mark.parametrize("gradient", [1e-3, 7.0, -1e4])
def test_the_first_step_of_adam_is_one_rate_long(gradient: float) -> None:
    assert run(Adam(), [gradient])[0] == pytest.approx(2 - RATE * np.sign(gradient), abs=1e-5)


def test_adamw() -> None:
    wanted, parameter = [], 2.0
    for step in adam_steps():
        parameter = parameter * (1 - RATE * 0.3) - RATE * step
        wanted.append(parameter)
    assert run(AdamW(0.3)) == pytest.approx(wanted)
    assert run(AdamW(0)) == run(Adam())


def test_adam_with_weight_decay_is_adamw() -> None:
    weight, kept = np.array([2.0]), [np.zeros(1), np.zeros(1)]
    for step, gradient in enumerate(GRADIENTS, start=1):
        slope = np.array([gradient])
        WeightDecay(0.3).penalise(RATE, weight, slope)
        Adam().update(RATE, step, weight, slope, *kept)
    assert weight[0] == pytest.approx(run(AdamW(0.3))[-1])


def test_with_gradient_descent_l2_is_weight_decay_and_with_adam_it_is_not() -> None:
    ends = {}
    for optimiser in (SGD(), Adam()):
        for regulariser in (L2(0.3), WeightDecay(0.3)):
            weight, kept = np.array([2.0]), [np.zeros(1) for _ in optimiser.keeps]
            for step, gradient in enumerate(GRADIENTS, start=1):
                slope = np.array([gradient])
                regulariser.penalise(RATE, weight, slope)
                optimiser.update(RATE, step, weight, slope, *kept)
            ends[type(optimiser), type(regulariser)] = weight[0]
    assert ends[SGD, L2] == pytest.approx(ends[SGD, WeightDecay])
    assert abs(ends[Adam, L2] - ends[Adam, WeightDecay]) > 0.01


@pytest.mark.parametrize(
    ("regulariser", "penalty"),
    [(L1(0.3), lambda w: 0.3 * np.abs(w).sum()), (L2(0.3), lambda w: 0.15 * (w * w).sum())],
    ids=["l1", "l2"],
)
def test_a_penalty_adds_its_own_gradient(regulariser: Any, penalty: Any) -> None:
    weight, gradient = np.random.default_rng(0).standard_normal((3, 4)), np.full((3, 4), 5.0)
    before = weight.copy()
    regulariser.penalise(RATE, weight, gradient)
    np.testing.assert_array_equal(weight, before)
    for index in np.ndindex(weight.shape):
        moved = []
        for step in (1e-6, -1e-6):
            shifted = weight.copy()
            shifted[index] += step
            moved.append(penalty(shifted))
        assert gradient[index] - 5 == pytest.approx((moved[0] - moved[1]) / 2e-6, abs=1e-6)


def test_l1_leaves_a_weight_of_zero_alone() -> None:
    gradient = np.zeros(1)
    L1(0.3).penalise(RATE, np.zeros(1), gradient)
    assert gradient[0] == 0


def test_max_norm_shortens_the_long_outputs_alone() -> None:
    weight = np.array([[[3.0, 4.0]], [[0.3, 0.4]]])  # lengths 5 and 0.5
    MaxNorm(2).project(weight)
    np.testing.assert_allclose(weight, [[[1.2, 1.6]], [[0.3, 0.4]]])


def test_clipping_shortens_all_gradients_together() -> None:
    gradients = [np.array([3.0]), np.array([[0.0, 4.0]])]
    ClipNorm(10).clip(gradients)
    assert gradients[0][0] == 3
    ClipNorm(1).clip(gradients)
    np.testing.assert_allclose(gradients[0], [0.6])
    np.testing.assert_allclose(gradients[1], [[0, 0.8]])


@pytest.mark.parametrize("optimiser", [kind() for kind in OPTIMISERS.values()], ids=str)
def test_every_optimiser_keeps_float32_and_finds_a_minimum(optimiser: Optimiser) -> None:
    """Of a valley three times as steep in one direction as in the other."""
    parameter = np.array([1.0, -1.0], np.float32)
    kept = [np.zeros_like(parameter) for _ in optimiser.keeps]
    for step in range(1, 301):
        optimiser.update(0.5 / step**0.7, step, parameter, parameter * np.float32([3, 1]), *kept)
    assert {a.dtype for a in (parameter, *kept)} == {np.dtype(np.float32)}
    assert np.abs(parameter).max() < 0.1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Momentum(1), "Momentum: momentum must be in [0, 1), found 1; write 0.1"),
        (lambda: Adam(epsilon=0), "Adam: epsilon must be a number above 0, found 0"),
        (lambda: L2(-1), "L2: factor must be a number from 0, found -1"),
        (lambda: ClipNorm(np.inf), "ClipNorm: limit must be a number above 0, found inf"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        make()
    assert words in str(refusal.value)


def test_each_regulariser_does_one_thing() -> None:
    base = {"clip", "penalise", "project"}
    assert [len(base & set(vars(kind))) for kind in REGULARISERS.values()] == [1] * 5


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", [kind() for kind in OPTIMISERS.values()], ids=str)
def test_numba_compiles_what_the_rules_say(optimiser: Optimiser) -> None:
    fields = [field.name for field in dataclasses.fields(optimiser)]  # type: ignore[arg-type]
    values = namedtuple("values", fields)(*dataclasses.astuple(optimiser))  # type: ignore[call-overload, misc]
    paths = []
    for update in (type(optimiser).update, njit(type(optimiser).update)):
        parameter, gradient = np.full(5, 2.0, np.float32), np.arange(5, dtype=np.float32)
        kept = [np.ones_like(parameter) for _ in optimiser.keeps]
        with plain_optimisation():
            update(values, RATE, 3, parameter, gradient, *kept)
        paths.append([parameter, *kept])
    np.testing.assert_allclose(paths[0], paths[1], rtol=1e-6)
