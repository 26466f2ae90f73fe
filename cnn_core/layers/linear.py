"""Linear layer, also called fully connected or dense.

    y[n,k] = bias[k] + sum over d of weight[k,d] x[n,d]

    dweight[k,d] = sum over n of dy[n,k] x[n,d];  dbias[k] = sum over n of dy[n,k];
    dx[n,d] = sum over k of dy[n,k] weight[k,d]

Shapes: x, dx (N, D); weight (K, D); bias (K,); y, dy (N, K), K = outputs.
Initialisation: weight normal with standard deviation gain / sqrt(D), bias 0. A gain of sqrt(2) keeps the
    variance of what passes a ReLU (He et al., ICCV 2015); 1 suits tanh and the last layer.
"""

import math
from dataclasses import dataclass

import numpy as np

from cnn_core.config import ConfigError
from cnn_core.layers.layer import Array, Layer, Shape, text


@dataclass(frozen=True)
class Linear(Layer):
    """K = `outputs` weighted sums of all D features, each with its own bias."""

    outputs: int
    gain: float = math.sqrt(2)

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ConfigError(f"takes a vector, found {text(shape)}; write Flatten() before it")
        return (self.outputs,)

    def parameters(self, shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
        weight = rng.standard_normal((self.outputs, shape[0])) * self.gain / math.sqrt(shape[0])
        return {"weight": weight, "bias": np.zeros(self.outputs)}

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        return x @ weight.T + bias

    def backward(self, dy: Array, x: Array, weight: Array, bias: Array) -> tuple[Array, Array, Array]:
        return dy @ weight, dy.T @ x, dy.sum(axis=0)
