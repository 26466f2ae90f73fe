"""Runs a network with a layer that is not compiled, one of yours, layer by layer from Python, float32.

The same functions as engine.py and loop.py. A layer in `kernels.single.KERNELS` runs compiled, any other as
its file in `layers` says, in NumPy. The order of work is that of `Network.gradients`, the textbook; here all
parameters are in one flat array, as an optimiser and a checkpoint want them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.architecture import flat_order, shapes_before
from cnn_core.kernels.single import functions, track
from cnn_core.layers import CrossEntropy, Layer
from cnn_core.optimisers import Rule

Array = NDArray[Any]

# Images an evaluation step: more would leave the second cache.
EVALUATION_BATCH = 50


@dataclass(eq=False)
class State:
    """A network's layers and its numbers: flat, in the textbook's order, and as views for each layer."""

    layers: tuple[Layer, ...]
    shapes: list[tuple[int, ...]]
    loss: CrossEntropy
    order: NDArray[np.int64]
    memory: Array
    gradient: Array
    running: Array
    parameters: list[list[Array]] = field(default_factory=list)
    gradients: list[list[Array]] = field(default_factory=list)
    statistics: list[list[Array]] = field(default_factory=list)
    functions: list[tuple[Callable[..., Any], Callable[..., Any]]] = field(default_factory=list)


def allocate(
    layers: Sequence[Layer], shape: tuple[int, ...], parameters: Array, statistics: Array,
    loss: CrossEntropy | None = None, dtype: Any = np.float32,
) -> State:  # fmt: skip
    """A network with copies of its parameters, in a checkpoint's order, and statistics."""
    order = flat_order(layers, shape)
    memory = np.empty(order.size, dtype)
    memory[order] = parameters
    state = State(
        tuple(layers), shapes_before(layers, shape), loss or CrossEntropy(), order, memory,
        np.zeros_like(memory), np.array(statistics, dtype),
    )  # fmt: skip
    at = kept = 0
    for layer, before in zip(state.layers, state.shapes, strict=True):
        own = layer.parameters(before, np.random.default_rng(0)).values()
        running = layer.statistics(before).values()
        state.parameters.append(_views(memory, at, own))
        state.gradients.append(_views(state.gradient, at, own))
        state.statistics.append(_views(state.running, kept, running))
        state.functions.append(functions(layer))
        at += sum(array.size for array in own)
        kept += sum(array.size for array in running)
    return state


def _views(flat: Array, at: int, like: Any) -> list[Array]:
    found = []
    for array in like:
        found.append(flat[at : at + array.size].reshape(array.shape))
        at += array.size
    return found


def train_epoch(
    state: State, images: Array, labels: Array, order: Array, batch: int, rate: float, key: int, rule: Rule
) -> float:
    """Train on `images[order]` in batches, the last one smaller; return the mean training loss.

    `key` names this epoch's noise. A loss that is not finite ends it.

    Shapes: images (N, *shape), labels (N,), order (M,).
    """
    rng, total = np.random.default_rng(key), 0.0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # of a rate that diverges
        for first in range(0, len(order), batch):
            chosen = order[first : first + batch]
            total += len(chosen) * step(state, images[chosen], labels[chosen], rng)
            if not math.isfinite(total):
                break
            rule.apply(rate, state.memory, state.gradient)
    return total / max(len(order), 1)


def step(state: State, images: Array, labels: Array, rng: np.random.Generator) -> float:
    """The mean loss of a batch; fills `state.gradient`. Running statistics follow the batch."""
    dtype = state.memory.dtype
    x, given = np.ascontiguousarray(images, dtype), list[list[Array]]()
    for number, layer in enumerate(state.layers):
        arrays = [x, *state.parameters[number]]
        if (shape := layer.noise(state.shapes[number])) is not None:
            arrays.append(rng.random((len(x), *shape), np.float32).astype(dtype))
        given.append(arrays)
        if state.statistics[number]:
            track(layer, x, *state.statistics[number])
        x = np.ascontiguousarray(state.functions[number][0](layer, *arrays), dtype)
    loss = state.loss.forward(x, labels)
    if not math.isfinite(loss):
        return loss
    dy = state.loss.backward(x, labels)
    for number in reversed(range(len(state.layers))):
        back = state.functions[number][1](state.layers[number], dy, *given[number])
        dx, *slopes = back if isinstance(back, tuple) else (back,)
        for into, slope in zip(state.gradients[number], slopes, strict=True):
            into[...] = slope
        dy = np.ascontiguousarray(dx, dtype)
    return loss


def predict(state: State, images: Array) -> Array:
    """The logits (N, classes) of images (N, *shape)."""
    found = [np.empty((0, *state.layers[-1].output_shape(state.shapes[-1])), state.memory.dtype)]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for first in range(0, len(images), EVALUATION_BATCH):
            x = np.ascontiguousarray(images[first : first + EVALUATION_BATCH], state.memory.dtype)
            for number, layer in enumerate(state.layers):
                arrays = *state.parameters[number], *state.statistics[number]
                if type(layer).evaluate is Layer.evaluate:
                    x = state.functions[number][0](layer, x, *arrays)
                else:
                    x = layer.evaluate(x, *arrays)
                x = np.ascontiguousarray(x, state.memory.dtype)
            found.append(x)
    return np.concatenate(found)


def trained(state: State) -> tuple[Array, Array]:
    """Copies of the parameters, in a checkpoint's order, and of the running statistics."""
    return state.memory[state.order], state.running.copy()
