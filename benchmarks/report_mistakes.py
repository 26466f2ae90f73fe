"""What did the course report's mistakes cost?

`python -m benchmarks.report_mistakes` runs the experiments that docs/course-report.md quotes, a quarter
of an hour on one core. The network is that of benchmarks/report_loops.py; its two layers of loops are
replaced by ones that compute the same on whole arrays, which is checked first.

All on the embedded digits: 600 images to train on, drawn with `data_seed` 0 unless another is named, and the
report's initialisation and schedule (after epoch e, from 0, the learning rate is multiplied by 0.95^(e+1)).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from threadpoolctl import threadpool_limits

from benchmarks.report_loops import (
    MENDED,
    REPORT,
    TRAIN_SIZE,
    Array,
    BatchNorm,
    Convolution,
    Dropout,
    Labels,
    Linear,
    MaxPool,
    Mistakes,
    Network,
    build,
)
from cnn_core import datasets

RATES = (0.001, 0.01, 0.05, 0.1)
SEEDS = (0, 1, 2)


class ArrayConvolution(Convolution):
    """The same sums over all positions at once: windows as rows of one matrix."""

    def forward(self, x: Array, training: bool) -> Array:  # noqa: ARG002
        self.x = x
        filters, _, size, _ = self.weight.shape
        self.windows = _windows(x, size)
        images, rows, columns, _ = self.windows.shape
        y = self.windows.reshape(-1, self.windows.shape[-1]) @ self.weight.reshape(filters, -1).T + self.bias
        return np.ascontiguousarray(y.reshape(images, rows, columns, filters).transpose(0, 3, 1, 2))

    def backward(self, dy: Array) -> Array:
        filters, channels, size, _ = self.weight.shape
        self.dbias += dy.sum((0, 2, 3))
        flat = dy.transpose(1, 0, 2, 3).reshape(filters, -1)
        self.dweight += (flat @ self.windows.reshape(flat.shape[1], -1)).reshape(self.weight.shape)
        if self.first:
            return np.zeros_like(self.x)
        padded = np.pad(dy, ((0, 0), (0, 0), (size - 1, size - 1), (size - 1, size - 1)))
        flipped = self.weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3).reshape(channels, -1)
        return np.ascontiguousarray((_windows(padded, size) @ flipped.T).transpose(0, 3, 1, 2))


def _windows(x: Array, size: int) -> Array:
    """Return (N, H - size + 1, W - size + 1, C size^2): the window at every position, flat."""
    windows = sliding_window_view(x, (size, size), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
    return np.ascontiguousarray(windows).reshape(*windows.shape[:3], -1)


class ArrayMaxPool(MaxPool):
    def forward(self, x: Array, training: bool) -> Array:  # noqa: ARG002
        self.x = x
        # Four strided slices: a reduction over two short axes takes ten times as long.
        y: Array = np.maximum.reduce([x[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)])
        self.y = y
        return y

    def backward(self, dy: Array) -> Array:
        largest = _quarters(self.x) == self.y[:, :, :, None, :, None]
        dx: Array = (largest * dy[:, :, :, None, :, None]).reshape(self.x.shape)
        return dx


def _quarters(x: Array) -> Array:
    images, channels, rows, columns = x.shape
    return x.reshape(images, channels, rows // 2, 2, columns // 2, 2)


@dataclass(frozen=True)
class Cell:
    learning_rate: float
    dropout_rate: float = 0.2
    batch_size: int = 10
    epochs: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Draw:
    """600 images to train on, and the other 1197."""

    x: Array
    y: Labels
    other_x: Array
    other_y: Labels


def draw(data_seed: int = 0) -> Draw:
    images = datasets.load(
        "digits",
        data_dir=None,
        train_size=TRAIN_SIZE,
        test_size=1797 - TRAIN_SIZE,
        data_seed=data_seed,
        split="test",
        validation_size=None,
    )
    x, other_x = images.train_x.astype(np.float64), images.test_x.astype(np.float64)
    return Draw(x, images.train_y, other_x, images.test_y)


def build_fast(cell: Cell, mistakes: Mistakes) -> Network:
    return build(cell.dropout_rate, cell.seed, mistakes, ArrayConvolution, ArrayMaxPool)


def train(
    network: Network,
    cell: Cell,
    x: Array,
    y: Labels,
    batches: int | None = None,
    reshuffled: bool = True,
) -> None:
    """Train for the cell's epochs, or for `batches` batches only, or until the loss is not finite.

    A network of NaN answers 0 to everything, so divergence shows in its score: one in ten.
    """
    rng = np.random.default_rng([cell.seed, 1])
    learning_rate, done = cell.learning_rate, 0
    with np.errstate(all="ignore"):
        for epoch in range(cell.epochs):
            if reshuffled or epoch == 0:
                order = rng.permutation(len(x))
            for start in range(0, len(x), cell.batch_size):
                if done == batches:
                    return
                chosen = order[start : start + cell.batch_size]
                if not np.isfinite(network.train_batch(x[chosen], y[chosen], learning_rate)):
                    return
                done += 1
            learning_rate *= 0.95 ** (epoch + 1)


def answer(network: Network, x: Array) -> Labels:
    """Return the class that the network sees in each image."""
    # In parts that fit the cache: at 1000 images the windows alone are 115 MB.
    with np.errstate(all="ignore"):
        parts = [
            network.forward(x[at : at + 50], training=False).argmax(axis=1) for at in range(0, len(x), 50)
        ]
    return np.concatenate(parts).astype(np.int32)


def score(network: Network, x: Array, y: Labels) -> float:
    """Return the accuracy in percent."""
    return 100 * float((answer(network, x) == y).mean())


def check_array_layers(images: Draw) -> None:
    """Hold the layers written here to the loops they stand for: five steps, the same losses and weights."""
    for mistakes in (REPORT, MENDED):
        networks = build(0.3, 0, mistakes), build_fast(Cell(0.01, 0.3), mistakes)
        for start in range(0, 15, 3):
            part = slice(start, start + 3)
            losses = [network.train_batch(images.x[part], images.y[part], 0.001) for network in networks]
            np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)
        pairs = zip(*(network.layers for network in networks), strict=True)
        for loops, arrays in pairs:
            for (expected, _), (found, _) in zip(loops.parameters(), arrays.parameters(), strict=True):
                np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def measure_mistakes(images: Draw) -> None:
    """Train every cell with no mistake, with each alone and with all three."""
    sizes = (1, 5, 30)
    cells = [Cell(lr, batch_size=n, seed=s) for lr, n, s in product(RATES, sizes, SEEDS)]
    print(f"1. Accuracy, %, on 1000 images; mean of 3 seeds; dropout 0.2, 5 epochs, batch sizes {sizes}\n")
    print(f"{'':34} {'best cell':>9} {'mean':>6}   by batch size       by learning rate {RATES}")
    for title, mistakes in {
        "all mended": MENDED,
        "gradients accumulate": replace(MENDED, accumulated_gradients=True),
        "batch-norm gradient divides by N": replace(MENDED, batch_norm_count=True),
        "running variance starts at 0": replace(MENDED, zero_running_variance=True),
        "all three, as reported": REPORT,
    }.items():
        scores = []
        for cell in cells:
            network = build_fast(cell, mistakes)
            train(network, cell, images.x, images.y)
            scores.append(score(network, images.other_x[:1000], images.other_y[:1000]))
        table = np.array(scores).reshape(len(RATES), len(sizes), len(SEEDS)).mean(axis=2)
        means = ["".join(f"{value:6.1f}" for value in table.mean(axis=axis)) for axis in (0, 1)]
        print(f"{title:34} {table.max():9.1f} {table.mean():6.1f} {means[0]}   {means[1]}", flush=True)


def measure_batch_norm_gradient() -> None:
    """Compare both gradients with central differences on 24x24 maps, the size after the first convolution."""
    print("\n2. Batch-norm gradient against central differences, 6 channels of 24x24: relative error\n")
    print(f"{'batch size':>10} {'divided by N H W':>17} {'divided by N':>13} {'length of the latter':>21}")
    for images in (1, 10, 30):
        rng = np.random.default_rng(images)
        x, dy = rng.standard_normal((2, images, 6, 24, 24))
        layers = {count: BatchNorm(6, replace(MENDED, batch_norm_count=count)) for count in (False, True)}
        found = {}
        for wrong, layer in layers.items():
            layer.forward(x, training=True)
            found[wrong] = layer.backward(dy)
        right = layers[False]
        at = [tuple(rng.integers(x.shape)) for _ in range(200)]
        expected = np.empty(len(at))
        for i, index in enumerate(at):
            sides = []
            for step in (1e-5, -1e-5):
                moved = x.copy()
                moved[index] += step
                sides.append((right.forward(moved, training=True) * dy).sum())
            expected[i] = (sides[0] - sides[1]) / 2e-5
        length = np.linalg.norm(expected)
        errors, lengths = {}, {}
        for wrong, dx in found.items():
            sampled = np.array([dx[index] for index in at])
            errors[wrong] = np.linalg.norm(sampled - expected) / length
            lengths[wrong] = np.linalg.norm(sampled) / length
        print(f"{images:10} {errors[False]:17.1e} {errors[True]:13.1f} {lengths[True]:15.1f} times")


def measure_running_variance(images: Draw) -> None:
    """Stop early: the share of the start in the running variance is 0.9 to the number of batches."""
    counts = (1, 2, 5, 10, 20, 40)
    print(
        "\n3. Accuracy, %, on 1000 images after so many batches of 30; learning rate 0.05, mean of 3 seeds\n"
    )
    print(f"{'running variance starts at':>26} " + " ".join(f"{count:5}" for count in counts))
    for zero in (False, True):
        means = []
        for batches in counts:
            scores = []
            for seed in SEEDS:
                cell = Cell(0.05, batch_size=30, seed=seed)
                network = build_fast(cell, replace(MENDED, zero_running_variance=zero))
                train(network, cell, images.x, images.y, batches)
                scores.append(score(network, images.other_x[:1000], images.other_y[:1000]))
            means.append(np.mean(scores))
        print(f"{0 if zero else 1:26} " + " ".join(f"{mean:5.1f}" for mean in means))


def measure_lost_bias(images: Draw) -> None:
    """Restore a trained network without the linear layer's bias, which is then what a new one starts with."""
    print("\n4. Accuracy, %, on 1000 images before a checkpoint and after it; batch size 10, 3 seeds\n")
    print(f"{'learning rate':>13}   before              after               changed answers, %")
    for learning_rate in RATES:
        before, after, changed = [], [], []
        for seed in SEEDS:
            cell = Cell(learning_rate, seed=seed)
            network = build_fast(cell, MENDED)
            train(network, cell, images.x, images.y)
            x, y = images.other_x[:1000], images.other_y[:1000]
            answers = answer(network, x)
            before.append(score(network, x, y))
            linear = network.layers[-1]
            assert isinstance(linear, Linear)
            started = build_fast(Cell(learning_rate, seed=seed + 1000), MENDED).layers[-1]
            assert isinstance(started, Linear)
            linear.bias[:] = started.bias
            after.append(score(network, x, y))
            changed.append(100 * (answer(network, x) != answers).mean())
        row = "   ".join(" ".join(f"{value:5.1f}" for value in values) for values in (before, after, changed))
        print(f"{learning_rate:13}   {row}")


