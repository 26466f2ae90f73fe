"""What all layers have in common, and what a layer offers to a network."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import ConfigError
from cnn_core.hyperparameters import Hyperparameters

Array = NDArray[Any]
Shape = tuple[int, ...]


class Layer(Hyperparameters):
    """A frozen dataclass of hyperparameters, with functions of arrays; it holds no array itself.

    A layer without parameters that keeps the shape of its input writes `forward` and `backward` alone.
    Both are plain functions of their arguments: `backward` is given again what `forward` was given.

        y = layer.forward(x, *parameters, *noise)                       in training
        dx, *gradients = layer.backward(dy, x, *parameters, *noise)     dx alone if there are no parameters
        layer.track(x, *statistics)                                     in training, if there are statistics
        y = layer.evaluate(x, *parameters, *statistics)                 in evaluation

    All use what numba compiles, so that one text serves the reader and a compiled loop: arrays, slices and
    loops, one axis or all in a sum, `self` for hyperparameters only, no call of another function of ours.
    """

    forward: Callable[..., Array]
    backward: Callable[..., Any]
    track: Callable[..., None]

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one image's output. Raises: ConfigError if the layer does not fit its input."""
        return shape

    def parameters(self, shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
        """What is learned, by name, as it starts; in the order in which `forward` takes it."""
        return {}

    def statistics(self, shape: Shape) -> dict[str, Array]:
        """What is averaged over the training and used in evaluation."""
        return {}

    def noise(self, shape: Shape) -> Shape | None:
        """The shape of the uniform random numbers in [0, 1) that a training step takes for an image."""
        return None

    def evaluate(self, x: Array, *arrays: Array) -> Array:
        """The forward pass of evaluation: the same as in training, unless a layer says otherwise."""
        return self.forward(x, *arrays)


def require_image(shape: Shape) -> tuple[int, int, int]:
    """(C, H, W) of a layer that takes images. Raises: ConfigError."""
    if len(shape) != 3:
        raise ConfigError(f"takes images of C x H x W, found {text(shape)}; write it before Flatten")
    return shape[0], shape[1], shape[2]


def windows(shape: Shape, size: int, stride: int, padding: int) -> tuple[int, int, int]:
    """C, and how many windows fit below and beside each other: (H + 2 padding - size) // stride + 1.

    Raises: ConfigError if none fits, or if one would see padding alone.
    """
    channels, height, width = require_image(shape)
    if padding >= size:
        raise ConfigError(f"padding must be below the size ({size}), found {padding}; write {size // 2}")
    if min(height, width) + 2 * padding < size:
        raise ConfigError(
            f"{size} x {size} does not fit {text(shape)} with padding {padding}; write a smaller size"
        )
    return channels, (height + 2 * padding - size) // stride + 1, (width + 2 * padding - size) // stride + 1


def text(shape: Shape) -> str:
    return "x".join(map(str, shape))
