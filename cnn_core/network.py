"""A network: any layers in any order, and what they have learned.

`gradients` and `logits` are the textbook at work, in plain NumPy: made to be read, and to be what faster code
is held against. `train` runs the same list of layers as fast as there are kernels for it, as does
`cnn_core.train` with a configuration's.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.architecture import flat_order, weights
from cnn_core.config import ConfigError
from cnn_core.layers import CrossEntropy, Layer
from cnn_core.layers.layer import text
from cnn_core.optimisers import Optimiser, Regulariser, Rule
from cnn_core.runner import choose

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
        """Train, in float32, and yield the mean loss of each epoch's batches as they were met.

        The same layers by the compiled kernels where there are some (fuse.py), and the same training as
        `textbook.train`, which is made to be read. Fewer epochs are the beginning of more. Once a loss is not
        finite, no more time is spent.

        Shapes: images (N, *shape), floats; labels (N,), whole numbers below the number of outputs.
        Raises: ConfigError for other arrays, epochs, batch_size, rate, optimiser or regularisers.
        """
        images, labels = self._check_data(images, labels)
        for name, value in (("epochs", epochs), ("batch_size", batch_size)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ConfigError(f"{name} must be a whole number from 1, found {value!r}; write 10")
        if isinstance(rate, bool) or not isinstance(rate, int | float | np.number) or not 0 < rate < math.inf:
            raise ConfigError(f"rate must be a number above 0, found {rate!r}; write 0.01")
        if not isinstance(optimiser, Optimiser):
            raise ConfigError(f"optimiser must be one, found {optimiser!r}; write one such as Adam()")
        for regulariser in regularisers:
            if not isinstance(regulariser, Regulariser):
                raise ConfigError(
                    f"regularisers has {regulariser!r}, which is none; write one such as L2(1e-4)"
                )
        shape = self.shapes[0]
        rule = Rule(optimiser, regularisers, weights(self.layers, shape))
        return self._train(images, labels, rule, float(rate), int(epochs), int(batch_size), seed)

    def _check_data(self, images: Any, labels: Any) -> tuple[Array, Array]:
        """The arrays as they are trained on; labels beyond the outputs would be read past the end."""
        try:
            images, labels = np.ascontiguousarray(images, np.float32), np.asarray(labels)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"images and labels must be arrays of numbers ({error})") from None
        if images.shape[1:] != self.shapes[0] or len(images) == 0:
            raise ConfigError(f"images must have shape (N, {text(self.shapes[0])}), found {images.shape}")
        if labels.shape != images.shape[:1]:
            raise ConfigError(f"labels must have shape ({len(images)},), one an image, found {labels.shape}")
        if not np.issubdtype(labels.dtype, np.integer):
            raise ConfigError(f"labels must be whole numbers, found {labels.dtype}; write labels.astype(int)")
        (classes,) = self.shapes[-1]
        if labels.min() < 0 or labels.max() >= classes:
            raise ConfigError(
                f"labels must be from 0 to {classes - 1}, as the last layer has {classes} outputs,"
                f" found {labels.min()} to {labels.max()}"
            )
        return images, labels.astype(np.int32)

    def _train(
        self, images: Array, labels: Array, rule: Rule, rate: float, epochs: int, batch_size: int, seed: int
    ) -> Iterator[float]:
        runner = choose(self.layers, self.shapes[0], self.loss)
        order = flat_order(self.layers, self.shapes[0])
        parameters, batch = _flat(self.parameters)[order], min(batch_size, len(images))
        runner.begin(parameters, _flat(self.statistics), batch)
        rule.begin(parameters)
        loss = 0.0
        for epoch in range(epochs):
            if math.isfinite(loss):
                rng = np.random.default_rng([seed, epoch])
                shuffled, key = rng.permutation(len(images)), int(rng.integers(2**64, dtype=np.uint64))
                loss = runner.train_epoch(images, labels, shuffled, batch, rate, key, rule)
                parameters[order], running = runner.trained()
                _fill(self.parameters, parameters)
                _fill(self.statistics, running)
            yield loss

    def take(self, parameters: Array, statistics: Array) -> None:
        """Take over what was learned: all parameters and statistics, flat, in a checkpoint's order."""
        found = np.empty_like(parameters)
        found[flat_order(self.layers, self.shapes[0])] = parameters
        _fill(self.parameters, found)
        _fill(self.statistics, statistics)

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


def _flat(arrays: Sequence[Arrays]) -> Array:
    """All numbers, layer by layer, as float32."""
    return np.concatenate([np.zeros(0), *(a.ravel() for own in arrays for a in own.values())]).astype(
        np.float32
    )


def _fill(arrays: Sequence[Arrays], flat: Array) -> None:
    """The way back."""
    at = 0
    for own in arrays:
        for array in own.values():
            array[...] = flat[at : at + array.size].reshape(array.shape)
            at += array.size


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
