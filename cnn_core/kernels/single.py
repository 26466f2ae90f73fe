"""Layers beside one of the user's own that is not compiled, from Python, as fast as is simple.

A line of KERNELS has a layer's two passes: as array expressions for all images at once where the textbook
goes image by image, compiled where NumPy has no such expression. What each computes stands in
`cnn_core.layers`; tests/cnn_core/test_composed.py holds the two to each other.
Arguments are those of the textbook's functions.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.layers import (
    GELU,
    BatchNorm2d,
    Conv2d,
    GlobalAvgPool2d,
    GroupNorm,
    InstanceNorm2d,
    Layer,
    LayerNorm,
    Linear,
    SpatialDropout,
)
from cnn_core.layers.batch_norm2d import EPSILON, MOMENTUM

Array = NDArray[Any]
Functions = tuple[Callable[..., Any], Callable[..., Any]]


def forward_conv2d(self: Conv2d, x: Array, weight: Array, bias: Array) -> Array:
    from cnn_core.kernels import patches

    N, P, Q = len(x), *self.output_shape(x.shape[1:])[1:]
    y = np.empty((N, self.filters, P * Q), x.dtype)
    patches.forward(_frame(self, x), weight.reshape(self.filters, -1), bias, self.size, self.stride, Q, y)
    return y.reshape(N, self.filters, P, Q)


def backward_conv2d(self: Conv2d, dy: Array, x: Array, weight: Array, _: Array) -> tuple[Array, ...]:
    from cnn_core.kernels import patches

    framed = _frame(self, x)
    dframed, dweight = np.zeros_like(framed), np.zeros((self.filters, weight[0].size), x.dtype)
    flat = dy.reshape(len(dy), self.filters, -1)
    patches.backward(
        flat, framed, weight.reshape(dweight.shape), self.size, self.stride, dy.shape[3], dframed, dweight
    )
    pad, (H, W) = self.padding, x.shape[2:]
    return dframed[:, :, pad : pad + H, pad : pad + W], dweight.reshape(weight.shape), flat.sum(axis=(0, 2))


def _frame(self: Conv2d, x: Array) -> Array:
    """x with its frame of zeros."""
    return np.pad(x, ((0, 0), (0, 0), *[(self.padding, self.padding)] * 2)) if self.padding else x


def forward_linear(self: Linear, x: Array, weight: Array, bias: Array) -> Array:
    from cnn_core.kernels import dense

    y = np.empty((len(x), self.outputs), x.dtype)
    dense.forward(x, weight, bias, y)
    return y


def backward_linear(_: Linear, dy: Array, x: Array, weight: Array, __: Array) -> tuple[Array, Array, Array]:
    from cnn_core.kernels import dense

    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    dense.backward(dy, x, weight, dx, dweight)
    return dx, dweight, dy.sum(axis=0)


def forward_gelu(self: GELU, x: Array) -> Array:  # noqa: ARG001
    from cnn_core.kernels import gelu

    y = np.empty_like(x)
    gelu.forward(x.ravel(), y.reshape(-1))
    return y


def backward_gelu(self: GELU, dy: Array, x: Array) -> Array:  # noqa: ARG001
    from cnn_core.kernels import gelu

    dx = np.empty_like(x)
    gelu.backward(dy.ravel(), x.ravel(), dx.reshape(-1))
    return dx


def _norm(axes: tuple[int, ...], grouped: Callable[[Any, Array], Array], gamma_at: slice) -> Functions:
    """A normalisation over `axes` of `grouped(self, x)`; gamma and beta lie at `gamma_at` of x's axes."""

    def spread(x: Array, parameter: Array) -> Array:
        shape = [1] * x.ndim
        shape[gamma_at] = parameter.shape
        return parameter.reshape(shape)

    def statistics(self: Any, x: Array) -> tuple[Array, Array]:
        groups = grouped(self, x)
        deviation = np.sqrt(groups.var(axis=axes, keepdims=True) + groups.dtype.type(EPSILON))
        return (groups - groups.mean(axis=axes, keepdims=True)) / deviation, deviation

    def forward(self: Any, x: Array, gamma: Array, beta: Array) -> Array:
        z, _ = statistics(self, x)
        y: Array = spread(x, gamma) * z.reshape(x.shape) + spread(x, beta)
        return y

    def backward(self: Any, dy: Array, x: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array]:
        z, deviation = statistics(self, x)
        others = tuple(a for a in range(x.ndim) if a not in range(x.ndim)[gamma_at])
        dgamma = (dy * z.reshape(x.shape)).sum(axis=others).reshape(gamma.shape)
        dbeta = dy.sum(axis=others).reshape(beta.shape)
        dz = grouped(self, spread(x, gamma) * dy)
        slope = (dz * z).mean(axis=axes, keepdims=True)
        dx = (dz - dz.mean(axis=axes, keepdims=True) - z * slope) / deviation
        return dx.reshape(x.shape), dgamma, dbeta

    return forward, backward


def _groups(self: GroupNorm, x: Array) -> Array:
    return x.reshape(len(x), self.groups, -1)


KERNELS: dict[type[Layer], Functions] = {
    Conv2d: (forward_conv2d, backward_conv2d),
    Linear: (forward_linear, backward_linear),
    GELU: (forward_gelu, backward_gelu),
    BatchNorm2d: _norm((0, 2, 3), lambda _, x: x, slice(1, 2)),
    InstanceNorm2d: _norm((2, 3), lambda _, x: x, slice(1, 2)),
    GroupNorm: _norm((2,), _groups, slice(1, 2)),
    LayerNorm: _norm((1,), lambda _, x: x.reshape(len(x), -1), slice(1, None)),
    SpatialDropout: (
        lambda self, x, noise: x * (noise >= self.rate)[:, :, None, None] / (1 - self.rate),
        lambda self, dy, _, noise: dy * (noise >= self.rate)[:, :, None, None] / (1 - self.rate),
    ),
    GlobalAvgPool2d: (
        lambda _, x: x.mean(axis=(2, 3)),
        lambda _, dy, x: np.broadcast_to(dy[:, :, None, None] / (x.shape[2] * x.shape[3]), x.shape),
    ),
}


def track_batch_norm(_: BatchNorm2d, x: Array, mean: Array, var: Array) -> None:
    M = x.size // x.shape[1]
    mean *= MOMENTUM
    mean += (1 - MOMENTUM) * x.mean(axis=(0, 2, 3))
    var *= MOMENTUM
    var += (1 - MOMENTUM) * x.var(axis=(0, 2, 3)) * (M / max(M - 1, 1))


TRACKS: dict[type[Layer], Callable[..., None]] = {BatchNorm2d: track_batch_norm}
"""track(layer, x, *statistics), as `Layer` has it."""


def track(layer: Layer, x: Array, *statistics: Array) -> None:
    """Let running averages follow the batch, in place."""
    TRACKS.get(type(layer), type(layer).track)(layer, x, *statistics)


def functions(layer: Layer) -> Functions:
    """A layer's two passes: the kernel if there is one, else the textbook's."""
    return KERNELS.get(type(layer), (type(layer).forward, type(layer).backward))
