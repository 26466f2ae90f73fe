"""Runs a network's table of operations: one compiled loop for an epoch, one for evaluation.

What costs, with small images and small batches, is not arithmetic but everything around it: here no
Python runs between the first step of an epoch and its last, and nothing is allocated.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cnn_core.layers.batch_norm2d import backward_batch_norm2d, forward_batch_norm2d
from cnn_core.layers.conv2d import backward_conv2d, forward_conv2d
from cnn_core.layers.cross_entropy import backward_cross_entropy, forward_cross_entropy
from cnn_core.layers.dropout import mix, scale_dropout
from cnn_core.layers.linear import backward_linear, forward_linear
from cnn_core.layers.max_pool2d import backward_max_pool2d, forward_max_pool2d
from cnn_core.layers.relu import backward_relu, forward_relu
from cnn_core.network import (
    BIAS,
    COLUMNS,
    CONV,
    DROPOUT,
    KIND,
    NORM,
    PADDING,
    POOL,
    POSITIONS,
    RELU,
    SIZE,
    STATS,
    STRIDE,
    WEIGHT,
    C,
    H,
    K,
    Network,
    P,
    Q,
    W,
    X,
    Y,
)  # fmt: skip

# Images an evaluation step: past 20 the time an image no longer falls, and buffers grow with it.
EVALUATION_BATCH = 50


@dataclass(frozen=True, eq=False)
class Buffers:
    """Everything a network needs to run, allocated once. One floating type throughout.

    Shapes: flat. Activations, their gradients and positions hold `capacity` images, columns `batch` of
    them: the operation's offset times that many, then image after image.
    """

    batch: int
    capacity: int
    activations: NDArray[np.floating]
    gradients: NDArray[np.floating]
    dparameters: NDArray[np.floating]
    batch_statistics: NDArray[np.floating]
    columns: NDArray[np.floating]
    scratch: NDArray[np.floating]
    positions: NDArray[np.int32]

    @classmethod
    def allocate(cls, network: Network, batch: int, dtype: type[np.floating] = np.float32) -> "Buffers":
        capacity = max(batch, EVALUATION_BATCH)
        return cls(
            batch,
            capacity,
            np.zeros(network.activations * capacity, dtype),
            np.zeros(network.activations * capacity, dtype),
            np.zeros(network.parameters, dtype),
            np.zeros(network.statistics, dtype),
            np.zeros(network.columns * batch, dtype),
            np.zeros(network.dcolumns + network.product, dtype),
            np.zeros(network.positions * capacity, np.int32),
        )

    def arrays(self) -> tuple[object, ...]:
        """What the compiled functions take, in their order."""
        return (
            self.batch, self.capacity, self.activations, self.gradients, self.dparameters,
            self.batch_statistics, self.columns, self.scratch, self.positions,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def run_epoch(table, parameters, statistics, buffers, images, labels, order, rate, dropout_rate, key):  # type: ignore[no-untyped-def]
    """Train on `images[order]` in batches, the last one smaller; return the mean training loss.

    Stops at the first loss that is not finite and returns it. `key` (uint64) names this epoch's dropout.

    Shapes: images (N, C, H, W), labels (N,), order a permutation of N.
    """
    batch, activations = buffers[0], buffers[2]
    dparameters = buffers[4]
    pixels = images[0].size
    flat = images.reshape(images.shape[0], pixels)
    chosen = np.empty(batch, labels.dtype)
    total = 0.0
    for step in range((order.size + batch - 1) // batch):
        n = min(batch, order.size - step * batch)
        for i in range(n):
            image = order[step * batch + i]
            for pixel in range(pixels):
                activations[i * pixels + pixel] = flat[image, pixel]
            chosen[i] = labels[image]
        loss, _ = run_step(table, parameters, statistics, buffers, chosen[:n], dropout_rate, mix(key, step))
        total += loss
        if not np.isfinite(loss):
            return loss
        for i in range(parameters.size):
            parameters[i] -= rate * dparameters[i]
    return total / order.size


@njit(cache=True, nogil=True)
def run_step(table, parameters, statistics, buffers, labels, dropout_rate, key):  # type: ignore[no-untyped-def]
    """Forward and backward for the images that lie in the activations; gradients of the mean loss.

    Returns (sum of the losses, how many were right). Gradients are overwritten, never added to: in the
    course report they accumulated from batch to batch (docs/report.md).
    """
    capacity, activations, gradients = buffers[1], buffers[2], buffers[3]
    n = labels.size
    _forward(table, parameters, statistics, buffers, n, dropout_rate, key, True)
    at, classes = table[-1, Y] * capacity, table[-1, K]
    logits = activations[at : at + n * classes].reshape(n, classes)
    upstream = gradients[at : at + n * classes].reshape(n, classes)
    loss, right = forward_cross_entropy(logits, labels, upstream)
    backward_cross_entropy(upstream, labels, upstream)
    _backward(table, parameters, buffers, n, dropout_rate, key)
    return loss, right


@njit(cache=True, nogil=True)
def run_evaluation(table, parameters, statistics, buffers, images, labels):  # type: ignore[no-untyped-def]
    """Return (mean loss, share of images whose label is on top), with running statistics, without dropout."""
    logits = run_prediction(table, parameters, statistics, buffers, images)
    loss, right = forward_cross_entropy(logits, labels, logits)
    return loss / labels.size, right / labels.size


@njit(cache=True, nogil=True)
def run_prediction(table, parameters, statistics, buffers, images):  # type: ignore[no-untyped-def]
    """Return the logits (N, classes) of images (N, C, H, W)."""
    capacity, activations = buffers[1], buffers[2]
    pixels = images[0].size
    flat = images.reshape(images.size)
    classes = table[-1, K]
    at = table[-1, Y] * capacity
    logits = np.empty((images.shape[0], classes), activations.dtype)
    for first in range(0, images.shape[0], EVALUATION_BATCH):
        n = min(EVALUATION_BATCH, images.shape[0] - first)
        for pixel in range(n * pixels):
            activations[pixel] = flat[first * pixels + pixel]
        _forward(table, parameters, statistics, buffers, n, 0.0, np.uint64(0), False)
        for i in range(n):
            for k in range(classes):
                logits[first + i, k] = activations[at + i * classes + k]
    return logits


@njit(cache=True, nogil=True)
def _forward(table, parameters, statistics, buffers, n, dropout_rate, key, training):  # type: ignore[no-untyped-def]
    batch, capacity, activations, _, _, batch_statistics, columns, _, positions = buffers
    for number in range(table.shape[0]):
        op = table[number]
        c, h, w, k, p, q = op[C], op[H], op[W], op[K], op[P], op[Q]
        x = activations[op[X] * capacity : op[X] * capacity + n * c * h * w]
        y = activations[op[Y] * capacity : op[Y] * capacity + n * k * p * q]
        if op[KIND] == CONV:
            window = c * op[SIZE] * op[SIZE]
            used = columns[op[COLUMNS] * batch : op[COLUMNS] * batch + batch * window * p * q]
            forward_conv2d(
                x.reshape(n, c, h, w), parameters[op[WEIGHT] : op[BIAS]].reshape(k, window),
                parameters[op[BIAS] : op[BIAS] + k], op[SIZE], op[STRIDE], op[PADDING],
                used.reshape(batch, window, p * q), y.reshape(n, k, p, q),
            )  # fmt: skip
        elif op[KIND] == NORM:
            at = op[STATS]
            forward_batch_norm2d(
                x.reshape(n, c, h * w),
                parameters[op[WEIGHT] : op[WEIGHT] + c], parameters[op[BIAS] : op[BIAS] + c],
                statistics[at : at + c], statistics[at + c : at + 2 * c], batch_statistics[at : at + c],
                batch_statistics[at + c : at + 2 * c], training, y.reshape(n, c, h * w),
            )  # fmt: skip
        elif op[KIND] == RELU:
            forward_relu(x, y)
        elif op[KIND] == DROPOUT:
            if training:
                scale_dropout(x, dropout_rate, mix(key, number), y)
            else:
                for i in range(x.size):
                    y[i] = x[i]
        elif op[KIND] == POOL:
            at = op[POSITIONS] * capacity
            forward_max_pool2d(
                x.reshape(n, c, h, w), op[SIZE], y.reshape(n, k, p, q),
                positions[at : at + n * k * p * q].reshape(n, k, p, q),
            )  # fmt: skip
        else:
            d = c * h * w
            forward_linear(
                x.reshape(n, d), parameters[op[WEIGHT] : op[BIAS]].reshape(k, d),
                parameters[op[BIAS] : op[BIAS] + k], y.reshape(n, k),
            )  # fmt: skip


@njit(cache=True, nogil=True)
def _backward(table, parameters, buffers, n, dropout_rate, key):  # type: ignore[no-untyped-def]
    batch, capacity, activations, gradients, dparameters, batch_statistics, columns, scratch, positions = (
        buffers
    )
    for number in range(table.shape[0] - 1, -1, -1):
        op = table[number]
        c, h, w, k, p, q = op[C], op[H], op[W], op[K], op[P], op[Q]
        x = activations[op[X] * capacity : op[X] * capacity + n * c * h * w]
        y = activations[op[Y] * capacity : op[Y] * capacity + n * k * p * q]
        dx = gradients[op[X] * capacity : op[X] * capacity + n * c * h * w]
        dy = gradients[op[Y] * capacity : op[Y] * capacity + n * k * p * q]
        wants_dx = number > 0
        if op[KIND] == CONV:
            window = c * op[SIZE] * op[SIZE]
            used = columns[op[COLUMNS] * batch : op[COLUMNS] * batch + batch * window * p * q]
            backward_conv2d(
                dy.reshape(n, k, p, q), used.reshape(batch, window, p * q),
                parameters[op[WEIGHT] : op[BIAS]].reshape(k, window), op[SIZE], op[STRIDE], op[PADDING],
                dparameters[op[WEIGHT] : op[BIAS]].reshape(k, window), dparameters[op[BIAS] : op[BIAS] + k],
                scratch[scratch.size - k * window :].reshape(k, window),
                scratch[: window * p * q].reshape(window, p * q), dx.reshape(n, c, h, w), wants_dx,
            )  # fmt: skip
        elif op[KIND] == NORM:
            at = op[STATS]
            backward_batch_norm2d(
                dy.reshape(n, c, h * w), x.reshape(n, c, h * w), parameters[op[WEIGHT] : op[WEIGHT] + c],
                batch_statistics[at : at + c], batch_statistics[at + c : at + 2 * c],
                dparameters[op[WEIGHT] : op[WEIGHT] + c], dparameters[op[BIAS] : op[BIAS] + c],
                dx.reshape(n, c, h * w), wants_dx,
            )  # fmt: skip
        elif op[KIND] == RELU:
            backward_relu(dy, y, dx)
        elif op[KIND] == DROPOUT:
            scale_dropout(dy, dropout_rate, mix(key, number), dx)
        elif op[KIND] == POOL:
            at = op[POSITIONS] * capacity
            backward_max_pool2d(
                dy.reshape(n, k, p, q), positions[at : at + n * k * p * q].reshape(n, k, p, q),
                dx.reshape(n, c, h, w),
            )  # fmt: skip
        else:
            d = c * h * w
            backward_linear(
                dy.reshape(n, k), x.reshape(n, d), parameters[op[WEIGHT] : op[BIAS]].reshape(k, d),
                dparameters[op[WEIGHT] : op[BIAS]].reshape(k, d), dparameters[op[BIAS] : op[BIAS] + k],
                dx.reshape(n, d), wants_dx,
            )  # fmt: skip
