"""Runs a network's table of operations: one compiled loop for an epoch, one for evaluation.

What costs, with small images and small batches, is not arithmetic but everything around it: here no
Python runs between the first step of an epoch and its last, and nothing is allocated.
"""

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.fuse import CONV, NORM, POOL, Program
from cnn_core.kernels import rules
from cnn_core.kernels.activate_pool import backward_activate_pool, forward_activate_pool
from cnn_core.kernels.batch_norm import backward_batch_norm, forward_batch_norm
from cnn_core.kernels.cache import entry, kernel
from cnn_core.kernels.conv2d import (
    backward_conv2d,
    backward_pooled_conv2d,
    forward_conv2d,
    frame_conv2d,
    pack_conv2d,
)
from cnn_core.kernels.cross_entropy import backward_cross_entropy, forward_cross_entropy
from cnn_core.kernels.dropout import mix
from cnn_core.kernels.layout import EVALUATION_BATCH, State, allocate
from cnn_core.kernels.linear import backward_linear, forward_linear
from cnn_core.kernels.pointer import call_rule
from cnn_core.kernels.simd import HALF, LANES, fill, fma, interleave, load, load_half, part, store
from cnn_core.optimisers import Rule
from cnn_core.scores import judge

__all__ = ["State", "allocate", "evaluate", "predict", "train_epoch", "trained"]

PIECE_IMAGES, PIECE_S = 256, 0.05
"""A piece of an epoch has so many images at first, and twice as many as long as it takes less than that."""

Array = NDArray[Any]
Labels = NDArray[np.int32]
Order = NDArray[np.int64]


