"""How fast was the network of the study as its course report wrote it: NumPy, float64, loops in Python?

`python -m benchmarks.report_loops` times it on some images of each batch size and extrapolates to the 160
cells of the study. Re-created from the report's description, not copied: one image after the other, a loop
over the rows and the columns of every output, all channels of a window at once in NumPy.

The report's mistakes are here too, each where it happens, as fields of `Mistakes`; they do not change the
speed. docs/course-report.md says what they do to the results, by `python -m benchmarks.report_mistakes`.

Shapes: N images, C channels, H rows, W columns, K filters, R x S their size; x, dx (N, C, H, W).
"""

import sys
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cnn_core import datasets

Array = NDArray[np.float64]
Labels = NDArray[np.int32]

BATCH_SIZES = (1, 3, 5, 10, 30)
EPOCHS = (2, 5)
COMBINATIONS = 16
"""Of 4 learning rates and 4 dropout rates, for each batch size and number of epochs: 160 cells in all."""
TRAIN_SIZE, TEST_SIZE = 600, 1000


@dataclass(frozen=True)
class Mistakes:
    """What the report got wrong in training; a field set to False is mended."""

    accumulated_gradients: bool = True
    """Nothing sets the gradient to zero after a batch of B images: G <- (G + their sum) / B."""
    batch_norm_count: bool = True
    """The gradient of batch normalisation divides by N images instead of the N H W values of a channel."""
    zero_running_variance: bool = True
    """The running variance starts at 0 instead of 1."""


REPORT = Mistakes()
MENDED = Mistakes(accumulated_gradients=False, batch_norm_count=False, zero_running_variance=False)


class Layer(Protocol):
    """One step of the network. `backward` takes dL/dy, adds to the gradients, and returns dL/dx."""

    def forward(self, x: Array, training: bool) -> Array: ...
    def backward(self, dy: Array) -> Array: ...
    def parameters(self) -> list[tuple[Array, Array]]:
        """Return every parameter with its gradient."""
        ...


class Convolution:
    """Stride 1, no padding. Filters start standard normal, divided by sqrt(3 C R S / K).

    The first layer leaves out the gradient for the images, which nobody needs. The report may have computed
    it: that would cost another 1.5 ms an image, so what is timed here is in its favour.
    """

    def __init__(
        self, channels: int, filters: int, size: int, rng: np.random.Generator, *, first: bool = False
    ) -> None:
        fan = 3 * channels * size * size / filters
        self.weight: Array = rng.standard_normal((filters, channels, size, size)) / np.sqrt(fan)
        self.first = first
        self.bias = np.zeros(filters)
        self.dweight, self.dbias = np.zeros_like(self.weight), np.zeros_like(self.bias)

    def forward(self, x: Array, training: bool) -> Array:  # noqa: ARG002
        self.x = x
        filters, _, size, _ = self.weight.shape
        flat = self.weight.reshape(filters, -1)
        images, _, rows, columns = x.shape
        y = np.empty((images, filters, rows - size + 1, columns - size + 1))
        for image in range(images):
            for row in range(y.shape[2]):
                for column in range(y.shape[3]):
                    window = x[image, :, row : row + size, column : column + size]
                    y[image, :, row, column] = flat @ window.ravel()
        return y + self.bias[:, None, None]

    def backward(self, dy: Array) -> Array:
        filters, channels, size, _ = self.weight.shape
        flat = self.weight.reshape(filters, -1)
        dflat = self.dweight.reshape(filters, -1)
        self.dbias += dy.sum((0, 2, 3))
        dx = np.zeros_like(self.x)
        for image in range(dy.shape[0]):
            for row in range(dy.shape[2]):
                for column in range(dy.shape[3]):
                    window = image, slice(None), slice(row, row + size), slice(column, column + size)
                    d = dy[image, :, row, column]
                    dflat += d[:, None] * self.x[window].ravel()
                    if not self.first:
                        dx[window] += (d @ flat).reshape(channels, size, size)
        return dx

    def parameters(self) -> list[tuple[Array, Array]]:
        return [(self.weight, self.dweight), (self.bias, self.dbias)]


