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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import ConfigError
from cnn_core.datasets import folders, mnist
from cnn_core.datasets.digits import find_digits
from cnn_core.datasets.folders import find_folder
from cnn_core.datasets.places import find_source
from cnn_core.datasets.source import Labels, Pixels, Source

__all__ = ["DATASETS", "SPLITS", "Images", "check", "fingerprint", "load"]

DATASETS = ("digits", "mnist", "cifar10")
"""Known by name. Any other is the name of a folder of yours."""
SPLITS = ("test", "validation", "folds", "official")
FOLDS = 5
"""Of split = "folds", if it is not said how many."""

_DRAW = 0x64726177
"""The purpose of this random stream ("draw"): a `seed` equal to `data_seed` shares nothing with it."""

CIFAR = {
    "cifar10": "data_batch_1.bin to data_batch_5.bin and test_batch.bin",
    "cifar100": "train.bin and test.bin",
}

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
    _require_int("data_seed", data_seed, least=0)
    held = _held_size(train_size, split, validation_size)
    inner = (folds or FOLDS, fold) if fold is not None else None
    around = (outer_folds or FOLDS, outer) if outer is not None else None
    folder, official = _folder(name, data_dir), split == "official"
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
        raise ConfigError(f"split must be {_either(SPLITS)}, found {split!r}")
    folder = _folder(name, data_dir)
    _require_int("train_size", train_size, least=1)
    _require_int("test_size", test_size, least=1)
    _held_size(train_size, split, validation_size)
    _check_folds(train_size, split, folds, fold, outer_folds, outer)
    source = _find(name, folder)
    count, channels, rows, columns = source.shape if source else mnist.SHAPE
    if train_size + test_size > count:
        where = f" in {folder}" if source and folder != _NO_FOLDER else ""
        raise ConfigError(
            f"train_size {train_size} + test_size {test_size} = {train_size + test_size} images, "
            f"but {name} has {count}{where}; write sizes whose sum is at most {count}"
        )
    if split == "official":
        _check_official(name, train_size, test_size, count, source.test_count if source else mnist.TEST_COUNT)
    return channels, rows, columns, source.classes if source else mnist.CLASSES


def _check_official(name: str, train_size: int, test_size: int, count: int, tests: int) -> None:
    if tests == 0:
        raise ConfigError(
            f'split = "official" needs test images that {name} keeps apart, found none; write split = "test"'
        )
    for argument, size, most in (("train_size", train_size, count - tests), ("test_size", test_size, tests)):
        if size > most:
            raise ConfigError(
                f"{argument} {size} is more than the {most} images that {name} has for it with "
                f'split = "official"; '
                f"write at most {most}"
            )


def fingerprint(name: str, *, data_dir: str | PathLike[str] | None) -> str:
    """Return the SHA-256 (hexadecimal) of the files in use: of their content, not of where they lie.

    Reads them once a process, and downloads MNIST if there are no files.

    Raises: ConfigError if the dataset is unknown, missing or damaged.
    """
    return _hash(name, _folder(name, data_dir))


def _folder(name: str, data_dir: str | PathLike[str] | None) -> Path:
    if not isinstance(name, str) or not name or name[0] in ".~" or Path(name).name != name:
        raise ConfigError(f"dataset must be {_either(DATASETS)} or a folder's name, found {name!r}")
    if name == "digits":
        return _NO_FOLDER
    with _told_as_config_error(Path(name)):
        return find_folder(name, data_dir)


