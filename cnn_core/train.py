"""train(**params): one training run, one mapping of metrics an epoch."""

import dataclasses
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core import checkpoint
from cnn_core.architecture import (
    build_layers,
    build_rule,
    initial_parameters,
    initial_statistics,
)
from cnn_core.checkpoint import Keeper, Metrics
from cnn_core.config import Config, ConfigError
from cnn_core.datasets import Images, check
from cnn_core.datasets import fingerprint as fingerprint_dataset
from cnn_core.datasets import load as load_dataset
from cnn_core.layers import CrossEntropy, Layer
from cnn_core.runner import choose

# Purposes of the random streams, each derived from (seed, purpose): none depends on another's use.
INIT, ORDER, DROPOUT = range(3)

VERSION = "3"
"""Raised whenever the same configuration gives other results."""

READABLE = ("2", VERSION)
"""Versions whose weights mean the same. From 2 to 3 the default of `init` changed."""


def train(
    *,
    learning_rate: float = 0.05,
    dropout_rate: float = 0.3,
    epochs: int = 5,
    batch_size: int = 10,
    schedule: str = "compound",
    decay: float = 0.95,
    schedule_epochs: int | None = None,
    warmup_epochs: int = 0,
    init: str = "glorot",
    activation: str = "relu",
    norm: str = "batch",
    norm_at: str = "first",
    groups: int = 2,
    pool: str = "max",
    pool_size: int = 2,
    global_pool: bool = False,
    hidden: Sequence[int] = (),
    dropout: str = "element",
    dropout_at: str = "first",
    optimizer: str = "sgd",
    momentum: float = 0.0,
    nesterov: bool = False,
    beta1: float = 0.9,
    beta2: float | None = None,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    l1: float = 0.0,
    max_norm: float | None = None,
    clip_norm: float | None = None,
    label_smoothing: float = 0.0,
    conv_channels: Sequence[int] = (6, 16),
    kernel_size: int = 5,
    stride: int = 1,
    padding: int = 0,
    seed: int = 0,
    dataset: str = "digits",
    train_size: int = 600,
    test_size: int = 1000,
    split: str = "test",
    validation_size: int | None = None,
    folds: int | None = None,
    fold: int | None = None,
    outer_folds: int | None = None,
    outer: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    data_seed: int = 0,
    output_dir: str | None = None,
    resume_from: int = 0,
) -> Iterator[Metrics]:
    """Train one network and yield its metrics after each epoch; `Config` explains the parameters.

    `accuracy` (0 to 1) and `loss` (mean cross-entropy) are those of the images that are selected on: the
    test images for split = "test", those held out of training for "validation" and "folds". `train_loss`
    is the mean over the epoch's batches as they were met, `learning_rate_used` the rate of this epoch.
    `correct` is a boolean for each of the images that are selected on, in their order: whether it was right.

    The k-th mapping does not depend on `epochs`: a shorter run is the beginning of a longer one, bit for
    bit. Once a loss is not finite, every number but the rate is NaN, `correct` is
    left out, and no more time is spent.

    With `output_dir` training is kept there, once a second at most, and the same call goes on from what it
    finds. The first `resume_from` epochs are not yielded: whoever was interrupted has them already.

    Raises: ConfigError for what cannot run.
    """
    params = {name: value for name, value in locals().items() if name not in ("output_dir", "resume_from")}
    if isinstance(resume_from, bool) or not isinstance(resume_from, int) or resume_from < 0:
        raise ConfigError(f"resume_from must be a whole number from 0, found {resume_from!r}; write 0")
    training = _Training(Config(**params))
    keeper = None if output_dir is None else Keeper(Path(output_dir), VERSION, training.config)
    return islice(training.run(keeper), resume_from, None)


def validate(**params: Any) -> None:
    """Raise ConfigError for a configuration that cannot run. Quick: nothing is loaded or compiled."""
    _layers(Config(**params))