class BatchNorm:
    """Normalise each channel over the batch; over running averages (momentum 0.9) in evaluation."""

    def __init__(self, channels: int, mistakes: Mistakes) -> None:
        self.gamma, self.beta = np.ones((1, channels, 1, 1)), np.zeros((1, channels, 1, 1))
        self.dgamma, self.dbeta = np.zeros_like(self.gamma), np.zeros_like(self.beta)
        self.mean = np.zeros_like(self.beta)
        self.variance = (
            np.zeros_like(self.beta) if mistakes.zero_running_variance else np.ones_like(self.beta)
        )
        self.wrong_count = mistakes.batch_norm_count

    def forward(self, x: Array, training: bool) -> Array:
        mean, variance = self.mean, self.variance
        if training:
            mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
            self.mean = 0.9 * self.mean + 0.1 * mean
            self.variance = 0.9 * self.variance + 0.1 * variance
        self.deviation: Array = np.sqrt(variance + 1e-5)
        self.normal = (x - mean) / self.deviation
        return self.gamma * self.normal + self.beta

    def backward(self, dy: Array) -> Array:
        axes = (0, 2, 3)
        self.dgamma += (dy * self.normal).sum(axes, keepdims=True)
        self.dbeta += dy.sum(axes, keepdims=True)
        count = dy.shape[0] if self.wrong_count else dy.shape[0] * dy.shape[2] * dy.shape[3]
        dnormal = dy * self.gamma
        mean = dnormal.sum(axes, keepdims=True) / count
        slope = (dnormal * self.normal).sum(axes, keepdims=True) / count
        dx: Array = (dnormal - mean - self.normal * slope) / self.deviation
        return dx

    def parameters(self) -> list[tuple[Array, Array]]:
        return [(self.gamma, self.dgamma), (self.beta, self.dbeta)]


class ReLU:
    def forward(self, x: Array, training: bool) -> Array:  # noqa: ARG002
        self.positive = x > 0
        return x * self.positive

    def backward(self, dy: Array) -> Array:
        return dy * self.positive

    def parameters(self) -> list[tuple[Array, Array]]:
        return []


class Dropout:
    """Inverted dropout: survivors are scaled by 1 / (1 - rate)."""

    def __init__(self, rate: float, rng: np.random.Generator) -> None:
        self.rate, self.rng = rate, rng

    def forward(self, x: Array, training: bool) -> Array:
        if not training:
            return x
        self.scale: Array = (self.rng.random(x.shape) >= self.rate) / (1 - self.rate)
        return x * self.scale

    def backward(self, dy: Array) -> Array:
        return dy * self.scale

    def parameters(self) -> list[tuple[Array, Array]]:
        return []


