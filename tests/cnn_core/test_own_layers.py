"""A layer of a user's own in the compiled loop: as the textbook's Network has it, or run from Python."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from cnn_core import Network
from cnn_core.kernels.operations import has_kernels, identity, own, trial
from cnn_core.layers import (
    BatchNorm2d,
    Conv2d,
    CrossEntropy,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Tanh,
)
from cnn_core.optimisers import SGD
from cnn_core.runner import choose
from tests.cnn_core.test_operations import assert_equals_textbook, move_away_from_0

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Shrink(Layer):
    """y = x / (1 + strength |x|), of a vector or an image; refuses what is very large."""

    strength: float = 0.5

    def forward(self, x: Array) -> Array:
        if x.max() > 1e6:
            raise ValueError("too large")
        return x / (1 + self.strength * np.abs(x))

    def backward(self, dy: Array, x: Array) -> Array:
        return dy / (1 + self.strength * np.abs(x)) ** 2


@dataclass(frozen=True)
class Centred(Dropout):
    """All at once: y = scale (x - mean of the batch) / (1 - rate) where it is not dropped, with parameters,
    running averages, noise, and an evaluation of its own."""

    def parameters(self, shape: tuple[int, ...], rng: np.random.Generator) -> dict[str, Array]:  # noqa: ARG002
        return {"scale": np.ones(shape), "shift": np.zeros(1)}

    def statistics(self, shape: tuple[int, ...]) -> dict[str, Array]:
        return {"mean": np.zeros(shape)}

    def forward(self, x: Array, scale: Array, shift: Array, noise: Array) -> Array:
        kept = (noise >= self.rate) / (1 - self.rate)
        return kept * (scale * (x - x.sum(axis=0) / len(x)) + shift[0])

    def backward(self, dy: Array, x: Array, scale: Array, _: Array, noise: Array) -> tuple[Array, ...]:
        dz = dy * (noise >= self.rate) / (1 - self.rate)
        centred = x - x.sum(axis=0) / len(x)
        dcentred = dz * scale
        dx = dcentred - dcentred.sum(axis=0) / len(x)
        return dx, (dz * centred).sum(axis=0), np.array([dz.sum()])

    def track(self, x: Array, mean: Array) -> None:
        mean[...] = 0.9 * mean + 0.1 * (x.sum(axis=0) / len(x))

    def evaluate(self, x: Array, scale: Array, shift: Array, mean: Array) -> Array:  # type: ignore[override]
        return scale * (x - mean) + shift[0]


@pytest.mark.slow
def test_layers_of_ones_own_are_compiled_and_give_the_textbooks_numbers() -> None:
    """Before and behind Flatten, beside layers that wait for the batch; more images than a chunk."""
    layers: list[Layer] = [
        Conv2d(3, 2), Shrink(), BatchNorm2d(), Centred(0.4), Tanh(), MaxPool2d(), Flatten(), Shrink(2.0),
        Linear(4),
    ]  # fmt: skip
    assert type(choose(layers, (2, 9, 8), CrossEntropy())).__name__ == "_Looped"
    network, rng = Network(layers, (2, 9, 8), dtype=np.float64), np.random.default_rng(1)
    move_away_from_0(network, rng)
    assert_equals_textbook(network, rng.random((41, 2, 9, 8)), rng.integers(4, size=41))


@pytest.mark.slow
def test_what_a_compiled_layer_raises_is_an_exception_and_the_next_process_compiles_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert has_kernels(Shrink(), (3, 9, 8))
    for cached in (own._operation, own._build, trial.functions_of):
        cached.cache_clear()
    capsys.readouterr()
    monkeypatch.setattr(own, "require_equal", None)  # to call it is an error
    operation = own.own_operation(Shrink(), (1, 4, 4))
    assert operation
    assert sum(operation.passes[1].forward.stats.cache_hits.values()) == 1
    assert capsys.readouterr().err == ""

    network, images = Network([Shrink(), Flatten(), Linear(3)], (1, 4, 4)), np.ones((5, 1, 4, 4))
    list(network.train(images, np.arange(5) % 3, SGD(), rate=0.1))
    with pytest.raises(RuntimeError, match=r"^Shrink raised an exception in the compiled loop; .*logits"):
        list(network.train(1e7 * images, np.arange(5) % 3, SGD(), rate=0.1))


@dataclass(frozen=True)
class Uncompiled(Layer):
    """What numba does not take."""

    def forward(self, x: Array) -> Array:
        return np.piecewise(x, [x > 0], [lambda x: x, 0])

    def backward(self, dy: Array, x: Array) -> Array:
        return dy * (x > 0)


@dataclass(frozen=True)
class Drawn(Uncompiled):
    """Other numbers each time."""

    def forward(self, x: Array) -> Array:
        return x + np.random.random(x.shape)  # noqa: NPY002


@dataclass(frozen=True)
class Listed(Uncompiled):
    """Its hyperparameter has no hash."""

    sizes: Any = ()


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Uncompiled(), "piecewise"),
        (Drawn(), "forward gives other numbers when it is compiled"),
        (Listed([1]), "its hyperparameters have no hash; write tuples for lists"),
    ],
    ids=str,
)
def test_what_is_not_compiled_runs_from_python_and_a_line_says_why(
    layer: Layer, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own._tell.cache_clear()
    layers = [layer, Flatten(), Linear(3)]
    assert type(choose(layers, (1, 4, 4), CrossEntropy())).__name__ == "_Composed"
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith(f"cnn_core: {type(layer).__name__} runs from Python: ")
    assert reason in told[-1]
    images = np.random.default_rng(0).random((6, 1, 4, 4))
    (loss,) = Network(layers, (1, 4, 4)).train(images, np.arange(6) % 3, SGD(), rate=0.1)
    assert np.isfinite(loss)


def test_a_function_is_known_by_its_content() -> None:
    def make(text: str, **names: Any) -> Any:
        found: dict[str, Any] = {"np": np, **names}
        exec(text, found)
        return found["f"]

    one = "def f(x):\n    return np.tanh(k * x)"
    calling = one.replace("k *", "k(1) *")
    known = [
        identity.identity(make(text, k=k))
        for text, k in (
            (one, 2.0),
            ("\n" + one, 2.0),
            (one, 3.0),
            (one.replace("tanh", "sin"), 2.0),
            (calling, make("def f(x):\n    return 2 * x")),
            (calling, make("def f(x):\n    return 3 * x")),
        )
    ]
    assert known[0] == known[1]
    assert len({*known} - {None}) == 5
    assert identity.identity(make(one, k=np.ones(3))) is None