def measure_selection() -> None:
    """Select on some images; score the winner on images that nothing was selected on."""
    draws = range(6)
    print("\n5. Accuracy, %, of the best of 16 cells (4 learning rates, dropout 0.2 to 0.6, batch size 10)\n")
    print(f"{'draw':>9} {'selected on 100':>16} {'fresh 1097':>10} {'selected on 1000':>17} {'fresh 197':>9}")
    rows = []
    for data_seed in draws:
        images = draw(data_seed)
        scores = []
        for learning_rate, dropout_rate in product(RATES, (0.2, 0.3, 0.4, 0.6)):
            cell = Cell(learning_rate, dropout_rate)
            network = build_fast(cell, MENDED)
            train(network, cell, images.x, images.y)
            right = answer(network, images.other_x) == images.other_y
            scores.append([100 * right[part].mean() for part in _PARTS])
        table = np.array(scores)
        few, many = table[:, 0].argmax(), table[:, 2].argmax()
        rows.append([table[few, 0], table[few, 1], table[many, 2], table[many, 3]])
        print(f"{data_seed:9} {_row(rows[-1])}")
    mean = np.mean(rows, axis=0).tolist()
    print(f"{'mean':>9} {_row(mean)}")


def _row(scores: Sequence[float]) -> str:
    return " ".join(f"{score:{width}.1f}" for score, width in zip(scores, (16, 10, 17, 9), strict=True))