class MaxPool:
    """The maximum of each 2x2 window; its gradient goes to where the maximum was."""

    def forward(self, x: Array, training: bool) -> Array:  # noqa: ARG002
        self.x = x
        images, channels, rows, columns = x.shape
        y = np.empty((images, channels, rows // 2, columns // 2))
        for image in range(images):
            for row in range(rows // 2):
                for column in range(columns // 2):
                    window = x[image, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                    y[image, :, row, column] = window.max(axis=(1, 2))
        self.y = y
        return y

    def backward(self, dy: Array) -> Array:
        dx = np.zeros_like(self.x)
        for image in range(dy.shape[0]):
            for row in range(dy.shape[2]):
                for column in range(dy.shape[3]):
                    rows, columns = slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2)
                    largest = self.x[image, :, rows, columns] == self.y[image, :, row, column, None, None]
                    dx[image, :, rows, columns] = largest * dy[image, :, row, column, None, None]
        return dx

    def parameters(self) -> list[tuple[Array, Array]]:
        return []


class Linear:
    """Weights and biases start standard normal, divided by sqrt(inputs) / 2."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator) -> None:
        scale = 2 / np.sqrt(inputs)
        self.weight: Array = scale * rng.standard_normal((inputs, outputs))
        self.bias: Array = scale * rng.standard_normal(outputs)
        self.dweight, self.dbias = np.zeros_like(self.weight), np.zeros_like(self.bias)

    def forward(self, x: Array, training: bool) -> Array:  # noqa: ARG002
        self.shape, self.flat = x.shape, x.reshape(len(x), -1)
        return self.flat @ self.weight + self.bias

    def backward(self, dy: Array) -> Array:
        self.dweight += self.flat.T @ dy
        self.dbias += dy.sum(axis=0)
        return (dy @ self.weight.T).reshape(self.shape)

    def parameters(self) -> list[tuple[Array, Array]]:
        return [(self.weight, self.dweight), (self.bias, self.dbias)]


class Network:
    """Layers run in order, trained by stochastic gradient descent on the softmax cross-entropy."""

    def __init__(self, layers: list[Layer], mistakes: Mistakes) -> None:
        self.layers, self.mistakes = layers, mistakes

    def forward(self, x: Array, training: bool) -> Array:
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def train_batch(self, x: Array, y: Labels, learning_rate: float) -> float:
        """Make one step; return the mean loss of the batch before it."""
        scores = self.forward(x, training=True)
        scores -= scores.max(axis=1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        dy = np.exp(logs)
        dy[np.arange(len(y)), y] -= 1
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        for layer in self.layers:
            for parameter, gradient in layer.parameters():
                gradient /= len(y)
                parameter -= learning_rate * gradient
                if not self.mistakes.accumulated_gradients:
                    gradient[:] = 0
        return float(-logs[np.arange(len(y)), y].mean())

    def accuracy(self, x: Array, y: Labels) -> float:
        return float((self.forward(x, training=False).argmax(axis=1) == y).mean())


def build(
    dropout_rate: float,
    seed: int,
    mistakes: Mistakes = REPORT,
    convolution: type[Convolution] = Convolution,
    pool: type[MaxPool] = MaxPool,
) -> Network:
    """Return the network of the study for 28x28 images of one channel."""
    rng = np.random.default_rng(seed)
    layers: list[Layer] = [
        convolution(1, 6, 5, rng, first=True),
        BatchNorm(6, mistakes),
        ReLU(),
        Dropout(dropout_rate, rng),
        pool(),
        convolution(6, 16, 5, rng),
        ReLU(),
        pool(),
        Linear(256, 10, rng),
    ]
    return Network(layers, mistakes)


def load_images() -> tuple[Array, Labels]:
    """Return 600 digits to train on, as the study's cells do."""
    images = datasets.load(
        "digits",
        data_dir=None,
        train_size=TRAIN_SIZE,
        test_size=TEST_SIZE,
        data_seed=0,
        split="test",
        validation_size=None,
    )
    return images.train_x.astype(np.float64), images.train_y


def seconds_per_image(batch_size: int, images: int) -> float:
    """Return the wall-clock seconds that training takes an image, over at least `images` images.

    A first, untimed batch pays for what happens once. The step is tiny, so that no number overflows.
    """
    x, y = load_images()
    network = build(dropout_rate=0.4, seed=0)
    batches = -(-images // batch_size)
    for batch in range(-1, batches):
        if batch == 0:
            start = time.perf_counter()
        chosen = np.arange(batch * batch_size, (batch + 1) * batch_size) % len(x)
        network.train_batch(x[chosen], y[chosen], learning_rate=1e-6)
    return (time.perf_counter() - start) / (batches * batch_size)


def evaluation_seconds_per_image(images: int) -> float:
    """Return the wall-clock seconds that evaluation takes an image, over `images` images, after one more."""
    x, y = load_images()
    network = build(dropout_rate=0.4, seed=0)
    network.accuracy(x[:1], y[:1])
    start = time.perf_counter()
    network.accuracy(x[:images], y[:images])
    return (time.perf_counter() - start) / images


def main(images: int = 120) -> None:
    """Print the table: measured time an image, extrapolated minutes for the study's cells one by one."""
    epochs = COMBINATIONS * sum(EPOCHS)  # of each batch size
    evaluation = evaluation_seconds_per_image(images)
    evaluation_minutes = epochs * TEST_SIZE * evaluation / 60
    print("The study as the report's loops would run it: one process, every cell from the start.")
    print(f"Measured on {images} images a row; minutes are EXTRAPOLATED to {2 * COMBINATIONS} cells a row.\n")
    print(f"{'batch size':>10} {'us/image':>9} {'training':>10} {'evaluation':>11}")
    training_minutes = 0.0
    for batch_size in BATCH_SIZES:
        seconds = seconds_per_image(batch_size, images)
        minutes = epochs * TRAIN_SIZE * seconds / 60
        training_minutes += minutes
        print(f"{batch_size:10} {seconds * 1e6:9.0f} {minutes:6.1f} min {evaluation_minutes:7.1f} min")
    evaluation_minutes *= len(BATCH_SIZES)
    print(f"{'all':>10} {'':9} {training_minutes:6.1f} min {evaluation_minutes:7.1f} min")
    print(f"\nTraining: {epochs} epochs of {TRAIN_SIZE} images for each batch size.")
    print(f"Evaluation, {evaluation * 1e6:.0f} us an image: {TEST_SIZE} images after each of these epochs.")
    print(f"Both: {training_minutes + evaluation_minutes:.0f} minutes.")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
