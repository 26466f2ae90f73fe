"""A dataset's files: where they lie, what they hold, their hash; looked at once a process."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import file_digest, sha256
from os import PathLike
from pathlib import Path

from cnn_core.config import ConfigError
from cnn_core.datasets import folders
from cnn_core.datasets.digits import find_digits
from cnn_core.datasets.places import find_source
from cnn_core.datasets.source import Labels, Pixels, Source
from cnn_core.datasets.splits import either

DATASETS = ("digits", "mnist", "cifar10")
"""Known by name. Any other is the name of a folder of yours."""

CIFAR = {
    "cifar10": "data_batch_1.bin to data_batch_5.bin and test_batch.bin",
    "cifar100": "train.bin and test.bin",
}

NO_FOLDER = Path()
"""Stands for the folder of a dataset that needs none."""


def folder_of(name: str, data_dir: str | PathLike[str] | None) -> Path:
    """The folder that a dataset is looked for in. Raises: ConfigError if the name can be none."""
    if not isinstance(name, str) or not name or name[0] in ".~" or Path(name).name != name:
        raise ConfigError(f"dataset must be {either(DATASETS)} or a folder's name, found {name!r}")
    if name == "digits":
        return NO_FOLDER
    with _told_as_config_error(Path(name)):
        return folders.find_folder(name, data_dir)


_found: dict[tuple[str, Path], Source] = {}


def find(name: str, folder: Path) -> Source | None:
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
        f"dataset must be {either(DATASETS)}, found {name!r}, and no images in {folder}; "
        f"put them there in a form that docs/data.md lists, or mend the name"
    )


def source_of(name: str, folder: Path) -> Source:
    """The files of a dataset; MNIST is downloaded if there is none."""
    source = find(name, folder)
    if source is None:
        # Imported here, and rarely: it brings scikit-learn.
        from cnn_core.datasets.openml import download_mnist

        download_mnist(folder)
        source = find(name, folder)
        assert source is not None, "the download has just been kept there"
    return source


@cache
def hash_of(name: str, folder: Path) -> str:
    """The SHA-256 of their content, not of where they lie."""
    source = source_of(name, folder)
    digest = sha256()
    with _told_as_config_error(folder):
        for path in source.files:
            with path.open("rb") as file:
                digest.update(file_digest(file, "sha256").digest())
    return digest.hexdigest()


@cache
def read(name: str, folder: Path) -> tuple[Pixels, Labels]:
    """All images and labels."""
    source = source_of(name, folder)
    with _told_as_config_error(folder):
        return source.read()


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
