"""Dropout: zero each activation with probability `rate` in training; pass it through in evaluation.

    y = x / (1 - rate) where noise >= rate, 0 elsewhere;  dx = dy / (1 - rate) in the same places, 0 elsewhere

`noise` is uniform in [0, 1), drawn for each step by whoever runs the layer. Survivors are scaled, so the
expected output equals the input.

Shapes: x, y, dx, dy and noise are of any one shape.
Raises: ConfigError if rate is outside [0, 1).
Source: Srivastava et al., JMLR 15 (2014), in the "inverted" form.
"""

from dataclasses import dataclass

from cnn_core.layers.layer import Array, Layer, Shape


@dataclass(frozen=True)
class Dropout(Layer):
    """Zero each activation with probability `rate`."""

    rate: float

    def noise(self, shape: Shape) -> Shape:
        return shape

    def forward(self, x: Array, noise: Array) -> Array:
        return x * (noise >= self.rate) / (1 - self.rate)

    def backward(self, dy: Array, x: Array, noise: Array) -> Array:
        return dy * (noise >= self.rate) / (1 - self.rate)

    def evaluate(self, x: Array) -> Array:  # type: ignore[override]
        return x
