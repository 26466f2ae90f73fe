"""train(**params): one training run, one mapping of metrics an epoch."""

import dataclasses
import inspect
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core import arrays
from cnn_core.architecture import build_layers
from cnn_core.checkpoint import Keeper, Metrics
from cnn_core.config import OF_DATASETS, Config, ConfigError, table
from cnn_core.datasets import Images, check
from cnn_core.datasets import fingerprint as fingerprint_dataset
from cnn_core.datasets import load as load_dataset
from cnn_core.ensemble import combine
from cnn_core.layers import Layer
from cnn_core.learner import Learner
from cnn_core.memory import require_memory
from cnn_core.model import VERSION, Model
from cnn_core.scores import SCORES, judge, softmax


def train(**params: Any) -> Iterator[Metrics]:
    """Train one network and yield its metrics after each epoch; the parameters stand below.

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

    `images`, made by `from_arrays`, are arrays of your own instead of a dataset's.

    Raises: ConfigError for what cannot run, TypeError for a parameter that is none of these.
    """
    _refuse_strangers(train, params)
    output_dir, resume_from = params.pop("output_dir", None), params.pop("resume_from", 0)
    if isinstance(resume_from, bool) or not isinstance(resume_from, int) or resume_from < 0:
        raise ConfigError(f"resume_from must be a whole number from 0, found {resume_from!r}; write 0")
    training, keeper = begin(params, output_dir)
    return islice(training.run(keeper), resume_from, None)


def begin(
    params: dict[str, Any], output_dir: str | os.PathLike[str] | None
) -> "tuple[_Training, Keeper | None]":
    """A training that is about to run, and what keeps it in `output_dir`. Raises: ConfigError."""
    training = _Training(*_with_images(params))
    return training, None if output_dir is None else Keeper(Path(output_dir), VERSION, training.config)


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


def fit(**params: Any) -> Model:
    """Train like `train`; return the network after the last epoch, with the metrics of each as `history`.

    Raises: ConfigError for what cannot run, TypeError for a parameter that is none of these.
    """
    _refuse_strangers(fit, params)
    training = _Training(*_with_images(params))
    history = tuple(training.run())
    return training.model(history)


class _Training:
    """One run: the images, the network's layers, and those that learn."""

    def __init__(self, config: Config, images: Images | None = None) -> None:
        self.config, self.images = config, images
        self.layers, self.shape, self.classes = _layers(config, images)
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
        images = self.images or _images(config)
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


def _with_images(params: dict[str, Any]) -> tuple[Config, Images | None]:
    """The configuration, and the arrays to train on if some are given. Raises: ConfigError."""
    images = params.pop("images", None)
    if images is None:
        return Config(**params), None
    if not isinstance(images, Images):
        raise ConfigError(f"images must be those of from_arrays(...), found {type(images).__name__}")
    if named := [name for name in OF_DATASETS if name in params]:
        raise ConfigError(f"{named[0]} has no meaning with images of your own; remove it")
    sizes: dict[str, Any] = {"train_size": len(images.train_y), "test_size": len(images.held_y)}
    # The name is part of a checkpoint's identity, as the dataset's is.
    return Config(dataset=f"arrays {arrays.fingerprint(images)}", **sizes, **params), images


def _layers(config: Config, images: Images | None = None) -> tuple[list[Layer], tuple[int, int, int], int]:
    """A configuration's layers, the shape of an image, the number of classes."""
    if images is None:
        *shape, classes = check(config.dataset, **_draw(config))
    else:
        *shape, classes = (*images.train_x.shape[1:], images.classes)
    image = shape[0], shape[1], shape[2]
    layers = build_layers(config, image, classes)
    require_memory(config, layers, image)
    return layers, image, classes


def _images(config: Config) -> Images:
    return load_dataset(config.dataset, data_seed=config.data_seed, **_draw(config))


def _draw(config: Config) -> dict[str, Any]:
    """Which images are drawn, and which of them are held out."""
    names = ("data_dir", "train_size", "test_size", "split", "validation_size")
    return {name: getattr(config, name) for name in (*names, "folds", "fold", "outer_folds", "outer")}


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


for _function in (train, fit):
    _function.__doc__ = f"{inspect.cleandoc(_function.__doc__ or '')}\n\nParameters:\n\n{table()}"
_IMAGES = _parameter("images", None, Images | None)
train.__signature__ = _signature(  # type: ignore[attr-defined]
    _IMAGES,
    _parameter("output_dir", None, str | None),
    _parameter("resume_from", 0, int),
    returns=Iterator[Metrics],
)
fit.__signature__ = _signature(_IMAGES, returns=Model)  # type: ignore[attr-defined]
