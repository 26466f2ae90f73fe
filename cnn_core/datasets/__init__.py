"""Labelled images to train on, to select on and to test on, read once a process.

The files of a dataset are found and measured (`check`), hashed (`fingerprint`) or read (`load`). How each
format is read is a file here; docs/data.md tells a user where to put which file.

Axes: N images, C channels, H rows, W columns.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import file_digest, sha256
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import ConfigError
from cnn_core.datasets import mnist
from cnn_core.datasets.cifar10 import find_cifar10
from cnn_core.datasets.digits import find_digits
from cnn_core.datasets.folders import find_folder
from cnn_core.datasets.mnist import find_mnist
from cnn_core.datasets.source import Labels, Pixels, Source

__all__ = ["DATASETS", "SPLITS", "Images", "check", "fingerprint", "load"]

DATASETS = ("digits", "mnist", "cifar10")
SPLITS = ("test", "validation")

_DRAW = 0x64726177
"""The purpose of this random stream ("draw"): a `seed` equal to `data_seed` shares nothing with it."""

_NO_FOLDER = Path()
"""Stands for the folder of a dataset that needs none."""


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
) -> Images:
    """Draw `train_size + test_size` images from all there are, by a shuffle seeded with `data_seed`.

    With `split = "validation"` the last `validation_size` of the training images (a fifth of them if None)
    are held out for selection, and training goes on with the rest; the test images are those of
    `split = "test"`. The report that the study comes from selected on its test images, which is
    `split = "test"` (docs/report.md).

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
    )
    _require_int("data_seed", data_seed, least=0)
    held_size = _held_size(train_size, split, validation_size)
    return _draw(name, _folder(name, data_dir), train_size, test_size, data_seed, held_size)


def check(
    name: str,
    *,
    data_dir: str | PathLike[str] | None,
    train_size: int,
    test_size: int,
    split: str,
    validation_size: int | None,
) -> tuple[int, int, int, int]:
    """Return (C, H, W, classes) of a dataset from which that many images can be drawn.

    Looks at headers and file sizes only, once a process, so it may be asked for every cell of a grid. MNIST
    that is not there yet counts as the 70,000 images that `load` and `fingerprint` would download.

    Raises: ConfigError for an unknown name or split, a size below 1, too few images, missing or damaged
    files.
    """
    if split not in SPLITS:
        raise ConfigError(f"split must be {_either(SPLITS)}, found {split!r}")
    folder = _folder(name, data_dir)
    _require_int("train_size", train_size, least=1)
    _require_int("test_size", test_size, least=1)
    _held_size(train_size, split, validation_size)
    source = _find(name, folder)
    count, channels, rows, columns = source.shape if source else mnist.SHAPE
    if train_size + test_size > count:
        where = f" in {folder}" if source and folder != _NO_FOLDER else ""
        raise ConfigError(
            f"train_size {train_size} + test_size {test_size} = {train_size + test_size} images, "
            f"but {name} has {count}{where}; write sizes whose sum is at most {count}"
        )
    return channels, rows, columns, source.classes if source else mnist.CLASSES


def fingerprint(name: str, *, data_dir: str | PathLike[str] | None) -> str:
    """Return the SHA-256 (hexadecimal) of the files in use: of their content, not of where they lie.

    Reads them once a process, and downloads MNIST if there are no files.

    Raises: ConfigError if the dataset is unknown, missing or damaged.
    """
    return _hash(name, _folder(name, data_dir))


def _folder(name: str, data_dir: str | PathLike[str] | None) -> Path:
    if name not in DATASETS:
        raise ConfigError(f"dataset must be {_either(DATASETS)}, found {name!r}")
    if name == "digits":
        return _NO_FOLDER
    with _told_as_config_error(Path(name)):
        return find_folder(name, data_dir)


def _held_size(train_size: int, split: str, validation_size: int | None) -> int:
    """Return how many training images are held out for selection: none if that is done on the test images."""
    if split == "test":
        if validation_size is not None:
            raise ConfigError(
                f'validation_size {validation_size} has no meaning with split = "test"; '
                f'remove it, or write split = "validation"'
            )
        return 0
    if validation_size is None:
        validation_size = train_size // 5
        origin = f"a fifth of train_size {train_size} is"
    else:
        origin = "validation_size is"
    if isinstance(validation_size, bool) or not isinstance(validation_size, int):
        raise ConfigError(f"validation_size must be a whole number, found {validation_size!r}; write 100")
    if not 1 <= validation_size < train_size:
        raise ConfigError(
            f'{origin} {validation_size}, but split = "validation" holds out at least 1 and fewer than '
            f"train_size {train_size}; write another validation_size or a larger train_size"
        )
    return validation_size


def _require_int(argument: str, value: int, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{argument} must be a whole number of at least {least}, found {value!r}")


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(f'"{name}"' for name in names)


_found: dict[tuple[str, Path], Source] = {}


def _find(name: str, folder: Path) -> Source | None:
    """Return the files of a dataset, measured once a process; None if MNIST has yet to be downloaded."""
    source = _found.get((name, folder))
    if source is None:
        with _told_as_config_error(folder):
            match name:
                case "digits":
                    source = find_digits()
                case "cifar10":
                    source = find_cifar10(folder)
                case _:
                    source = find_mnist(folder)
        if source is not None:
            _found[name, folder] = source
    return source


def _source(name: str, folder: Path) -> Source:
    source = _find(name, folder)
    if source is None:
        # Imported here, and rarely: it brings scikit-learn.
        from cnn_core.datasets.openml import download_mnist

        download_mnist(folder)
        source = _find(name, folder)
        assert source is not None, "the download has just been kept there"
    return source


@cache
def _hash(name: str, folder: Path) -> str:
    source = _source(name, folder)
    digest = sha256()
    with _told_as_config_error(folder):
        for path in source.files:
            with path.open("rb") as file:
                digest.update(file_digest(file, "sha256").digest())
    return digest.hexdigest()


@cache
def _read(name: str, folder: Path) -> tuple[Pixels, Labels]:
    source = _source(name, folder)
    with _told_as_config_error(folder):
        return source.read()


# Only the last one is kept: a sweep over `data_seed` must not fill a worker's memory, where all of MNIST
# takes 220 MB a draw. Drawing the study's 1600 images anew takes 3 ms.
@lru_cache(maxsize=1)
def _draw(name: str, folder: Path, train_size: int, test_size: int, data_seed: int, held_size: int) -> Images:
    pixels, labels = _read(name, folder)
    chosen = np.random.default_rng([data_seed, _DRAW]).permutation(len(labels))[: train_size + test_size]
    x = np.divide(pixels[chosen], np.float32(255), dtype=np.float32)
    y = labels[chosen]
    x.flags.writeable = y.flags.writeable = False
    train, test = slice(train_size - held_size), slice(train_size, None)
    held = slice(train_size - held_size, train_size) if held_size else test
    return Images(x[train], y[train], x[held], y[held], x[test], y[test], _source(name, folder).classes)


@contextmanager
def _told_as_config_error(folder: Path) -> Iterator[None]:
    """Turn a file that the system does not let us read into the one line that says so.

    Names `folder` where the system does not say which file it was.
    """
    try:
        yield
    except OSError as error:
        path, reason = error.filename or folder, error.strerror or error
        raise ConfigError(f"{path}: cannot be read ({reason}); make it readable or remove it") from error