def train_epoch(
    state: State, images: Array, labels: Labels, order: Order, batch: int, rate: float, dropout_rate: float,
    key: int, rule: Rule | None = None, smoothing: float = 0.0,
) -> float:  # fmt: skip
    """Train on `images[order]` in batches, the last one smaller; return the mean training loss.

    `key`, below 2^64, names this epoch's dropout. By gradient descent, or by another `rule`; one that is not
    compiled is applied by Python after each step. `smoothing` is that of the loss.

    Shapes: images (N, C, H, W), labels (N,), order (M,).
    """
    kind = state.memory.dtype.type
    if batch > state.batch or len(images) != len(labels):
        found = f"batches of {batch}, {len(images)} images, {len(labels)} labels"
        raise ValueError(f"{found}: room is for batches of {state.batch}, each image wants a label")
    settings = float(dropout_rate), np.uint64(key), float(smoothing), np.empty(0, kind)
    images, labels = _readonly(images, kind), _readonly(labels, np.int32)
    if rule is not None and not rules.has_kernels(rule):
        return _run_by_steps(state, images, labels, order, batch, rate, rule, *settings)
    with np.errstate(over="ignore"):  # of a rate that diverges at once
        how = True, kind(rate), *settings
    if rule is None:
        none = rules.no_rule(state.memory)
        return _run_in_pieces(state, images, labels, order, batch, *how, *none)
    running = rules.Running(rule, state.memory, state.parameters, state.gradient)
    loss = _run_in_pieces(state, images, labels, order, batch, *how, *running.arguments)
    running.end(-(-len(order) // batch))
    return loss


def predict(state: State, images: Array) -> Array:
    """Return the logits (N, classes) of images (N, C, H, W)."""
    kind, count, classes = state.memory.dtype.type, len(images), int(state.table[-1]["k"])
    logits = np.empty(count * classes, kind)
    labels, order = np.zeros(count, np.int32), np.arange(count)
    _run_in_pieces(
        state, _readonly(images, kind), _readonly(labels, np.int32), order, EVALUATION_BATCH, False, kind(0),
        0.0, np.uint64(0), 0.0, logits, *rules.no_rule(state.memory),
    )  # fmt: skip
    return logits.reshape(count, classes)


def evaluate(state: State, images: Array, labels: Labels) -> tuple[float, NDArray[np.bool_]]:
    """Return (mean cross-entropy, whether each image's label is on top); a NaN counts as wrong."""
    return judge(predict(state, images), labels)


def trained(state: State, network: Program) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return copies of the parameters and of the running statistics."""
    at = state.statistics
    return state.memory[: network.parameters].copy(), state.memory[at : at + network.statistics].copy()


def _readonly(array: Array, dtype: Any) -> Array:
    """To numba an array that may be written to is another type: one compilation is enough."""
    view = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view


def _run_in_pieces(
    state: State, images: Array, labels: Array, order: Order, batch: int, *settings: Any
) -> float:
    """`run` all steps, some at a time, so that Ctrl-C need not wait for the last; return the mean loss.

    How many at a time depends on the clock, the result does not. A loss that is not finite ends it.
    """
    steps, step, piece, total = -(-len(order) // batch), 0, -(-PIECE_IMAGES // batch), 0.0
    while step < steps and math.isfinite(total):
        began, last = time.perf_counter(), min(step + piece, steps)
        total = float(run(state, images, labels, order, batch, step, last, total, *settings))
        step = last
        if time.perf_counter() - began < PIECE_S:
            piece *= 2
    return total / max(len(order), 1)


def _run_by_steps(
    state: State,
    images: Array,
    labels: Array,
    order: Order,
    batch: int,
    rate: float,
    rule: Rule,
    *settings: Any,
) -> float:
    """`run` step by step at rate 0, each followed by the rule's; return the mean loss."""
    parameters = state.memory[: state.parameters]
    gradient = state.memory[state.gradient : state.gradient + state.parameters]
    total, how = 0.0, (True, state.memory.dtype.type(0), *settings, *rules.no_rule(state.memory))
    for step in range(-(-len(order) // batch)):
        total = float(run(state, images, labels, order, batch, step, step + 1, total, *how))
        if not math.isfinite(total):
            break
        rule.apply(rate, parameters, gradient)
    return total / max(len(order), 1)


@entry
def run(  # type: ignore[no-untyped-def]
    state, images, labels, order, batch, first_step, last_step, total, training, rate, dropout_rate, key,
    smoothing, logits, rule, kept, before,
):  # fmt: skip
    """Take the batches of `images[order]` from the first step to before the last; learn if `training`.

    Returns `total` plus their losses, or the first loss that is not finite: training stops there. Each step
    overwrites the gradients; in the report they accumulated from batch to batch (docs/course-report.md).
    Without training, running statistics are used, nothing is dropped, and only the logits are written.

    Shapes: images (N, C, H, W), read-only; labels (N,) int32; order (M,), `batch` of it at a time; `rate` of
        the gradient descent; `key` (uint64) names this epoch's dropout; `smoothing` of the loss; logits
        (M classes,), unless training; rule, kept and `before`, the steps of earlier epochs, as in
        kernels/rules.py, in place of gradient descent if the rule has parts.
    """
    table, memory = state.table, state.memory
    last = table[-1]
    y, dy, size, classes = part(memory, last.y), part(memory, last.dy), last.y_size, last.k
    chosen = np.empty(batch, labels.dtype)
    pack_weights(state, training)
    for step in range(first_step, last_step):
        first = step * batch
        n = min(batch, order.size - first)
        for i in range(n):
            place_image(state, i, images, order[first + i])
            chosen[i] = labels[order[first + i]]
        for number in range(table.shape[0]):
            run_forward(state, number, n, training, dropout_rate, mix(key, step))
        if not training:
            for i in range(n):
                for k in range(classes):
                    logits[(first + i) * classes + k] = y[i * size + k]
            continue
        loss = forward_cross_entropy(y, size, classes, chosen[:n], smoothing, dy)
        total += loss
        if not np.isfinite(loss):
            return loss
        backward_cross_entropy(dy, size, classes, chosen[:n], smoothing, dy, n)
        for number in range(table.shape[0] - 1, -1, -1):
            run_backward(state, number, n, dropout_rate)
        if rule.size == 0:
            update(state, rate)
        for number in range(rule.size):
            own = rule[number]
            call_rule(own.place, own, memory, kept, np.float64(rate), before + step + 1)
        pack_weights(state, training)
    return total


@kernel
def update(state, rate):  # type: ignore[no-untyped-def]
    """Gradient descent: parameters -= rate gradients."""
    step = fill(load(state.memory, 0), -rate)
    for i in range(0, state.parameters, LANES):
        store(state.memory, i, fma(step, load(state.memory, state.gradient + i), load(state.memory, i)))


@kernel
def place_image(state, i, images, chosen):  # type: ignore[no-untyped-def]
    """Copy images[chosen] (C, H, W) to where the first operation reads its i-th one.

    There it lies with channels last; or, for a paired convolution, as (C, rows, W, 2): each pixel beside the
    one that is `below` rows below it.
    """
    first, x = state.table[0], state.memory
    channels, height, columns, padding = first.c, first.h, first.w, first.padding
    start, pitch = first.x + i * first.x_size, first.x_pitch
    if first.paired:
        below = first.below
        rows = below - first.stride + first.size
        flat = images.reshape(images.size)
        for c in range(channels):
            for row in range(rows):
                to = start + (c * rows + row) * pitch + 2 * padding
                upper, lower = row - padding, row - padding + below
                both = upper >= 0 and lower < height and columns >= HALF
                at = ((chosen * channels + c) * height + upper) * columns
                if both:
                    for w in range(0, columns, HALF):
                        w = min(w, columns - HALF)
                        pixels = interleave(
                            load_half(flat, at + w), load_half(flat, at + below * columns + w)
                        )
                        store(x, to + 2 * w, pixels)
                for half in range(2):
                    if not both and 0 <= upper + half * below < height:
                        for w in range(columns):
                            x[to + 2 * w + half] = flat[at + half * below * columns + w]
    else:
        for c in range(channels):
            for h in range(height):
                at = start + (h + padding) * pitch + padding * channels + c
                for w in range(columns):
                    x[at + w * channels] = images[chosen, c, h, w]


@kernel
def pack_weights(state, training):  # type: ignore[no-untyped-def]
    """Lay every convolution's weights out as its passes read them, for the backward one in training only."""
    memory = state.memory
    for number in range(state.table.shape[0]):
        op = state.table[number]
        if op.kind == CONV:
            weight, taps = part(memory, op.weight), op.corners - op.taps
            pack_conv2d(
                weight, part(memory, op.bias), op.k, taps, op.paired, op.width, part(memory, op.packed)
            )
            if training and number > 0:
                frame_conv2d(op, state)


@kernel
def run_forward(state, number, n, training, dropout_rate, key):  # type: ignore[no-untyped-def]
    """The forward pass of one operation for n images."""
    op = state.table[number]
    if op.kind == CONV and op.paired:
        forward_conv2d(op, state, op.paired, n)
    elif op.kind == CONV:
        forward_conv2d(op, state, None, n)
    elif op.kind == NORM:
        forward_batch_norm(op, state, training, n)
    elif op.kind == POOL:
        rate = dropout_rate if op.dropout and training else 0.0
        forward_activate_pool(op, state, rate, mix(key, number), n)
    else:
        forward_linear(op, state, n)


@kernel
def run_backward(state, number, n, dropout_rate):  # type: ignore[no-untyped-def]
    """The backward pass of one operation for n images."""
    op = state.table[number]
    if op.kind == CONV and not op.dense:
        backward_pooled_conv2d(op, state, number > 0, n)
    elif op.kind == CONV and op.paired:
        backward_conv2d(op, state, op.paired, n)
    elif op.kind == CONV:
        backward_conv2d(op, state, None, n)
    elif op.kind == NORM:
        backward_batch_norm(op, state, n)
    elif op.kind == POOL:
        backward_activate_pool(op, state, dropout_rate if op.dropout else 0.0, n)
    else:
        backward_linear(op, state, n)
