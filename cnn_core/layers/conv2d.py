"""Convolution in two dimensions.

    y[n,k,p,q] = bias[k] + sum over c,r,s of weight[k,c,r,s] x[n, c, p stride + r, q stride + s]

x has `padding` rows and columns of zeros around it. Deep learning calls this convolution, mathematics
correlation. Each weight multiplies one shifted picture of x, and the pictures are added up: this is how it is
computed here. dx stands for the gradient of the loss with respect to x. From dy, which is given, the others
follow through the same products:

    dweight[k,c,r,s] = sum over n,p,q of dy[n,k,p,q] x[n, c, p stride + r, q stride + s]
    dbias[k] = sum over n,p,q of dy[n,k,p,q]
    dx[n, c, p stride + r, q stride + s] += weight[k,c,r,s] dy[n,k,p,q], for all k,p,q,r,s

Shapes: x, dx (N images, C channels, H rows, W columns); weight (K filters, C, R rows, S columns); bias (K,);
    y, dy (N, K, P rows, Q columns), P = (H + 2 padding - R) // stride + 1, and Q likewise. R = S = size.
Initialisation: weight normal with standard deviation gain / sqrt(C R S), bias 0. A gain of sqrt(2) keeps the
    variance of what passes a ReLU (He et al., ICCV 2015); 1 suits tanh.
Source: LeCun et al., Proceedings of the IEEE 86 (1998).
"""

import math
from dataclasses import dataclass

import numpy as np

from cnn_core.layers.layer import Array, Layer, Shape, windows


@dataclass(frozen=True)
class Conv2d(Layer):
    """K = `filters` kernels of `size` x `size`, moved by `stride` over an image framed by `padding` zeros."""

    filters: int
    size: int
    stride: int = 1
    padding: int = 0
    gain: float = math.sqrt(2)

    def output_shape(self, shape: Shape) -> Shape:
        _, P, Q = windows(shape, self.size, self.stride, self.padding)
        return self.filters, P, Q

    def parameters(self, shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
        weight = rng.standard_normal((self.filters, shape[0], self.size, self.size))
        fan_in = shape[0] * self.size * self.size
        return {"weight": weight * self.gain / math.sqrt(fan_in), "bias": np.zeros(self.filters)}

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        N, C, H, W = x.shape
        K, _, R, S = weight.shape
        pad, step = self.padding, self.stride
        P, Q = (H + 2 * pad - R) // step + 1, (W + 2 * pad - S) // step + 1

        framed = np.zeros((N, C, H + 2 * pad, W + 2 * pad), x.dtype)
        framed[:, :, pad : pad + H, pad : pad + W] = x
        y = np.empty((N, K, P, Q), x.dtype)
        for k in range(K):
            y[:, k] = bias[k]
        for k, c, r, s in np.ndindex(weight.shape):
            seen = framed[:, c, r : r + step * P : step, s : s + step * Q : step]
            y[:, k] += weight[k, c, r, s] * seen
        return y

    def backward(self, dy: Array, x: Array, weight: Array, bias: Array) -> tuple[Array, Array, Array]:
        N, C, H, W = x.shape
        _, K, P, Q = dy.shape
        pad, step = self.padding, self.stride

        framed = np.zeros((N, C, H + 2 * pad, W + 2 * pad), x.dtype)
        framed[:, :, pad : pad + H, pad : pad + W] = x
        dframed = np.zeros_like(framed)
        dweight, dbias = np.empty_like(weight), np.empty_like(bias)
        for k in range(K):
            dbias[k] = dy[:, k].sum()
        for k, c, r, s in np.ndindex(weight.shape):
            rows, columns = slice(r, r + step * P, step), slice(s, s + step * Q, step)
            dweight[k, c, r, s] = (dy[:, k] * framed[:, c, rows, columns]).sum()
            dframed[:, c, rows, columns] += weight[k, c, r, s] * dy[:, k]
        return dframed[:, :, pad : pad + H, pad : pad + W], dweight, dbias
