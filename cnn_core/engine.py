"""Runs a network's table of operations: one compiled loop for an epoch, one for evaluation.

What costs, with small images and small batches, is not arithmetic but everything around it: here no
Python runs between the first step of an epoch and its last, and nothing is allocated.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.cache import entry, kernel
from cnn_core.layers.batch_norm2d import backward_batch_norm2d, forward_batch_norm2d
from cnn_core.layers.conv2d import (
    backward_conv2d,
    backward_pooled_conv2d,
    forward_conv2d,
    frame_conv2d,
    pack_conv2d,
)
from cnn_core.layers.cross_entropy import backward_cross_entropy, forward_cross_entropy
from cnn_core.layers.dropout import mix, threshold_of
from cnn_core.layers.linear import backward_linear, forward_linear
from cnn_core.layers.max_pool2d import backward_max_pool2d, forward_max_pool2d
from cnn_core.layout import (
    BELOW,
    BIAS,
    CODES,
    CORNERS,
    DBIAS,
    DENSE,
    DPACKED,
    DROPOUT,
    DWEIGHT,
    DX,
    DY,
    EVALUATION_BATCH,
    FEATURES,
    FRAME_PITCH,
    FRAME_SIZE,
    FRAMES,
    INVERSE,
    KIND,
    LEVEL,
    MARGIN,
    MEAN,
    PACKED,
    PADDING,
    PAIRED,
    PATCH_W,
    PATCH_X,
    PLACES,
    ROUTED,
    ROW_N,
    ROW_W,
    ROW_X,
    ROWS,
    SCALE,
    SHIFT,
    SHIFTS,
    SIZE,
    STATS,
    STRIDE,
    TAPS,
    TILT,
    VALUES,
    WEIGHT,
    WHOLE,
    WIDTH,
    WINDOW_ROWS,
    WINDOWS,
    X_PITCH,
    X_SIZE,
    Y_FIRST,
    Y_PITCH,
    Y_SIZE,
    C,
    H,
    K,
    P,
    Q,
    State,
    W,
    X,
    Y,
    allocate,
)  # fmt: skip
from cnn_core.network import CONV, NORM, POOL, Network
from cnn_core.simd import HALF, LANES, fill, fma, interleave, load, load_half, part, store

__all__ = ["State", "allocate", "evaluate", "predict", "train_epoch", "trained"]

Array = NDArray[Any]
Labels = NDArray[np.int32]
Order = NDArray[np.int64]


def train_epoch(
    state: State, images: Array, labels: Labels, order: Order, batch: int, rate: float, dropout_rate: float,
    key: int,
) -> float:  # fmt: skip
    """Train on `images[order]` in batches, the last one smaller; return the mean training loss.

    `key`, below 2^64, names this epoch's dropout. Shapes: images (N, C, H, W), labels (N,), order (M,).
    """
    kind = state.memory.dtype.type
    if batch > state.batch or len(images) != len(labels):
        found = f"batches of {batch}, {len(images)} images, {len(labels)} labels"
        raise ValueError(f"{found}: room is for batches of {state.batch}, each image wants a label")
    with np.errstate(over="ignore"):  # of a rate that diverges at once
        rate = kind(rate)
    loss = run(
        state, _readonly(images, kind), _readonly(labels, np.int32), order, batch, True, rate,
        float(dropout_rate), np.uint64(key), np.empty(0, kind),
    )  # fmt: skip
    return float(loss)


def predict(state: State, images: Array) -> Array:
    """Return the logits (N, classes) of images (N, C, H, W)."""
    kind, count, classes = state.memory.dtype.type, len(images), int(state.table[-1, K])
    logits = np.empty(count * classes, kind)
    labels, order = np.zeros(count, np.int32), np.arange(count)
    run(
        state,
        _readonly(images, kind),
        _readonly(labels, np.int32),
        order,
        EVALUATION_BATCH,
        False,
        kind(0),
        0.0,
        np.uint64(0),
        logits,
    )
    return logits.reshape(count, classes)


def evaluate(state: State, images: Array, labels: Labels) -> tuple[float, float]:
    """Return (mean cross-entropy, share of images whose label is on top); a NaN counts as wrong."""
    logits = predict(state, images).astype(np.float64)
    rows = np.arange(len(labels))
    with np.errstate(invalid="ignore"):  # of a training that has diverged
        logits -= logits.max(axis=1, keepdims=True)
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[rows, labels]
    right = (logits.argmax(axis=1) == labels) & np.isfinite(losses)
    return float(losses.mean()), float(right.mean())


def trained(state: State, network: Network) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return copies of the parameters and of the running statistics."""
    at = state.statistics
    return state.memory[: network.parameters].copy(), state.memory[at : at + network.statistics].copy()