_PARTS = (slice(100), slice(100, None), slice(1000), slice(1000, None))


def measure_dropout_place(images: Draw) -> None:
    """Train with dropout where the report has it, after the first ReLU, and where it says it is."""
    print("\n6. Accuracy, %, on 1000 images by place of the dropout; learning rate 0.05, mean of 3 seeds\n")
    rates = (0.2, 0.3, 0.4, 0.6)
    print(f"{'dropout rate':>22} " + " ".join(f"{rate:5}" for rate in rates))
    for on_input in (False, True):
        means = []
        for dropout_rate in rates:
            scores = []
            for seed in SEEDS:
                cell = Cell(0.05, dropout_rate, seed=seed)
                network = build_fast(cell, MENDED)
                if on_input:
                    (place,) = (i for i, layer in enumerate(network.layers) if isinstance(layer, Dropout))
                    network.layers.insert(0, network.layers.pop(place))
                train(network, cell, images.x, images.y)
                scores.append(score(network, images.other_x[:1000], images.other_y[:1000]))
            means.append(np.mean(scores))
        row = " ".join(f"{mean:5.1f}" for mean in means)
        print(f"{'on the images' if on_input else 'after the first ReLU':>22} {row}")


def measure_draws(images: Draw) -> None:
    """Train one configuration on other images each time, and on the same ones with other seeds."""
    rows = {
        "the same images, another seed": [(images, seed) for seed in range(10)],
        "other images, the same seed": [(draw(data_seed), 0) for data_seed in range(10)],
    }
    print("\n7. Accuracy, %, on 1000 images of one configuration, ten times; learning rate 0.05\n")
    for title, runs in rows.items():
        scores = []
        for drawn, seed in runs:
            cell = Cell(0.05, seed=seed)
            network = build_fast(cell, MENDED)
            train(network, cell, drawn.x, drawn.y)
            scores.append(score(network, drawn.other_x[:1000], drawn.other_y[:1000]))
        spread = f"{np.std(scores, ddof=1):.2f}"
        print(
            f"{title:30} mean {np.mean(scores):.1f}, standard deviation {spread}, "
            f"lowest {min(scores):.1f}, highest {max(scores):.1f}"
        )