def _held_size(train_size: int, split: str, validation_size: int | None) -> int:
    """Return how many of the last training images are held out for selection: none unless split says so."""
    if split != "validation":
        if validation_size is not None:
            raise ConfigError(
                f'validation_size {validation_size} has no meaning with split = "{split}"; '
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


def _check_folds(
    train_size: int,
    split: str,
    folds: int | None,
    fold: int | None,
    outer_folds: int | None,
    outer: int | None,
) -> None:
    said = {"folds": folds, "fold": fold, "outer_folds": outer_folds, "outer": outer}
    if split != "folds":
        for name, value in said.items():
            if value is not None:
                raise ConfigError(
                    f'{name} {value} has no meaning with split = "{split}"; '
                    f'remove it, or write split = "folds"'
                )
        return
    left, of = train_size, f"train_size {train_size}"
    if outer is not None or outer_folds is not None:
        count = _check_fold(("outer_folds", "outer"), outer_folds, outer, left, of)
        left -= -(-left // count)  # the largest part
        of = f"the {left} images that outer folds leave"
    if outer is None or fold is not None or folds is not None:
        _check_fold(("folds", "fold"), folds, fold, left, of, needed=outer is None)


def _check_fold(
    names: tuple[str, str], count: int | None, place: int | None, most: int, of: str, *, needed: bool = True
) -> int:
    """Return how many parts there are, five if it is not said. Raises: ConfigError."""
    parts, part = names
    count = FOLDS if count is None else count
    if isinstance(count, bool) or not isinstance(count, int) or not 2 <= count <= most:
        raise ConfigError(f"{parts} must be a whole number from 2 to {of}, found {count!r}; write 5")
    if place is None and not needed:
        return count
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < count:
        found = "none" if place is None else repr(place)
        raise ConfigError(
            f"{part} must be a whole number from 0 to {count - 1} with {parts} {count}, found {found}; "
            f"as a replicate axis write {part} = {list(range(count)) if count <= 10 else [0, 1, 2]}"
        )
    return count


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
            if name == "digits":
                source = find_digits()
            else:
                source = find_source(name, folder, named=folder.parent != folders.cache_directory())
        if source is None and name != "mnist":
            raise _missing(name, folder)
        if source is not None:
            _found[name, folder] = source
    return source


def _missing(name: str, folder: Path) -> ConfigError:
    if name in CIFAR:
        return ConfigError(
            f'dataset: "{name}" needs {CIFAR[name]} in {folder}, found none; '
            f"unpack the binary version there (docs/data.md)"
        )
    return ConfigError(
        f"dataset must be {_either(DATASETS)}, found {name!r}, and no images in {folder}; "
        f"put them there in a form that docs/data.md lists, or mend the name"
    )


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
def _draw(
    name: str,
    folder: Path,
    train_size: int,
    test_size: int,
    data_seed: int,
    held_size: int,
    outer: tuple[int, int] | None,
    inner: tuple[int, int] | None,
    official: bool,
) -> Images:
    pixels, labels = _read(name, folder)
    chosen = np.random.default_rng([data_seed, _DRAW]).permutation(len(labels))
    training, test = chosen[:train_size], chosen[train_size : train_size + test_size]
    if official:
        first = len(labels) - _source(name, folder).test_count
        training, test = chosen[chosen < first][:train_size], chosen[chosen >= first][:test_size]
    held_out = training[train_size - held_size :]
    training = training[: train_size - held_size]
    for folds in (outer, inner):  # of what is left
        if folds is not None:
            dealt = _deal(labels[training], folds[0]) == folds[1]
            training, held_out = training[~dealt], training[dealt]
    train_x, train_y = _take(pixels, labels, training)
    test_x, test_y = _take(pixels, labels, test)
    held_x, held_y = _take(pixels, labels, held_out) if len(held_out) else (test_x, test_y)
    return Images(train_x, train_y, held_x, held_y, test_x, test_y, _source(name, folder).classes)


def _take(pixels: Pixels, labels: Labels, places: NDArray[Any]) -> tuple[NDArray[np.float32], Labels]:
    x, y = np.divide(pixels[places], np.float32(255), dtype=np.float32), labels[places]
    x.flags.writeable = y.flags.writeable = False
    return x, y


def _deal(labels: Labels, folds: int) -> NDArray[np.int64]:
    """The fold of each image: sorted by class, then dealt in turn.

    So no two folds differ by more than one image, neither in size nor within a class.

    Shapes: labels (N,); result (N,), from 0 to folds - 1.
    """
    dealt = np.empty(len(labels), dtype=np.int64)
    dealt[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % folds
    return dealt


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