def _readonly(array: Array, dtype: Any) -> Array:
    """To numba an array that may be written to is another type: one compilation is enough."""
    view = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view


@entry
def run(state, images, labels, order, batch, training, rate, dropout_rate, key, logits):  # type: ignore[no-untyped-def]
    """Take `images[order]` through the network in batches, the last one smaller; learn if `training`.

    Returns the mean loss, or the first one that is not finite: training stops there. Each step overwrites
    the gradients; in the course report they accumulated from batch to batch (docs/report.md). Without
    training, running statistics are used, nothing is dropped, and only the logits are written.

    Shapes: images (N, C, H, W), read-only; labels (N,) int32; order (M,), `batch` of it at a time; `rate` of
        the gradient descent; `key` (uint64) names this epoch's dropout; logits (M classes,), unless training.
    """
    table, memory = state.table, state.memory
    last = table[-1]
    y, dy, size, classes = part(memory, last[Y]), part(memory, last[DY]), last[Y_SIZE], last[K]
    chosen = np.empty(batch, labels.dtype)
    total = 0.0
    pack_weights(state, training)
    for step in range((order.size + batch - 1) // batch):
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
        loss = forward_cross_entropy(y, size, classes, chosen[:n], dy)
        total += loss
        if not np.isfinite(loss):
            return loss
        backward_cross_entropy(dy, size, classes, chosen[:n], dy)
        for number in range(table.shape[0] - 1, -1, -1):
            run_backward(state, number, n, dropout_rate)
        update(state, rate)
        pack_weights(state, training)
    return total / max(order.size, 1)


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
    channels, height, columns, padding = first[C], first[H], first[W], first[PADDING]
    start, pitch = first[X] + i * first[X_SIZE], first[X_PITCH]
    if first[PAIRED]:
        below = first[BELOW]
        rows = below - first[STRIDE] + first[SIZE]
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
        if op[KIND] == CONV:
            weight, taps = part(memory, op[WEIGHT]), op[CORNERS] - op[TAPS]
            pack_conv2d(
                weight, part(memory, op[BIAS]), op[K], taps, op[PAIRED], op[WIDTH], part(memory, op[PACKED])
            )
            if training and number > 0:
                frame_conv2d(
                    weight, op[K], op[SIZE], op[SIZE] * op[C], op[MARGIN], op[FRAME_PITCH], op[FRAME_SIZE],
                    part(memory, op[FRAMES]),
                )  # fmt: skip


@kernel
def run_forward(state, number, n, training, dropout_rate, key):  # type: ignore[no-untyped-def]
    """The forward pass of one operation for n images."""
    op, memory, offsets = state.table[number], state.memory, state.offsets
    x, y = part(memory, op[X]), part(memory, op[Y])
    scale, shift = part(memory, op[SCALE]), part(memory, op[SHIFT])
    if op[KIND] == CONV:
        places, taps, packed = part(offsets, op[PLACES]), part(offsets, op[TAPS]), part(memory, op[PACKED])
        places_n, taps_n = op[TAPS] - op[PLACES], op[CORNERS] - op[TAPS]
        if op[PAIRED]:
            forward_conv2d(
                x, op[X_SIZE], places, places_n, taps, taps_n, packed, op[WIDTH], op[PAIRED], y, op[Y_SIZE], n
            )
        else:
            forward_conv2d(
                x, op[X_SIZE], places, places_n, taps, taps_n, packed, op[WIDTH], None, y, op[Y_SIZE], n
            )
    elif op[KIND] == NORM:
        forward_batch_norm2d(
            x, op[X_SIZE], op[WIDTH], op[C], op[PAIRED], op[ROWS], op[WHOLE], op[P], op[Q],
            part(memory, op[WEIGHT]), part(memory, op[BIAS]), part(memory, op[STATS]), training,
            part(memory, op[MEAN]), part(memory, op[INVERSE]), scale, shift, state.sums, n,
        )  # fmt: skip
    elif op[KIND] == POOL:
        threshold = threshold_of(dropout_rate if op[DROPOUT] and training else 0.0)
        forward_max_pool2d(
            x, op[X_SIZE], op[X_PITCH], op[WIDTH], scale, shift, threshold, mix(key, number), y, op[Y_SIZE],
            op[Y_FIRST], op[Y_PITCH], op[K], op[PAIRED], op[WINDOW_ROWS], op[P], op[Q],
            part(state.codes, op[CODES]), n,
        )  # fmt: skip
    else:
        weight, bias = part(memory, op[WEIGHT]), part(memory, op[BIAS])
        forward_linear(x, op[X_SIZE], weight, bias, op[FEATURES], op[K], y, op[Y_SIZE], n)


@kernel
def run_backward(state, number, n, dropout_rate):  # type: ignore[no-untyped-def]
    """The backward pass of one operation for n images."""
    op, memory, offsets = state.table[number], state.memory, state.offsets
    x, dx, dy = part(memory, op[X]), part(memory, op[DX]), part(memory, op[DY])
    dweight, dbias = part(memory, op[DWEIGHT]), part(memory, op[DBIAS])
    codes, routed = part(state.codes, op[CODES]), part(memory, op[ROUTED])
    if op[KIND] == CONV and op[DENSE]:
        places, taps, dpacked = part(offsets, op[PLACES]), part(offsets, op[TAPS]), part(memory, op[DPACKED])
        places_n, taps_n = op[TAPS] - op[PLACES], op[CORNERS] - op[TAPS]
        if op[PAIRED]:
            backward_conv2d(
                dy, op[Y_SIZE], x, op[X_SIZE], places, places_n, taps, taps_n, op[K], op[WIDTH], op[PAIRED],
                dpacked, dweight, dbias, n,
            )  # fmt: skip
        else:
            backward_conv2d(
                dy, op[Y_SIZE], x, op[X_SIZE], places, places_n, taps, taps_n, op[K], op[WIDTH], None,
                dpacked, dweight, dbias, n,
            )  # fmt: skip
    elif op[KIND] == CONV:
        backward_pooled_conv2d(
            routed, codes, op[WINDOWS], op[WIDTH], x, op[X_SIZE], part(memory, op[FRAMES]), op[FRAME_SIZE],
            op[K], op[CORNERS] - op[TAPS], part(offsets, op[CORNERS]), part(offsets, op[ROW_X]),
            part(offsets, op[ROW_W]), part(offsets, op[ROW_N]), op[ROW_N] - op[ROW_W],
            part(offsets, op[PATCH_X]), part(offsets, op[PATCH_W]), op[SHIFTS] - op[PATCH_W],
            part(offsets, op[SHIFTS]), dweight, dbias, dx, number > 0, state.lists,
            part(memory, op[VALUES]), n,
        )  # fmt: skip
    elif op[KIND] == NORM:
        backward_batch_norm2d(
            routed, codes, op[WINDOW_ROWS], op[WINDOWS] // op[WINDOW_ROWS], x, op[X_SIZE], op[WIDTH], op[C],
            op[PAIRED], op[ROWS], op[WHOLE], op[P], op[Q], part(memory, op[MEAN]), part(memory, op[INVERSE]),
            part(memory, op[SCALE]), part(memory, op[TILT]), part(memory, op[LEVEL]), dweight, dbias, dx,
            state.sums, n,
        )  # fmt: skip
    elif op[KIND] == POOL:
        threshold = threshold_of(dropout_rate if op[DROPOUT] else 0.0)
        backward_max_pool2d(
            dy, op[Y_SIZE], op[Y_FIRST], op[Y_PITCH], op[K], op[PAIRED], op[WINDOW_ROWS], op[P], op[Q], codes,
            op[WIDTH], threshold, routed, n,
        )  # fmt: skip
    else:
        backward_linear(
            dy,
            op[Y_SIZE],
            x,
            op[X_SIZE],
            part(memory, op[WEIGHT]),
            op[FEATURES],
            op[K],
            dweight,
            dbias,
            dx,
            n,
        )