def fingerprint(*, dataset: str = "digits", data_dir: str | os.PathLike[str] | None = None) -> str:
    """A hash of the images' files: the same parameters on other data are another cell.

    Takes what it depends on and no more, so that a sweep asks once and not for every trajectory.
    """
    return fingerprint_dataset(dataset, data_dir=data_dir)


train.version = VERSION  # type: ignore[attr-defined]
train.validate = validate  # type: ignore[attr-defined]
train.fingerprint = fingerprint  # type: ignore[attr-defined]


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network: its configuration, weights and running statistics (float32, flat)."""

    config: Config
    shape: tuple[int, int, int]
    classes: int
    parameters: NDArray[np.float32]
    statistics: NDArray[np.float32]

    def predict(self, images: NDArray[Any]) -> NDArray[np.int64]:
        """The class of each image.

        Shapes: images (N, C, H, W), floats in [0, 1] or bytes; result (N,). Raises: ConfigError.
        """
        found: NDArray[np.int64] = self.logits(images).argmax(axis=1)
        return found

    def logits(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """The scores before softmax.

        Shapes: images (N, C, H, W), floats in [0, 1] or bytes; result (N, classes). Raises: ConfigError.
        """
        scaled = _scale(images, self.shape)
        layers = build_layers(self.config, self.shape, self.classes)
        runner = choose(layers, self.shape, CrossEntropy(self.config.label_smoothing))
        runner.begin(self.parameters, self.statistics, 1)
        return runner.predict(scaled)

    def save(self, path: str | Path) -> None:
        """Write an .npz that `cnn_core.load` gives back bit for bit. Raises: OSError."""
        config = dataclasses.asdict(self.config)
        meta = {"version": VERSION, "config": config, "shape": self.shape, "classes": self.classes}
        checkpoint.write(Path(path), json.dumps(meta), self.parameters, self.statistics)


def load(path: str | Path) -> Model:
    """Read what `Model.save` wrote. Raises: ConfigError if the file is missing or is no such checkpoint."""
    meta_text, parameters, statistics = checkpoint.read(Path(path))
    try:
        meta = json.loads(meta_text)
        if (found := meta.get("version", "1")) not in READABLE:  # the same numbers would mean other weights
            raise ValueError(f"it was written by version {found} of the layers, here is {VERSION}")
        if meta["config"].get("init") == "xavier":  # until version 3
            meta["config"]["init"] = "report"
        config, shape, classes = Config(**meta["config"]), tuple(meta["shape"]), meta["classes"]
        if len(shape) != 3 or any(type(side) is not int or side < 1 for side in (*shape, classes)):
            raise ValueError(f"shape {shape} and classes {classes} are no whole numbers from 1")
        layers = build_layers(config, shape, classes)
        needed = {
            "parameters": initial_parameters(layers, shape, config.init, _stream(0)).size,
            "statistics": initial_statistics(layers, shape).size,
        }
    except Exception as error:  # whatever damage makes of JSON and of a configuration
        words = checkpoint.in_words(error)
        raise ConfigError(f"{path}: is no checkpoint of this version ({words}); write it again") from None
    for name, array in (("parameters", parameters), ("statistics", statistics)):
        if array.size != needed[name]:
            raise ConfigError(f"{path}: holds {array.size} {name}, its configuration needs {needed[name]}")
    return Model(config, shape, classes, parameters, statistics)


def _scale(images: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Images as the network knows them: float32 in [0, 1], bytes divided by 255. Raises: ConfigError."""
    try:
        images = np.asarray(images)
    except ValueError as error:  # rows of different lengths
        raise ConfigError(f"images must be one array, found a list that is none ({error})") from None
    if images.ndim != 4 or images.shape[1:] != shape:
        expected = "x".join(map(str, shape))
        raise ConfigError(f"images must have shape (N, {expected}), found {images.shape}")
    if images.dtype == np.uint8:
        pixels: NDArray[np.float32] = np.divide(images, np.float32(255), dtype=np.float32)
        return pixels
    wanted = "images must be floats in [0, 1] or bytes (uint8)"
    if not np.issubdtype(images.dtype, np.floating):
        raise ConfigError(
            f"{wanted}, found {images.dtype}; write images.astype(numpy.uint8) if they are 0..255"
        )
    if not ((images >= 0) & (images <= 1)).all():  # a NaN is neither
        low, high = images.min(), images.max()
        raise ConfigError(f"{wanted}, found {low:g} to {high:g}; divide them by 255, or clip them")
    return images.astype(np.float32)


