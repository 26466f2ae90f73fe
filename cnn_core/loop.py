"""Runs any of the textbook's layers, compiled: one loop for an epoch, without Python, float32.

The same functions as engine.py, which takes the networks that have kernels for several layers at once. Here
a table has a row for each layer (kernels/plan.py), with the addresses of its kernels: only what a network
uses is compiled, and each kernel once.

Of a batch, some images at a time go through all layers, forward and back, and stay in the second cache. A
layer whose sums are over the whole batch parts the network: what is before it is done for all images first.
"""

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.kernels import rules
from cnn_core.kernels.cache import entry
from cnn_core.kernels.cross_entropy import backward_cross_entropy, forward_cross_entropy
from cnn_core.kernels.dropout import mix
from cnn_core.kernels.operations import State
from cnn_core.kernels.operations.operation import compiled
from cnn_core.kernels.plan import allocate, kernels_of, places
from cnn_core.kernels.pointer import call_operation, call_rule
from cnn_core.kernels.simd import LANES, fill, load, part, store
from cnn_core.optimisers import Rule

__all__ = [
    "State",
    "allocate",
    "kernels_of",
    "places",
    "predict",
    "train_epoch",
    "trained",
    "warm",
]

PIECE_IMAGES, PIECE_S = 64, 0.05
"""A piece of an epoch has so many images at first, and twice as many as long as it takes less than that."""

Array = NDArray[Any]
NOTHING = np.zeros(0, np.float32)


