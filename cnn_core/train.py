"""train(**params): one training run, one mapping of metrics an epoch."""

import dataclasses
import inspect
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core import checkpoint
from cnn_core.architecture import build_layers, initial_parameters, initial_statistics
from cnn_core.checkpoint import Keeper, Metrics
from cnn_core.config import Config, ConfigError
from cnn_core.datasets import Images, check
from cnn_core.datasets import fingerprint as fingerprint_dataset
from cnn_core.datasets import load as load_dataset
from cnn_core.ensemble import combine, predict
from cnn_core.layers import Layer
from cnn_core.learner import Learner
from cnn_core.memory import require_memory
from cnn_core.scores import SCORES, judge, softmax

VERSION = "3"
"""Raised whenever the same configuration gives other results."""

READABLE = ("2", VERSION)
"""Versions whose weights mean the same. From 2 to 3 the default of `init` changed."""


def train(**params: Any) -> Iterator[Metrics]:
    """Train one network and yield its metrics after each epoch; `Config` explains the parameters.

    `accuracy` (0 to 1) and `loss` (mean cross-entropy) are those of the images that are selected on: the
    test images for split = "test", those held out of training for "validation" and "folds", as are the
    further `metrics`. `train_loss` is the mean over the epoch's batches as they were met, and over members;
    `learning_rate_used` the rate of this epoch.
    `correct` is a boolean for each of the images that are selected on, in their order: whether it was right.

    The k-th mapping does not depend on `epochs`: a shorter run is the beginning of a longer one, bit for
    bit. Once a loss is not finite, every number but the rate is NaN, `correct` is
    left out, and no more time is spent.

    With `output_dir` training is kept there, once a second at most, and the same call goes on from what it
    finds. The first `resume_from` epochs are not yielded: whoever was interrupted has them already.

    Raises: ConfigError for what cannot run, TypeError for a parameter that is none of these.
    """
    _refuse_strangers(train, params)
    output_dir, resume_from = params.pop("output_dir", None), params.pop("resume_from", 0)
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
    """A trained network: its configuration, weights and running statistics (float32, flat).

    Of an ensemble those of one member after the other.
    """

    config: Config
    shape: tuple[int, int, int]
    classes: int
    parameters: NDArray[np.float32]
    statistics: NDArray[np.float32]
    history: tuple[Metrics, ...] = ()
    """The metrics of each epoch, of a network that `fit` has trained."""

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
        members = self.config.members
        return predict(layers, self.shape, members, self.parameters, self.statistics, scaled)

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
            "parameters": config.members
            * initial_parameters(layers, shape, config.init, np.random.default_rng(0)).size,
            "statistics": config.members * initial_statistics(layers, shape).size,
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
    """Train like `train`; return the network after the last epoch, with the metrics of each as `history`.

    Raises: ConfigError for what cannot run, TypeError for a parameter that is none of these.
    """
    _refuse_strangers(fit, params)
    training = _Training(Config(**params))
    history = tuple(training.run())
    return training.model(history)


class _Training:
    """One run: the images, the network's layers, and those that learn."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.layers, self.shape, self.classes = _layers(config)
        self.learners = [Learner(config, self.layers, self.shape, member) for member in range(config.members)]

    def run(self, keeper: Keeper | None = None) -> Iterator[Metrics]:
        """Yield the metrics of every epoch: of those that `keeper` found at once, then of the others."""
        config, learners, history = self.config, self.learners, list[Metrics]()
        if keeper is not None and (found := keeper.read(*self._sizes())):
            history = found[0]
            self._restore(len(history), *found[1:])
            yield from history[: config.epochs]
        if len(history) >= config.epochs:
            return
        images = _images(config)
        for learner in learners:
            learner.begin(images.train_x, images.train_y)
        if keeper is not None:
            keeper.begin()
        diverged = bool(history) and math.isnan(history[-1]["loss"])
        for epoch in range(len(history), config.epochs):
            rate = config.rate(epoch)
            metrics = self._diverged() if diverged else self._learn(images, rate)
            diverged = math.isnan(metrics["loss"])
            history.append(metrics | {"learning_rate_used": rate})
            if keeper is not None:
                keeper.keep(history, *_joined(learner.numbers() for learner in learners))
            yield dict(history[-1])

    def _learn(self, images: Images, rate: float) -> Metrics:
        """The metrics of one more epoch."""
        train_loss = sum(learner.train_epoch(rate) for learner in self.learners) / len(self.learners)
        logits = combine([learner.predict(images.held_x) for learner in self.learners])
        loss, correct = judge(logits, images.held_y)
        if not (math.isfinite(train_loss) and math.isfinite(loss)):
            return self._diverged()
        probabilities = softmax(logits)
        return {
            "accuracy": float(correct.mean()),
            "loss": loss,
            "train_loss": train_loss,
            **{name: SCORES[name](probabilities, images.held_y) for name in self.config.metrics},
            "correct": correct,
        }

    def _diverged(self) -> Metrics:
        return dict.fromkeys(("accuracy", "loss", "train_loss", *self.config.metrics), math.nan)

    def _sizes(self) -> tuple[int, int, int]:
        """How many numbers `Learner.numbers` has, of all members."""
        count, first = len(self.learners), self.learners[0]
        return count * first.parameters.size, count * first.statistics.size, count * first.kept_size

    def _restore(self, epochs: int, *numbers: NDArray[np.float32]) -> None:
        """Be as after so many epochs, from `Learner.numbers` of all members."""
        each = (np.split(of_all, len(self.learners)) for of_all in numbers)
        for learner, parameters, statistics, kept in zip(self.learners, *each, strict=True):
            learner.restore(epochs, parameters, statistics, kept)

    def model(self, history: tuple[Metrics, ...]) -> Model:
        parameters, statistics = _joined(learner.averaged() for learner in self.learners)
        return Model(self.config, self.shape, self.classes, parameters, statistics, history)


def _joined(numbers: Iterable[tuple[NDArray[np.float32], ...]]) -> list[NDArray[np.float32]]:
    """Of each member's arrays one of all members."""
    return [np.concatenate(of_all) for of_all in zip(*numbers, strict=True)]


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
    layers = build_layers(config, image, classes)
    require_memory(config, layers, image)
    return layers, image, classes


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


def _refuse_strangers(function: Callable[..., Any], params: Mapping[str, Any]) -> None:
    """Raise TypeError as Python does for a parameter that a function has not got."""
    inspect.signature(function).bind(**params)


def _signature(*more: inspect.Parameter, returns: Any) -> inspect.Signature:
    """The hyperparameters, as `Config` has them, and more."""
    kind = inspect.Parameter.KEYWORD_ONLY
    known = [
        inspect.Parameter(field.name, kind, default=field.default, annotation=field.type)
        for field in dataclasses.fields(Config)
    ]
    return inspect.Signature([*known, *more], return_annotation=returns)


def _parameter(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


train.__signature__ = _signature(  # type: ignore[attr-defined]
    _parameter("output_dir", None, str | None), _parameter("resume_from", 0, int), returns=Iterator[Metrics]
)
fit.__signature__ = _signature(returns=Model)  # type: ignore[attr-defined]
