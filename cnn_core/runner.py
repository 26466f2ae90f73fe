"""What trains and evaluates a network: the engine, the loop over the textbook's layers, or Python."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cnn_core.architecture import shapes_before
from cnn_core.fuse import Program, fuse
from cnn_core.layers import LAYERS, CrossEntropy, Layer
from cnn_core.optimisers import Rule
from cnn_core.scores import judge

Array = NDArray[Any]
Scores = tuple[float, NDArray[np.bool_]]


class Runner(Protocol):
    """A network's numbers in memory, float32. Parameters and statistics are flat, in a checkpoint's order."""

    def begin(self, parameters: Array, statistics: Array, batch: int) -> None:
        """Take copies of a network's numbers, and room for batches of so many images."""

    def train_epoch(
        self, images: Array, labels: Array, order: Array, batch: int, rate: float, key: int, rule: Rule
    ) -> float:
        """Train on `images[order]` in batches; return the mean loss. `key` names this epoch's dropout."""

    def predict(self, images: Array) -> NDArray[np.float32]:
        """The logits (N, classes) of images (N, *shape)."""

    def trained(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Copies of the parameters and of the running statistics."""

    def evaluate(self, images: Array, labels: Array) -> Scores:
        """Mean cross-entropy, and whether each image's label is on top; a NaN counts as wrong."""


def choose(layers: Sequence[Layer], shape: tuple[int, ...], loss: CrossEntropy) -> Runner:
    """What runs these layers. The textbook's are loaded and compiled by `begin`, a user's own here."""
    program = fuse(layers, shape)
    if program is not None:
        return _Fused(program, loss)
    if _have_kernels(layers, shape):
        return _Looped(layers, shape, loss)
    return _Composed(layers, shape, loss)


def _have_kernels(layers: Sequence[Layer], shape: tuple[int, ...]) -> bool:
    if all(type(layer) in LAYERS.values() for layer in layers):
        return True
    import numba

    from cnn_core import compilation
    from cnn_core.kernels.operations import has_kernels

    if numba.config.DISABLE_JIT:
        return False
    with compilation.plain_optimisation():
        return all(map(has_kernels, layers, shapes_before(layers, shape)))


class _Fused:
    """The engine's kernels, compiled; numba and SciPy are imported with the first training."""

    def __init__(self, program: Program, loss: CrossEntropy) -> None:
        self._program, self._loss = program, loss

    def begin(self, parameters: Array, statistics: Array, batch: int) -> None:
        from cnn_core import compilation

        self._engine: Any = compilation.load_engine()
        self._compiled_rule: Rule | None = None
        self._state = self._engine.allocate(self._program, parameters, statistics, batch)

    def train_epoch(
        self, images: Array, labels: Array, order: Array, batch: int, rate: float, key: int, rule: Rule
    ) -> float:
        if self._compiled_rule is not rule and not rule.plain:
            _compile_rule("engine", rule, self._state)
            self._compiled_rule = rule
        loss = self._engine.train_epoch(
            self._state, images, labels, order, batch, rate, self._program.dropout_rate, key,
            None if rule.plain else rule, self._loss.smoothing,
        )  # fmt: skip
        return float(loss)

    def predict(self, images: Array) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._engine.predict(self._state, images)
        return logits

    def evaluate(self, images: Array, labels: Array) -> Scores:
        scores: Scores = self._engine.evaluate(self._state, images, labels)
        return scores

    def trained(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        found: tuple[NDArray[np.float32], NDArray[np.float32]] = self._engine.trained(
            self._state, self._program
        )
        return found


def _compile_rule(module: str, rule: Rule, state: Any) -> None:
    """Have the kernels of a rule ready, if it is the textbook's."""
    from cnn_core import compilation
    from cnn_core.kernels import rules

    if rules.has_kernels(rule):
        parts = (type(part).__name__ for part in (rule.optimiser, *rule.regularisers))
        with compilation.compiling(module, *parts):
            rules.lay_out(rule, state.memory, state.parameters, state.gradient)


class _Looped:
    """A compiled loop over layers that have kernels each."""

    def __init__(self, layers: Sequence[Layer], shape: tuple[int, ...], loss: CrossEntropy) -> None:
        self._layers, self._shape, self._loss = layers, shape, loss

    def begin(self, parameters: Array, statistics: Array, batch: int) -> None:
        from cnn_core import compilation, loop

        with compilation.compiling("loop", *loop.kernels_of(self._layers, self._shape)):
            self._state = loop.allocate(self._layers, self._shape, parameters, statistics, batch)
            loop.warm(self._state)
        self._loop: Any = loop
        self._order, self._statistics = loop.places(self._layers, self._shape), len(statistics)
        self._compiled_rule: Rule | None = None

    def train_epoch(
        self, images: Array, labels: Array, order: Array, batch: int, rate: float, key: int, rule: Rule
    ) -> float:
        if self._compiled_rule is not rule:
            _compile_rule("loop", rule, self._state)
            self._compiled_rule = rule
        loss = self._loop.train_epoch(
            self._state, images, labels, order, batch, rate, key, rule, self._loss.smoothing
        )
        self._refuse_what_was_raised()
        return float(loss)

    def predict(self, images: Array) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._loop.predict(self._state, images)
        self._refuse_what_was_raised()
        return logits

    def _refuse_what_was_raised(self) -> None:
        if self._state.table["raised"].any():
            own = {type(layer).__name__ for layer in self._layers} - {
                kind.__name__ for kind in LAYERS.values()
            }
            raise RuntimeError(
                f"{', '.join(sorted(own))} raised an exception in the compiled loop; Network.gradients and"
                " Network.logits run the same layers from Python, and say which"
            )

    def evaluate(self, images: Array, labels: Array) -> Scores:
        return judge(self.predict(images), labels)

    def trained(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        found: tuple[NDArray[np.float32], NDArray[np.float32]] = self._loop.trained(
            self._state, self._order, self._statistics
        )
        return found


class _Composed:
    """Layer by layer."""

    def __init__(self, layers: Sequence[Layer], shape: tuple[int, ...], loss: CrossEntropy) -> None:
        self._layers, self._shape, self._loss = layers, shape, loss

    def begin(self, parameters: Array, statistics: Array, batch: int) -> None:  # noqa: ARG002
        from cnn_core import composed

        self._composed = composed
        self._state = composed.allocate(self._layers, self._shape, parameters, statistics, self._loss)

    def train_epoch(
        self, images: Array, labels: Array, order: Array, batch: int, rate: float, key: int, rule: Rule
    ) -> float:
        return self._composed.train_epoch(self._state, images, labels, order, batch, rate, key, rule)

    def predict(self, images: Array) -> NDArray[np.float32]:
        return self._composed.predict(self._state, images)

    def evaluate(self, images: Array, labels: Array) -> Scores:
        return judge(self.predict(images), labels)

    def trained(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._composed.trained(self._state)