def train_epoch(
    state: State, images: Array, labels: Array, order: Array, batch: int, rate: float, key: int, rule: Rule,
    smoothing: float = 0.0,
) -> float:  # fmt: skip
    """Train on `images[order]` in batches, the last one smaller; return the mean training loss.

    `key`, below 2^64, names this epoch's noise. A loss that is not finite ends it. `rule` may be one that is
    not compiled: then Python takes each step.

    Shapes: images (N, *shape), labels (N,), order (M,).
    """
    if batch > state.batch or len(images) != len(labels):
        found = f"batches of {batch}, {len(images)} images, {len(labels)} labels"
        raise ValueError(f"{found}: room is for batches of {state.batch}, each image wants a label")
    steps = -(-len(order) // batch)
    data = _readonly(images, np.float32), _readonly(labels, np.int32), np.asarray(order, np.int64), batch
    how = True, float(rate), np.uint64(key), float(smoothing), NOTHING.copy()
    if not rules.has_kernels(rule):
        parameters = state.memory[: state.parameters]
        gradient = state.memory[state.gradient : state.gradient + state.parameters]
        total = 0.0
        for step in range(steps):
            total = float(run(state, *data, step, step + 1, total, *how, *rules.no_rule(state.memory)))
            if not math.isfinite(total):
                break
            rule.apply(rate, parameters, gradient)
        return total / max(len(order), 1)
    running = rules.Running(rule, state.memory, state.parameters, state.gradient)
    total = _run_in_pieces(state, *data, steps, *how, *running.arguments)
    running.end(steps)
    return total / max(len(order), 1)


def predict(state: State, images: Array) -> Array:
    """Return the logits (N, classes) of images (N, *shape)."""
    logits = np.empty(len(images) * state.classes, np.float32)
    labels, order = np.zeros(len(images), np.int32), np.arange(len(images))
    _run_in_pieces(
        state, _readonly(images, np.float32), _readonly(labels, np.int32), order, state.chunk,
        -(-len(images) // state.chunk), False, 0.0, np.uint64(0), 0.0, logits, *rules.no_rule(state.memory),
    )  # fmt: skip
    return logits.reshape(len(images), state.classes)


def warm(state: State) -> None:
    """Compile the loop itself, by taking no step."""
    nothing = _readonly(NOTHING, np.float32), _readonly(NOTHING, np.int32), np.zeros(0, np.int64), 1
    how = True, 0.0, np.uint64(0), 0.0, NOTHING.copy()
    run(state, *nothing, 0, 0, 0.0, *how, *rules.no_rule(state.memory))


def trained(state: State, order: NDArray[np.int64], statistics: int) -> tuple[Array, Array]:
    """Return copies of the parameters, in a checkpoint's order, and of the running statistics."""
    parameters = np.empty(order.size, np.float32)
    parameters[order] = state.memory[: order.size]
    return parameters, state.memory[state.statistics : state.statistics + statistics].copy()


def _readonly(array: Array, dtype: Any) -> Array:
    """Flat, an image a row. To numba an array that may be written to is another type: one is enough."""
    view = np.ascontiguousarray(array, dtype).ravel()
    view.flags.writeable = False
    return view


def _run_in_pieces(
    state: State, images: Array, labels: Array, order: Array, batch: int, steps: int, *settings: Any
) -> float:
    """`run` all steps, some at a time, so that Ctrl-C need not wait for the last; return their loss.

    How many at a time depends on the clock, the result does not. A loss that is not finite ends it.
    """
    step, piece, total = 0, -(-PIECE_IMAGES // batch), 0.0
    while step < steps and math.isfinite(total):
        began, last = time.perf_counter(), min(step + piece, steps)
        total = float(run(state, images, labels, order, batch, step, last, total, *settings))
        step = last
        if time.perf_counter() - began < PIECE_S:
            piece *= 2
    return total


@entry
def run(  # type: ignore[no-untyped-def]
    state, images, labels, order, batch, first_step, last_step, total, training, rate, key, smoothing, logits,
    rule, kept, before,
):  # fmt: skip
    """Take the batches of `images[order]` from the first step to before the last; learn if `training`.

    Returns `total` plus their losses, or the first loss that is not finite: training stops there. Without
    training, only the logits are written. `before` steps were taken in earlier epochs.

    Shapes: images (N numbers of an image,), labels (N,), both read-only; order (M,), `batch` of it at a time;
        logits (M classes,), unless training; rule and kept as in kernels/rules.py.
    """
    chosen = np.empty(batch, labels.dtype)
    if not training:
        _run_hooks(state, 0, training, key)
    for step in range(first_step, last_step):
        first = step * batch
        n = min(batch, order.size - first)
        if not training:
            _place_images(state, images, order, first, 0, n)
            _run_part(state, 0, state.table.size, 0, n, training, key)
            for i in range(n):
                for k in range(state.classes):
                    logits[(first + i) * state.classes + k] = state.memory[state.y + i * state.y_size + k]
            continue
        for i in range(n):
            chosen[i] = labels[order[first + i]]
        loss = _learn(state, images, order, first, chosen[:n], smoothing, mix(key, step))
        total += loss
        if not np.isfinite(loss):
            return loss
        for number in range(rule.size):
            own = rule[number]
            call_rule(own.place, own, state.memory, kept, rate, before + step + 1)
    return total


@compiled
def _learn(state, images, order, at, labels, smoothing, key):  # type: ignore[no-untyped-def]
    """The loss of a batch, and its gradient."""
    n, parts = labels.size, 0
    for number in range(state.table.size):
        parts += state.table[number].waits
    _run_hooks(state, n, True, key)
    begin = 0
    for _ in range(parts):
        end = begin + 1
        while state.table[end].waits == 0:
            end += 1
        for first in range(0, n, state.chunk):
            last = min(first + state.chunk, n)
            if begin == 0:
                _place_images(state, images, order, at + first, first, last)
            _run_part(state, begin, end, first, last, True, mix(key, first))
        begin = end
    loss = 0.0
    for first in range(0, n, state.chunk):  # the last part, and back through it
        last = min(first + state.chunk, n)
        base = first if parts else 0
        if parts == 0:
            _place_images(state, images, order, at + first, 0, last - first)
        end = base + last - first
        _run_part(state, begin, state.table.size, base, end, True, mix(key, first))
        some = _start_back(state, base, labels[first:last], smoothing, n)
        loss += some
        if not np.isfinite(some):
            return loss
        _run_back(state, begin, state.table.size, base, end, mix(key, first))
    for _ in range(parts):
        end = begin
        begin -= 1
        while state.table[begin].waits == 0 and begin > 0:
            begin -= 1
        for first in range(0, n, state.chunk):
            _run_back(state, begin, end, first, min(first + state.chunk, n), mix(key, first))
    for number in range(state.table.size):
        op = state.table[number]
        if op.finish:
            call_operation(op.finish, op, state, 0, 0, True, key)
    return loss


@compiled
def _run_hooks(state, n, training, key):  # type: ignore[no-untyped-def]
    """Before a step of n images: gradients are 0, and each operation gets ready."""
    memory = state.memory
    if training:
        zero = fill(load(memory, 0), np.float32(0))
        for i in range(0, state.parameters, LANES):
            store(memory, state.gradient + i, zero)
    for number in range(state.table.size):
        op = state.table[number]
        if op.prepare:
            call_operation(op.prepare, op, state, 0, n, training, key)


@compiled
def _run_part(state, begin, end, first, last, training, key):  # type: ignore[no-untyped-def]
    """Images first to last, forward through the operations begin to end."""
    for number in range(begin, end):
        op = state.table[number]
        call_operation(op.forward, op, state, first, last, training, key)


@compiled
def _run_back(state, begin, end, first, last, key):  # type: ignore[no-untyped-def]
    """And back."""
    for number in range(end - 1, begin - 1, -1):
        op = state.table[number]
        if op.backward:
            call_operation(op.backward, op, state, first, last, True, key)


@compiled
def _start_back(state, first, labels, smoothing, n):  # type: ignore[no-untyped-def]
    """The loss of the images from `first` on, and its gradient, that of the mean of n."""
    y = part(state.memory, state.y + first * state.y_size)
    dy = part(state.memory, state.dy + first * state.y_size)
    loss = forward_cross_entropy(y, state.y_size, state.classes, labels, smoothing, dy)
    backward_cross_entropy(dy, state.y_size, state.classes, labels, smoothing, dy, n)
    return loss


@compiled
def _place_images(state, images, order, at, first, last):  # type: ignore[no-untyped-def]
    """Copy images[order[at]], ... (C, H, W) to where the first operation reads those, channels last."""
    memory, (h, w, c) = state.memory, state.shape
    for image in range(first, last):
        source, to = order[at + image - first] * h * w * c, state.x + image * state.x_size
        for channel in range(c):
            for i in range(h * w):
                memory[to + i * c + channel] = images[source + channel * h * w + i]
