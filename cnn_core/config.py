"""Every hyperparameter of one training run, validated."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NoReturn

import numpy as np

from cnn_core.schedules import FACTORS, warmup
from cnn_core.scores import SCORES

CHOICES = {
    "schedule": tuple(FACTORS),
    "init": ("glorot", "he", "pytorch", "report"),
    "activation": ("relu", "leaky_relu", "tanh", "gelu", "silu"),
    "norm": ("batch", "none", "layer", "instance", "group"),
    "norm_at": ("first", "all"),
    "pool": ("max", "average", "none"),
    "dropout": ("element", "channel"),
    "dropout_at": ("first", "all", "linear"),
    "optimizer": ("sgd", "adam", "adamw", "rmsprop"),
}
"""What a hyperparameter that is a word may be."""

LEAST = {
    **dict.fromkeys(("epochs", "batch_size", "kernel_size", "stride", "pool_size", "groups", "members"), 1),
    **dict.fromkeys(("padding", "seed", "data_seed", "warmup_epochs"), 0),
}
"""From where on a hyperparameter is a whole number."""

NUMBERS: dict[str, tuple[Callable[[float], bool], str, str]] = {
    "learning_rate": (lambda v: v > 0, "a number above 0", "0.05"),
    "decay": (lambda v: 0 < v <= 1, "in (0, 1]", "0.95"),
    "epsilon": (lambda v: v > 0, "a number above 0", "1e-8"),
    "dropout_rate": (lambda v: 0 <= v < 1, "in [0, 1)", "0.3"),
    **dict.fromkeys(("momentum", "beta1", "beta2"), (lambda v: 0 <= v < 1, "in [0, 1)", "0.9")),
    "label_smoothing": (lambda v: 0 <= v < 1, "in [0, 1)", "0.1"),
    **dict.fromkeys(("weight_decay", "l1"), (lambda v: v >= 0, "a number from 0", "1e-4")),
    **dict.fromkeys(
        ("augment_shift", "augment_noise", "mixup"), (lambda v: v >= 0, "a number from 0", "0.1")
    ),
    "augment_rotate": (lambda v: 0 <= v <= 180, "from 0 to 180", "10"),
    "augment_scale": (lambda v: 0 <= v < 1, "in [0, 1)", "0.1"),
    "average": (
        lambda v: 0 < v < 1 or (v >= 1 and v == int(v)),
        "a whole number from 1 or between 0 and 1",
        "3",
    ),
    **dict.fromkeys(("max_norm", "clip_norm"), (lambda v: v > 0, "a number above 0", "3.0")),
}
"""What a hyperparameter that is a number may be: a test, the same in words, an example."""

SIZES = {"conv_channels": (1, "[6, 16]"), "hidden": (0, "[64]")}
"""Lists of whole numbers from 1: how many of them at least, an example."""

OPTIONAL = ("max_norm", "clip_norm", "beta2")
"""Numbers that may be None."""

USED_BY = {
    "momentum": ("optimizer", ("sgd",)),
    "nesterov": ("optimizer", ("sgd",)),
    "beta1": ("optimizer", ("adam", "adamw")),
    "beta2": ("optimizer", ("adam", "adamw", "rmsprop")),
    "epsilon": ("optimizer", ("adam", "adamw", "rmsprop")),
    "groups": ("norm", ("group",)),
    "schedule_epochs": ("schedule", ("step", "cosine", "one_cycle")),
}
"""A hyperparameter that belongs to some values of another: with the others it would do nothing, silently."""

OF_DATASETS = (
    "dataset", "data_dir", "data_seed", "train_size", "test_size", "split", "validation_size",
    "folds", "fold", "outer_folds", "outer",
)  # fmt: skip
"""Hyperparameters that say which images of a dataset are used."""


class ConfigError(ValueError):
    """A configuration that cannot run: names the argument, what was found and what to write instead."""


@dataclass(frozen=True)
class Config:
    """What one training run is made of. The defaults are the study's, but for `init`.

    NumPy's numbers and arrays and paths become Python's own, as a checkpoint writes them.

    Raises: ConfigError naming the argument and its value.
    """

    learning_rate: float = 0.05
    """Step of the gradient descent, above 0."""
    dropout_rate: float = 0.3
    """Probability, in [0, 1), with which an activation after the first ReLU is dropped (or see dropout_at);
    to 1/65536 by the kernels."""
    epochs: int = 5
    """Passes over the training images."""
    batch_size: int = 10
    """Images a step, the last batch of an epoch may be smaller; each takes 60 kB in the study's network."""
    schedule: str = "compound"
    """After epoch e (from 0) the rate is multiplied: `compound` by decay^(e+1), `exponential` by decay,
    `step` by decay once in `schedule_epochs`; `cosine` and `one_cycle` stretch over these (schedules.py)."""
    decay: float = 0.95
    """The factor of the schedule, in (0, 1]."""
    schedule_epochs: int | None = None
    """Given, never taken from `epochs`, so that a shorter run is the beginning of a longer one."""
    warmup_epochs: int = 0
    """So many epochs lead up to the full rate, in equal steps."""
    init: str = "glorot"
    """Of the weights (architecture.py); biases are 0, but for `pytorch`. The study's is `report`."""
    activation: str = "relu"
    norm: str = "batch"
    norm_at: str = "first"
    """After the first convolution or after "all"."""
    groups: int = 2
    """Of norm = "group": the channels of an image make so many groups."""
    pool: str = "max"
    pool_size: int = 2
    """Rows and columns of a pooling window; windows lie side by side."""
    global_pool: bool = False
    """The mean of each channel instead of all its positions, before the linear layers."""
    hidden: tuple[int, ...] = ()
    """Outputs of each linear layer before the last one; each is followed by the activation."""
    dropout: str = "element"
    """Drop single activations, or whole channels: "channel" (in linear layers always single ones)."""
    dropout_at: str = "first"
    """After the first convolution's activation, after "all" activations, or in the "linear" layers alone:
    after each hidden one's activation, or before the last if none is hidden."""
    optimizer: str = "sgd"
    momentum: float = 0.0
    """Of sgd, in [0, 1)."""
    nesterov: bool = False
    beta1: float = 0.9
    """Of adam and adamw."""
    beta2: float | None = None
    """Of adam and adamw (0.999 if it is not said) and rmsprop (0.99)."""
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    """A penalty of half its product with the sum of all squared weights; with adamw apart from the gradient.
    Biases and what belongs to norms are left alone."""
    l1: float = 0.0
    """A penalty of its product with the sum of all weights' sizes."""
    max_norm: float | None = None
    """The greatest length of the weights that lead into one output."""
    clip_norm: float | None = None
    """The greatest length of a step's whole gradient."""
    label_smoothing: float = 0.0
    """The share of the target that is spread over all classes; `loss` of held-out images is without it."""
    augment_shift: float = 0.0
    """Move each training image by up to so many pixels along each axis, in each epoch anew."""
    augment_rotate: float = 0.0
    """Turn it by up to so many degrees, either way."""
    augment_scale: float = 0.0
    """Make it up to this share larger or smaller, in [0, 1)."""
    augment_noise: float = 0.0
    """Add normal noise of this standard deviation; pixels are in [0, 1]."""
    mixup: float = 0.0
    """Mix each training image with another; alpha of the Beta distribution of their shares, 0 for none."""
    members: int = 1
    """Networks that train side by side, with random streams of their own, and answer as one: the mean of
    their probabilities. The first is the network there is without the others."""
    average: float = 1
    """What answers is the mean of the weights after the last so many epochs; or, below 1, after all of them,
    each weighing so many times as much as the next one (average.py)."""
    metrics: tuple[str, ...] = ()
    """Of the held-out images, besides accuracy and loss: names in scores.py."""
    conv_channels: tuple[int, ...] = (6, 16)
    """Filters of each convolution; each is followed by the activation and a pooling."""
    kernel_size: int = 5
    stride: int = 1
    padding: int = 0
    """Rows and columns of zeros around each convolution's input, fewer than kernel_size."""
    seed: int = 0
    """Names the random streams of initialisation, shuffling, dropout and augmentation."""
    dataset: str = "digits"
    train_size: int = 600
    test_size: int = 1000
    split: str = "test"
    """Select on "test" images, as the study did, or on training images held out: "validation" or "folds"."""
    validation_size: int | None = None
    folds: int | None = None
    """Of split = "folds": the training images make so many stratified parts, five if it is not said."""
    fold: int | None = None
    """Which of them, from 0, is held out and selected on: a replicate axis."""
    outer_folds: int | None = None
    outer: int | None = None
    """Which of the outer folds, five if it is not said, takes no part in choosing: a replicate axis.

    `folds` are made of the rest; without `fold` it is held out and scored."""
    data_dir: str | None = None
    data_seed: int = 0
    """Names the random stream that draws the images, so that `seed` varies the training alone."""

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                self._refuse(name, f"one of {', '.join(known)}", repr(known[0]))
        for name, least in LEAST.items():
            self._require_int(name, least)
        if self.padding >= self.kernel_size:  # beyond that, outputs would see zeros alone
            self._refuse("padding", f"below kernel_size ({self.kernel_size})", str(self.kernel_size // 2))
        for name, (fits, wanted, example) in NUMBERS.items():
            if getattr(self, name) is not None or name not in OPTIONAL:
                self._require_number(name, fits, wanted, example)
        for name in ("nesterov", "global_pool"):
            if not isinstance(getattr(self, name), bool):
                self._refuse(name, "true or false", "False")
        for name, (count, example) in SIZES.items():
            self._require_sizes(name, count, example)
        self._require_metrics()
        self._require_use()

    def _require_use(self) -> None:
        """Raise ConfigError for a hyperparameter that others leave without effect, or that lacks another."""
        defaults = {field.name: field.default for field in fields(self)}
        for name, (other, users) in USED_BY.items():
            if getattr(self, name) != defaults[name] and getattr(self, other) not in users:
                self._refuse(name, f"left out with {other} = {getattr(self, other)!r}", repr(defaults[name]))
        if self.nesterov and self.momentum == 0:
            self._refuse("momentum", "above 0 with nesterov", "0.9")
        if self.schedule in USED_BY["schedule_epochs"][1]:
            self._require_int("schedule_epochs", 1)

    def rate(self, epoch: int) -> float:
        """The learning rate used in an epoch, counted from 0.

        `compound` is the study's: its factors accumulate to decay^(1 + 2 + ... + epoch).
        """
        factor = FACTORS[self.schedule](epoch, self.decay, self.schedule_epochs or 1)
        return float(self.learning_rate * factor * warmup(epoch, self.warmup_epochs))

    def _require_int(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self._refuse(name, f"a whole number from {least}", str(max(least, 1)))

    def _require_number(self, name: str, fits: Any, wanted: str, example: str) -> None:
        value = getattr(self, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        try:
            fine = number and math.isfinite(value) and fits(value)
        except OverflowError:  # a whole number past every float
            fine = False
        if not fine:
            self._refuse(name, wanted, example)

    def _require_sizes(self, name: str, count: int, example: str) -> None:
        sizes: Any = getattr(self, name)
        if not isinstance(sizes, Sequence) or isinstance(sizes, str) or len(sizes) < count:
            self._refuse(name, "a list of whole numbers", example)
        if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes):
            self._refuse(name, "whole numbers from 1", example)
        object.__setattr__(self, name, tuple(sizes))

    def _require_metrics(self) -> None:
        names: Any = self.metrics
        if (
            not isinstance(names, Sequence)
            or isinstance(names, str)
            or any(n not in [*SCORES] for n in names)
        ):
            self._refuse("metrics", f"a list of some of {', '.join(SCORES)}", '["macro_f1"]')
        object.__setattr__(self, "metrics", tuple(dict.fromkeys(names)))

    def _refuse(self, name: str, wanted: str, example: str) -> NoReturn:
        raise ConfigError(f"{name} must be {wanted}, found {getattr(self, name)!r}; write {example}")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