def measure_shuffling(images: Draw) -> None:
    """Meet the images in the same order in every epoch, or in another one in each."""
    print("\n8. Accuracy, %, on 1000 images; mean of 10 seeds; batch size 10\n")
    print(f"{'learning rate':>34} " + " ".join(f"{rate:5}" for rate in RATES))
    for reshuffled in (True, False):
        means = []
        for learning_rate in RATES:
            scores = []
            for seed in range(10):
                cell = Cell(learning_rate, seed=seed)
                network = build_fast(cell, MENDED)
                train(network, cell, images.x, images.y, reshuffled=reshuffled)
                scores.append(score(network, images.other_x[:1000], images.other_y[:1000]))
            means.append(np.mean(scores))
        title = "another order in each epoch" if reshuffled else "the same order in every epoch"
        print(f"{title:>34} " + " ".join(f"{mean:5.1f}" for mean in means))


def main() -> None:
    """Run all experiments, one thread."""
    with threadpool_limits(limits=1):
        images = draw()
        check_array_layers(images)
        measure_mistakes(images)
        measure_batch_norm_gradient()
        measure_running_variance(images)
        measure_lost_bias(images)
        measure_selection()
        measure_dropout_place(images)
        measure_draws(images)
        measure_shuffling(images)


if __name__ == "__main__":
    main()
