"""The network in plain NumPy, as the layers' docstrings say it: what the engine is held against.

Images are (N, H, W, C) here, the mathematics one window at a time, nothing fused and nothing left out: the
convolutions' gradients are made in full, with all the zeros that pooling leaves in them.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cnn_core import layout
from cnn_core.layers.batch_norm2d import EPSILON, MOMENTUM
from cnn_core.network import CONV, NORM, POOL, Network, Operation

Array = np.ndarray[Any, np.dtype[Any]]
MASK = 2**64 - 1


def mix(key: int, counter: int) -> int:
    """SplitMix64's finaliser, in Python's whole numbers."""
    z = (key + counter * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@dataclass
class Step:
    """What one step gives; `loss` is the sum over the images."""

    logits: Array
    loss: float = 0.0
    gradient: Array = field(default_factory=lambda: np.empty(0))
    statistics: Array = field(default_factory=lambda: np.empty(0))


def run(
    network: Network, parameters: Array, statistics: Array, images: Array, labels: Array, *,
    training: bool = True, dropout_rate: float = 0.0, key: int = 0,
) -> Step:  # fmt: skip
    """Forward, and in training backward for the mean loss, of one batch (N, C, H, W)."""
    statistics = statistics.copy()
    gradient = np.zeros_like(parameters)
    table = layout.allocate(network, parameters, statistics, len(images)).table
    x = images.transpose(0, 2, 3, 1)
    kept: list[Any] = []
    for number, op in enumerate(network.operations):
        weight, bias = parameters[op.weight : op.bias], parameters[op.bias : op.end]
        if op.kind == CONV:
            kept.append(x := np.pad(x, ((0, 0), *2 * ((op.padding, op.padding),), (0, 0))))
            x = convolve(x, weight.reshape(op.after[2], op.size, op.size, -1), bias, op)
        elif op.kind == NORM:
            running = statistics[op.statistics : op.statistics + 2 * x.shape[3]].reshape(2, -1)
            mean, var = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if training else running
            count = x[..., 0].size
            if training:
                unbiased = var * count / max(count - 1, 1)
                running[:] = MOMENTUM * running + (1 - MOMENTUM) * np.stack([mean, unbiased])
            z = (x - mean) / np.sqrt(var + EPSILON)
            kept.append((z, var))
            x = weight * z + bias
        elif op.kind == POOL:
            rate = dropout_rate if training and op.dropout else 0.0
            mask = draw(x.shape, table[number], rate, mix(key, number))
            active = (x > 0) * mask
            x = np.where(x < 0, 0, x) * mask
            h, w = op.after[:2]
            windows = x[:, : 2 * h, : 2 * w].reshape(len(x), h, 2, w, 2, -1).transpose(0, 1, 3, 5, 2, 4)
            windows = windows.reshape(len(x), h, w, -1, 4)
            kept.append((active, windows.argmax(-1)))
            x = windows.max(-1)
        else:
            kept.append(x := x.reshape(len(x), -1))
            x = x @ weight.reshape(op.after[2], -1).T + bias
    shifted = x - x.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    rows = np.arange(len(labels))
    step = Step(x, float(-log_p[rows, labels].sum()), gradient, statistics)
    if not training:
        return step
    dy = np.exp(log_p)
    dy[rows, labels] -= 1
    dy /= len(labels)
    for op, saved in zip(network.operations[::-1], kept[::-1], strict=True):
        weight = parameters[op.weight : op.bias]
        dweight, dbias = gradient[op.weight : op.bias], gradient[op.bias : op.end]
        if op.kind == CONV:
            dy = backward_convolve(
                dy, saved, weight.reshape(op.after[2], op.size, op.size, -1), op, dweight, dbias
            )
        elif op.kind == NORM:
            z, var = saved
            dweight[:], dbias[:] = (dy * z).sum((0, 1, 2)), dy.sum((0, 1, 2))
            dy = weight / np.sqrt(var + EPSILON) * (dy - dy.mean((0, 1, 2)) - z * (dy * z).mean((0, 1, 2)))
        elif op.kind == POOL:
            active, where = saved
            dx = np.zeros_like(active)
            for n, p, q, c in np.ndindex(dy.shape):
                i, j = divmod(where[n, p, q, c], 2)
                dx[n, 2 * p + i, 2 * q + j, c] = dy[n, p, q, c]
            dy = dx * active
        else:
            dweight[:], dbias[:] = (dy.T @ saved).ravel(), dy.sum(0)
            dy = (dy @ weight.reshape(op.after[2], -1)).reshape(-1, *op.before)
    return step


def convolve(x: Array, weight: Array, bias: Array, op: Operation) -> Array:
    """Shapes: x (N, H, W, C) with its padding, weight (K, R, R, C), result (N, P, Q, K)."""
    p, q, k = op.after
    y = np.empty((len(x), p, q, k), x.dtype)
    for a, b in np.ndindex(p, q):
        y[:, a, b] = np.tensordot(window(x, a, b, op), weight, ([1, 2, 3], [1, 2, 3])) + bias
    return y


def backward_convolve(
    dy: Array, x: Array, weight: Array, op: Operation, dweight: Array, dbias: Array
) -> Array:
    """Fill dweight and dbias; return dx without the padding."""
    dx = np.zeros_like(x)
    for a, b in np.ndindex(*op.after[:2]):
        dweight += np.tensordot(dy[:, a, b], window(x, a, b, op), (0, 0)).ravel()
        window(dx, a, b, op)[:] += np.tensordot(dy[:, a, b], weight, (1, 0))
    dbias[:] = dy.sum((0, 1, 2))
    h, w = x.shape[1:3]
    return dx[:, op.padding : h - op.padding, op.padding : w - op.padding]


def window(x: Array, a: int, b: int, op: Operation) -> Array:
    return x[:, a * op.stride : a * op.stride + op.size, b * op.stride : b * op.stride + op.size]


def draw(shape: tuple[int, ...], row: Array, rate: float, key: int) -> Array:
    """What dropout multiplies each activation by, as `simd.draw` draws it for this CPU's layout."""
    mask = np.ones(shape)
    threshold = min(65535, int(rate * 65536 + 0.5))
    if threshold == 0:
        return mask
    width, paired, window_rows = (int(row[c]) for c in (layout.WIDTH, layout.PAIRED, layout.WINDOW_ROWS))
    words, columns = width // 4, shape[2] // 2
    for n in range(shape[0]):
        own = mix(key, n)
        for h, w, c in np.ndindex(shape[1] // 2 * 2, columns * 2, shape[3]):
            half, a = divmod(h // 2, window_rows) if paired else (0, h // 2)
            lane = 2 * c + half if paired else c
            place = ((a * columns + w // 2) * 4 + h % 2 * 2 + w % 2) * words + lane // 4
            bits = mix(own, place) >> (16 * (lane % 4)) & 0xFFFF
            mask[n, h, w, c] = 65536 / (65536 - threshold) if bits >= threshold else 0
    return mask
