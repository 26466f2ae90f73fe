"""Every hyperparameter of one training run: what it means, and its validation."""

import math
import os
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
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


def _said(default: Any, text: str) -> Any:
    """A field with what it means and in what unit; what it may be stands in the tables above."""
    return field(default=default, metadata={"text": text})


@dataclass(frozen=True)
class Config:
    """What one training run is made of. The defaults are the study's, but for `init`.

    `meaning` tells of each field what it is, and what it may be.

    NumPy's numbers and arrays and paths become Python's own, as a checkpoint writes them.

    Raises: ConfigError naming the argument and its value.
    """

    learning_rate: float = _said(0.05, "step of the gradient descent")
    dropout_rate: float = _said(
        0.3, "probability that an activation is dropped, to 1/65536 (Srivastava et al., JMLR 2014)"
    )
    epochs: int = _said(5, "passes over the training images")
    batch_size: int = _said(10, "images per step; the last batch of an epoch may be smaller")
    schedule: str = _said("compound", "how the rate falls from epoch to epoch; compound is the study's")
    decay: float = _said(0.95, "factor of compound, exponential and step")
    schedule_epochs: int | None = _said(
        None, "epochs between two steps, or that cosine and one_cycle stretch over; whole, from 1"
    )
    warmup_epochs: int = _said(0, "epochs that lead up to the full rate, in equal steps")
    init: str = _said("glorot", "how weights begin (Glorot 2010, He 2015); report is the study's")
    activation: str = _said("relu", "after each convolution and each hidden layer")
    norm: str = _said("batch", "normalisation (Ioffe 2015, Ba 2016, Ulyanov 2016, Wu 2018)")
    norm_at: str = _said("first", "after which convolutions the norm stands")
    groups: int = _said(2, "groups of channels, of norm = group")
    pool: str = _said("max", "pooling after each convolution")
    pool_size: int = _said(2, "rows and columns of a pooling window, in pixels; windows lie side by side")
    global_pool: bool = _said(
        False, "the mean of each channel instead of all its positions (Lin et al., ICLR 2014)"
    )
    hidden: tuple[int, ...] = _said((), "outputs of each linear layer before the last one")
    dropout: str = _said("element", "drop single activations or whole channels (Tompson et al., CVPR 2015)")
    dropout_at: str = _said("first", "after the first activation, after all, or in the linear layers alone")
    optimizer: str = _said("sgd", "update rule (Kingma and Ba 2015, Loshchilov and Hutter 2019, Hinton 2012)")
    momentum: float = _said(0.0, "share of the last step that is kept, of sgd (Polyak 1964)")
    nesterov: bool = _said(False, "look ahead by the momentum, of sgd (Sutskever et al., ICML 2013)")
    beta1: float = _said(0.9, "decay of the gradient's mean per step, of adam and adamw")
    beta2: float | None = _said(
        None, "decay of the squared gradient's mean per step; none: 0.999 of adam and adamw, 0.99 of rmsprop"
    )
    epsilon: float = _said(1e-8, "added to the root of the squared gradient's mean, of adam, adamw, rmsprop")
    weight_decay: float = _said(
        0.0, "L2 penalty: half of it times the weights' squares; of adamw apart from the gradient"
    )
    l1: float = _said(0.0, "L1 penalty: times the sum of the weights' sizes (Tibshirani 1996)")
    max_norm: float | None = _said(
        None, "greatest length of the weights that lead into one output (Srebro and Shraibman 2005)"
    )
    clip_norm: float | None = _said(
        None, "greatest length of a step's whole gradient (Pascanu et al., ICML 2013)"
    )
    label_smoothing: float = _said(
        0.0, "share of the target spread over all classes, in training alone (Szegedy et al., CVPR 2016)"
    )
    augment_shift: float = _said(0.0, "move each training image by up to so many pixels along each axis")
    augment_rotate: float = _said(0.0, "turn each training image by up to so many degrees, either way")
    augment_scale: float = _said(0.0, "make each training image larger or smaller by up to this share")
    augment_noise: float = _said(0.0, "standard deviation of added noise; pixels are in [0, 1]")
    mixup: float = _said(
        0.0, "alpha of the Beta distribution by which images are mixed, 0: none (Zhang et al., ICLR 2018)"
    )
    members: int = _said(1, "networks that train side by side and whose probabilities are averaged")
    average: float = _said(
        1,
        "average the weights of the last so many epochs (Izmailov 2018); below 1: of all, decaying",
    )
    metrics: tuple[str, ...] = _said((), "further metrics of the held-out images")
    conv_channels: tuple[int, ...] = _said((6, 16), "filters of each convolution")
    kernel_size: int = _said(5, "rows and columns of a convolution's kernel, in pixels")
    stride: int = _said(1, "pixels from one position of a kernel to the next")
    padding: int = _said(0, "rows and columns of zeros around a convolution's input, below kernel_size")
    seed: int = _said(0, "names the random streams of initialisation, shuffling, dropout and augmentation")
    dataset: str = _said("digits", "digits, mnist, cifar10, or the name of a folder of yours (data.md)")
    train_size: int = _said(600, "training images; whole, from 1")
    test_size: int = _said(1000, "test images; whole, from 1")
    split: str = _said("test", "what is selected on: test, validation, folds or official (data.md)")
    validation_size: int | None = _said(
        None, "training images held out with split = validation; none: a fifth of train_size"
    )
    folds: int | None = _said(None, "stratified parts with split = folds; whole, from 2; none: 5")
    fold: int | None = _said(None, "the part that is held out, from 0: a replicate axis")
    outer_folds: int | None = _said(None, "stratified parts around folds; whole, from 2; none: 5")
    outer: int | None = _said(None, "the outer part that takes no part in choosing, from 0: a replicate axis")
    data_dir: str | None = _said(
        None, "directory of the datasets' folders; none: CNN_CORE_DATA, or the user's cache"
    )
    data_seed: int = _said(0, "names the random stream that draws the images; seed varies the training alone")

    def __post_init__(self) -> None:
        for own in fields(self):
            object.__setattr__(self, own.name, _plain(getattr(self, own.name)))
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
        if self.data_dir is not None and not isinstance(self.data_dir, str):
            self._refuse("data_dir", "a directory", '"data"')
        self._require_metrics()
        self._require_use()

    def _require_use(self) -> None:
        """Raise ConfigError for a hyperparameter that others leave without effect, or that lacks another."""
        defaults = {own.name: own.default for own in fields(self)}
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


