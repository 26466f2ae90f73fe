"""Every hyperparameter of one training run, validated."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NoReturn

import numpy as np

NORMS = ("batch", "none")
INITS = ("xavier", "glorot", "he")
SCHEDULES = ("compound", "exponential", "constant")


class ConfigError(ValueError):
    """A configuration that cannot run: names the argument, what was found and what to write instead."""


@dataclass(frozen=True)
class Config:
    """What one training run is made of. The defaults are the study's.

    NumPy's numbers and arrays and paths become Python's own, as a checkpoint writes them.

    Raises: ConfigError naming the argument and its value.
    """

    learning_rate: float = 0.05
    """Step of the gradient descent, above 0."""
    dropout_rate: float = 0.3
    """Probability, in [0, 1), with which an activation after the first ReLU is dropped; to 1/65536."""
    epochs: int = 5
    """Passes over the training images."""
    batch_size: int = 10
    """Images a step, the last batch of an epoch may be smaller; each takes 60 kB in the study's network."""
    schedule: str = "compound"
    """After epoch e (from 0) the rate is multiplied: `compound` by decay^(e+1), `exponential` by decay."""
    decay: float = 0.95
    """The factor of the schedule, in (0, 1]."""
    init: str = "xavier"
    norm: str = "batch"
    conv_channels: tuple[int, ...] = (6, 16)
    """Filters of each convolution; each is followed by ReLU and a 2 x 2 maximum."""
    kernel_size: int = 5
    stride: int = 1
    padding: int = 0
    """Rows and columns of zeros around each convolution's input, fewer than kernel_size."""
    seed: int = 0
    """Names the random streams of initialisation, shuffling and dropout."""
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
    data_dir: str | None = None
    data_seed: int = 0
    """Names the random stream that draws the images, so that `seed` varies the training alone."""

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))
        for name, least in (("epochs", 1), ("batch_size", 1), ("kernel_size", 1), ("stride", 1)):
            self._require_int(name, least)
        for name in ("padding", "seed", "data_seed"):
            self._require_int(name, 0)
        if self.padding >= self.kernel_size:  # beyond that, outputs would see zeros alone
            self._refuse("padding", f"below kernel_size ({self.kernel_size})", str(self.kernel_size // 2))
        self._require_number("learning_rate", lambda v: v > 0, "a number above 0", "0.05")
        self._require_number("dropout_rate", lambda v: 0 <= v < 1, "in [0, 1)", "0.3")
        self._require_number("decay", lambda v: 0 < v <= 1, "in (0, 1]", "0.95")
        for name, known in (("norm", NORMS), ("init", INITS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                self._refuse(name, f"one of {', '.join(known)}", repr(known[0]))
        channels: Any = self.conv_channels
        if not isinstance(channels, Sequence) or isinstance(channels, str) or not channels:
            self._refuse("conv_channels", "a list of whole numbers", "[6, 16]")
        if any(isinstance(c, bool) or not isinstance(c, int) or c < 1 for c in channels):
            self._refuse("conv_channels", "whole numbers from 1", "[6, 16]")
        object.__setattr__(self, "conv_channels", tuple(channels))

    def rate(self, epoch: int) -> float:
        """The learning rate used in an epoch, counted from 0.

        `compound` is the study's: its factors accumulate to decay^(1 + 2 + ... + epoch).
        """
        power = {"constant": 0, "exponential": epoch, "compound": epoch * (epoch + 1) // 2}[self.schedule]
        return float(self.learning_rate * self.decay**power)

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

    def _refuse(self, name: str, wanted: str, example: str) -> NoReturn:
        raise ConfigError(f"{name} must be {wanted}, found {getattr(self, name)!r}; write {example}")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
