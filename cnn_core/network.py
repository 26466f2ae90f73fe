"""The textbook at work: a network of any layers in any order, in plain NumPy.

Made to be read, and to be what faster code is held against. `cnn_core.train` and `fit`
run the same lists of layers faster (fuse.py).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import ConfigError
from cnn_core.layers import CrossEntropy, Layer
from cnn_core.layers.layer import text
from cnn_core.optimisers import Optimiser, Regulariser

Array = NDArray[Any]
Arrays = dict[str, Array]


class Network:
    """Layers, one after another, and the numbers that they have learned.

        layers = [Conv2d(6, 5), BatchNorm2d(), ReLU(), MaxPool2d(), Flatten(), Linear(10)]
        network = Network(layers, (1, 28, 28))
        for loss in network.train(images, labels, Adam(), rate=0.001, epochs=5): print(loss)
        network.predict(images)

    `parameters` and `statistics` are arrays by name, for each layer: parameters[0]["weight"].

    Shapes: `shape` is that of one image, (C, H, W) or any other. Raises: ConfigError naming the layer and the
    shapes, if the layers do not fit one another.
    """

    def __init__(
        self, layers: Sequence[Layer], shape: tuple[int, ...], *, loss: CrossEntropy | None = None,
        seed: int = 0, dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        self.layers, self.dtype, self.loss = tuple(layers), dtype, loss or CrossEntropy()
        self.shapes = (tuple(shape), *output_shapes(self.layers, shape))
        rng = np.random.default_rng(seed)
        self.parameters: list[Arrays] = []
        self.statistics: list[Arrays] = []
        for layer, before in zip(self.layers, self.shapes, strict=False):
            own, running = layer.parameters(before, rng), layer.statistics(before)
            self.parameters.append({name: array.astype(dtype) for name, array in own.items()})
            self.statistics.append({name: array.astype(dtype) for name, array in running.items()})

    def train(
        self, images: Array, labels: Array, optimiser: Optimiser, *, rate: float, epochs: int = 1,
        batch_size: int = 10, regularisers: Sequence[Regulariser] = (), seed: int = 0,
    ) -> Iterator[float]:  # fmt: skip
        """Train, and yield the mean loss of each epoch's batches as they were met.

        Fewer epochs are the beginning of more. Shapes: images (N, *shape), labels (N,).
        """
        kept = [
            {name: [np.zeros_like(array) for _ in optimiser.keeps] for name, array in own.items()}
            for own in self.parameters
        ]
        step = 0
        for epoch in range(epochs):
            rng = np.random.default_rng([seed, epoch])
            order, total = rng.permutation(len(images)), 0.0
            for first in range(0, len(order), batch_size):
                batch = order[first : first + batch_size]
                loss, gradients = self.gradients(images[batch], labels[batch], self.noise(len(batch), rng))
                step, total = step + 1, total + loss * len(batch)

                weights = [
                    (own["weight"], gradient["weight"])
                    for own, gradient in zip(self.parameters, gradients, strict=True)
                    if "weight" in own
                ]
                for regulariser in regularisers:
                    regulariser.clip([array for gradient in gradients for array in gradient.values()])
                for regulariser in regularisers:
                    for weight, gradient in weights:
                        regulariser.penalise(rate, weight, gradient)
                for own, slopes, memory in zip(self.parameters, gradients, kept, strict=True):
                    for name, parameter in own.items():
                        optimiser.update(rate, step, parameter, slopes[name], *memory[name])
                for regulariser in regularisers:
                    for weight, _ in weights:
                        regulariser.project(weight)
            yield total / len(order)

    def gradients(
        self, images: Array, labels: Array, noise: Sequence[Array | None]
    ) -> tuple[float, list[Arrays]]:
        """The mean loss of a batch and its gradient, arrays by name for each layer as `parameters`.

        Running statistics follow the batch. `noise` has the array that a layer takes, or None.
        """
        x, inputs = np.asarray(images, self.dtype), []
        given = [
            [*own.values(), *([] if uniform is None else [uniform])]
            for own, uniform in zip(self.parameters, noise, strict=True)
        ]
        for layer, arrays, running in zip(self.layers, given, self.statistics, strict=True):
            inputs.append(x)
            if running:
                layer.track(x, *running.values())
            x = layer.forward(x, *arrays)

        loss, dy = self.loss.forward(x, labels), self.loss.backward(x, labels)
        found: list[Arrays] = [{} for _ in self.layers]
        for number in reversed(range(len(self.layers))):
            back = self.layers[number].backward(dy, inputs[number], *given[number])
            dy, *slopes = back if isinstance(back, tuple) else (back,)
            found[number] = dict(zip(self.parameters[number], slopes, strict=True))
        return loss, found

    def noise(self, count: int, rng: np.random.Generator) -> list[Array | None]:
        """The random numbers of one step with `count` images, layer by layer."""
        found: list[Array | None] = []
        for layer, before in zip(self.layers, self.shapes, strict=False):
            shape = layer.noise(before)
            found.append(None if shape is None else rng.random((count, *shape)).astype(self.dtype))
        return found

    def logits(self, images: Array) -> Array:
        """The scores before softmax, as in evaluation. Shapes: images (N, *shape); result (N, classes)."""
        x = np.asarray(images, self.dtype)
        for layer, own, running in zip(self.layers, self.parameters, self.statistics, strict=True):
            x = layer.evaluate(x, *own.values(), *running.values())
        return x

    def predict(self, images: Array) -> Array:
        """The class of each image. Shapes: images (N, *shape); result (N,)."""
        classes: Array = self.logits(images).argmax(axis=1)
        return classes


def judge(logits: Array, labels: Array) -> tuple[float, NDArray[np.bool_]]:
    """Mean cross-entropy, and whether each image's label is on top; a NaN counts as wrong.

    Shapes: logits (N, classes), labels (N,).
    """
    logits, rows = logits.astype(np.float64), np.arange(len(labels))
    with np.errstate(invalid="ignore"):  # of a training that has diverged
        logits -= logits.max(axis=1, keepdims=True)
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[rows, labels]
    return float(losses.mean()), (logits.argmax(axis=1) == labels) & np.isfinite(losses)


def output_shapes(layers: Sequence[Layer], shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shape of one image after each layer. Raises: ConfigError naming the layer and the shapes."""
    if not layers:
        raise ConfigError("layers is empty; write at least [Flatten(), Linear(classes)]")
    found = []
    for number, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise ConfigError(f"layers[{number}] must be a layer, found {layer!r}; write one such as ReLU()")
        try:
            shape = layer.output_shape(shape)
        except ConfigError as error:
            raise ConfigError(f"layers[{number}], {layer}: {error}") from None
        found.append(shape)
    if len(shape) != 1:
        raise ConfigError(
            f"layers[{len(layers) - 1}], {layers[-1]}: gives {text(shape)}, and the loss takes a vector;"
            " end with Flatten(), Linear(classes)"
        )
    return found
