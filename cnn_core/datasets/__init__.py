"""Labelled images to train on, to select on and to test on, read once a process.

The files of a dataset are found and measured (`check`), hashed (`fingerprint`) or read (`load`). How each
format is read is a file here; docs/data.md tells a user where to put which file.

Axes: N images, C channels, H rows, W columns.
"""

from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import ConfigError
from cnn_core.datasets import mnist
from cnn_core.datasets.files import DATASETS, NO_FOLDER, find, folder_of, hash_of, read, source_of
from cnn_core.datasets.source import Labels, Pixels
from cnn_core.datasets.splits import (
    FOLDS,
    SPLITS,
    check_folds,
    check_official,
    deal,
    either,
    held_size,
    require_int,
)

__all__ = ["DATASETS", "SPLITS", "Images", "check", "fingerprint", "load"]

_DRAW = 0x64726177
"""The purpose of this random stream ("draw"): a `seed` equal to `data_seed` shares nothing with it."""


@dataclass(frozen=True, eq=False)
class Images:
    """The images of one training run. No image is in two of the parts, except that `held` may be `test`.

    Shapes: x (N, C, H, W) float32, C-contiguous; y (N,) int32, class numbers from 0. All read-only.
    Units: x in [0, 1], 1 being the brightest pixel.
    """

    train_x: NDArray[np.float32]
    train_y: NDArray[np.int32]
    held_x: NDArray[np.float32]
    """What hyperparameters are selected on: the test images, or a part of the training images held out."""
    held_y: NDArray[np.int32]
    test_x: NDArray[np.float32]
    test_y: NDArray[np.int32]
    classes: int


def load(
    name: str,
    *,
    data_dir: str | PathLike[str] | None,
    train_size: int,
    test_size: int,
    data_seed: int,
    split: str,
    validation_size: int | None,
    folds: int | None = None,
    fold: int | None = None,
    outer_folds: int | None = None,
    outer: int | None = None,
) -> Images:
    """Draw `train_size + test_size` images from all there are, by a shuffle seeded with `data_seed`.

    With `split = "validation"` the last `validation_size` of the training images (a fifth of them if None)
    are held out for selection, and training goes on with the rest; with `split = "folds"` it is the fold of
    that number, from 0, of `folds` stratified ones (five if None). With `outer` folds are made of what the
    outer fold of that number leaves; without `fold` the outer fold itself is held out. The test images are
    those of `split = "test"`; the report that the study comes from selected on them (docs/course-report.md).

    With `split = "official"` training images are drawn from those that the dataset has for training, test
    images from its others, so that figures compare with published ones; they are selected on, as in "test".

    The arguments of the last call return its arrays again; files are read once a process.

    Raises: ConfigError as `check`, and if a file does not hold what its header promised.
    """
    check(
        name,
        data_dir=data_dir,
        train_size=train_size,
        test_size=test_size,
        split=split,
        validation_size=validation_size,
        folds=folds,
        fold=fold,
        outer_folds=outer_folds,
        outer=outer,
    )
    require_int("data_seed", data_seed, least=0)
    held = held_size(train_size, split, validation_size)
    inner = (folds or FOLDS, fold) if fold is not None else None
    around = (outer_folds or FOLDS, outer) if outer is not None else None
    folder, official = folder_of(name, data_dir), split == "official"
    return _draw(name, folder, train_size, test_size, data_seed, held, around, inner, official)


def check(
    name: str,
    *,
    data_dir: str | PathLike[str] | None,
    train_size: int,
    test_size: int,
    split: str,
    validation_size: int | None,
    folds: int | None = None,
    fold: int | None = None,
    outer_folds: int | None = None,
    outer: int | None = None,
) -> tuple[int, int, int, int]:
    """Return (C, H, W, classes) of a dataset from which that many images can be drawn.

    Looks at headers and file sizes only, once a process, so it may be asked for every cell of a grid. MNIST
    that is not there yet counts as the 70,000 images that `load` and `fingerprint` would download.

    Raises: ConfigError for an unknown name or split, folds that cannot be, a size below 1, too few images,
    missing or damaged files.
    """
    if split not in SPLITS:
        raise ConfigError(f"split must be {either(SPLITS)}, found {split!r}")
    folder = folder_of(name, data_dir)
    require_int("train_size", train_size, least=1)
    require_int("test_size", test_size, least=1)
    held_size(train_size, split, validation_size)
    check_folds(train_size, split, folds, fold, outer_folds, outer)
    source = find(name, folder)
    count, channels, rows, columns = source.shape if source else mnist.SHAPE
    if train_size + test_size > count:
        where = f" in {folder}" if source and folder != NO_FOLDER else ""
        raise ConfigError(
            f"train_size {train_size} + test_size {test_size} = {train_size + test_size} images, "
            f"but {name} has {count}{where}; write sizes whose sum is at most {count}"
        )
    if split == "official":
        check_official(name, train_size, test_size, count, source.test_count if source else mnist.TEST_COUNT)
    return channels, rows, columns, source.classes if source else mnist.CLASSES


def fingerprint(name: str, *, data_dir: str | PathLike[str] | None) -> str:
    """Return the SHA-256 (hexadecimal) of the files in use: of their content, not of where they lie.

    Reads them once a process, and downloads MNIST if there are no files.

    Raises: ConfigError if the dataset is unknown, missing or damaged.
    """
    return hash_of(name, folder_of(name, data_dir))


# Only the last one is kept: a sweep over `data_seed` must not fill a worker's memory, where all of MNIST
# takes 220 MB a draw. Drawing the study's 1600 images anew takes 3 ms.
@lru_cache(maxsize=1)
def _draw(
    name: str,
    folder: Path,
    train_size: int,
    test_size: int,
    data_seed: int,
    held: int,
    outer: tuple[int, int] | None,
    inner: tuple[int, int] | None,
    official: bool,
) -> Images:
    pixels, labels = read(name, folder)
    chosen = np.random.default_rng([data_seed, _DRAW]).permutation(len(labels))
    training, test = chosen[:train_size], chosen[train_size : train_size + test_size]
    if official:
        first = len(labels) - source_of(name, folder).test_count
        training, test = chosen[chosen < first][:train_size], chosen[chosen >= first][:test_size]
    held_out = training[train_size - held :]
    training = training[: train_size - held]
    for folds in (outer, inner):  # of what is left
        if folds is not None:
            dealt = deal(labels[training], folds[0]) == folds[1]
            training, held_out = training[~dealt], training[dealt]
    train_x, train_y = _take(pixels, labels, training)
    test_x, test_y = _take(pixels, labels, test)
    held_x, held_y = _take(pixels, labels, held_out) if len(held_out) else (test_x, test_y)
    return Images(train_x, train_y, held_x, held_y, test_x, test_y, source_of(name, folder).classes)


def _take(pixels: Pixels, labels: Labels, places: NDArray[Any]) -> tuple[NDArray[np.float32], Labels]:
    x, y = np.divide(pixels[places], np.float32(255), dtype=np.float32), labels[places]
    x.flags.writeable = y.flags.writeable = False
    return x, y