def fit(**params: Any) -> Model:
    """Train like `train` and return the network after the last epoch. Raises: ConfigError."""
    training = _Training(Config(**params))
    for _ in training.run():
        pass
    return training.model()


class _Training:
    """One run: the images, the network's layers, and where its weights are."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.layers, self.shape, self.classes = _layers(config)
        self.parameters = initial_parameters(self.layers, self.shape, config.init, _stream(config.seed, INIT))
        self.statistics = initial_statistics(self.layers, self.shape)

    def run(self, keeper: Keeper | None = None) -> Iterator[Metrics]:
        """Yield the metrics of every epoch: of those that `keeper` found at once, then of the others."""
        config, history, kept = self.config, list[Metrics](), None
        rule = build_rule(config, self.layers, self.shape)
        arrays = self.parameters.size, self.statistics.size, len(rule.optimiser.keeps) * self.parameters.size
        if keeper is not None and (found := keeper.read(*arrays)):
            history, self.parameters, self.statistics, kept = found
            yield from history[: config.epochs]
        if len(history) >= config.epochs:
            return
        images = _images(config)
        batch = min(config.batch_size, len(images.train_y))
        runner = choose(self.layers, self.shape, CrossEntropy(config.label_smoothing))
        runner.begin(self.parameters, self.statistics, batch)
        rule.begin(self.parameters, kept, len(history) * -(-len(images.train_y) // batch))
        if keeper is not None:
            keeper.begin()
        diverged = bool(history) and math.isnan(history[-1]["loss"])
        for epoch in range(len(history), config.epochs):
            rate = config.rate(epoch)
            if not diverged:
                order = _stream(config.seed, ORDER, epoch).permutation(len(images.train_y))
                key = int(_stream(config.seed, DROPOUT, epoch).integers(2**64, dtype=np.uint64))
                train_loss = runner.train_epoch(images.train_x, images.train_y, order, batch, rate, key, rule)
                loss, correct = runner.evaluate(images.held_x, images.held_y)
                self.parameters, self.statistics = runner.trained()
                diverged = not (math.isfinite(train_loss) and math.isfinite(loss))
            metrics: Metrics = {
                "accuracy": math.nan if diverged else float(correct.mean()),
                "loss": math.nan if diverged else float(loss),
                "train_loss": math.nan if diverged else float(train_loss),
                "learning_rate_used": rate,
            }
            if not diverged:
                metrics["correct"] = correct
            history.append(metrics)
            if keeper is not None:
                keeper.keep(history, self.parameters, self.statistics, rule.kept.ravel())
            yield dict(metrics)

    def model(self) -> Model:
        return Model(self.config, self.shape, self.classes, self.parameters, self.statistics)


def _layers(config: Config) -> tuple[list[Layer], tuple[int, int, int], int]:
    """A configuration's layers, the shape of an image, the number of classes."""
    *shape, classes = check(
        config.dataset,
        data_dir=config.data_dir,
        train_size=config.train_size,
        test_size=config.test_size,
        split=config.split,
        validation_size=config.validation_size,
        folds=config.folds,
        fold=config.fold,
        outer_folds=config.outer_folds,
        outer=config.outer,
    )
    image = shape[0], shape[1], shape[2]
    return build_layers(config, image, classes), image, classes


def _images(config: Config) -> Images:
    return load_dataset(
        config.dataset,
        data_dir=config.data_dir,
        train_size=config.train_size,
        test_size=config.test_size,
        data_seed=config.data_seed,
        split=config.split,
        validation_size=config.validation_size,
        folds=config.folds,
        fold=config.fold,
        outer_folds=config.outer_folds,
        outer=config.outer,
    )


def _stream(seed: int, *purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, *purpose])