def meaning(name: str) -> str:
    """One line on a hyperparameter: what it is, its unit, its source, and what it may be."""
    (text,) = (own.metadata["text"] for own in fields(Config) if own.name == name)
    return "; ".join([text, *([allowed] if (allowed := _allowed(name)) else [])])


def _allowed(name: str) -> str:
    """What a hyperparameter may be, in words, as it is validated."""
    if name in CHOICES:
        return f"one of {', '.join(CHOICES[name])}"
    if name in LEAST:
        return f"whole, from {LEAST[name]}"
    if name in NUMBERS:
        return NUMBERS[name][1].removeprefix("a number ") + (" or none" if name in OPTIONAL else "")
    if name in SIZES:
        return f"a list such as {SIZES[name][1]}"
    return f"of {', '.join(SCORES)}" if name == "metrics" else ""


def spelt(value: Any) -> str:
    """A value as a command line or a grid.toml has it; "none" for one that is left out."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str([*value]).replace(" ", "") if isinstance(value, tuple) else str(value)


def table(*, without: Sequence[str] = ()) -> str:
    """The hyperparameters with their defaults and what they mean, for `help` and a shell."""
    told = [
        textwrap.fill(
            f"  {f'{own.name}={spelt(own.default)}':<21} {meaning(own.name)}",
            width=100, subsequent_indent=" " * 24, break_long_words=False, break_on_hyphens=False,
        )
        for own in fields(Config)
        if own.name not in without
    ]  # fmt: skip
    return "\n".join(told)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
