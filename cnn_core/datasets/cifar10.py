"""CIFAR-10 in its binary version, which needs no pickle to be read."""

from pathlib import Path

import numpy as np

from cnn_core.config import ConfigError
from cnn_core.datasets.source import Labels, Pixels, Source, as_labels, join

CLASSES = 10
CHANNELS, SIDE = 3, 32
RECORD = 1 + CHANNELS * SIDE * SIDE
"""Bytes of a record: the class, then 1024 red, 1024 green and 1024 blue values, each row by row."""

FILES = (*(f"data_batch_{batch}.bin" for batch in range(1, 6)), "test_batch.bin")
SUBFOLDER = "cifar-10-batches-bin"


def find_cifar10(folder: Path) -> Source:
    """Return the images of all batches there are, in `folder` or in the subfolder that the archive makes.

    Raises: ConfigError if there is no batch, or one is not made of whole records.
    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009), and its web page.
    """
    for place in (folder, folder / SUBFOLDER):
        if batches := [place / name for name in FILES if (place / name).is_file()]:
            return join([_find_batch(path) for path in batches])
    raise ConfigError(
        f'dataset: "cifar10" needs data_batch_1.bin to data_batch_5.bin and test_batch.bin in {folder}, '
        f"found none; unpack the binary version of CIFAR-10 there (docs/data.md)"
    )


def _find_batch(path: Path) -> Source:
    size = path.stat().st_size
    if size == 0 or size % RECORD:
        raise ConfigError(
            f"{path}: found {size} bytes; expected a multiple of {RECORD}, one image with its label: "
            f"truncated or of another kind (the Python version is not read)"
        )
    return Source((path,), (size // RECORD, CHANNELS, SIDE, SIDE), CLASSES, lambda: _read(path))


def _read(path: Path) -> tuple[Pixels, Labels]:
    records = np.fromfile(path, np.uint8).reshape(-1, RECORD)
    return records[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE), as_labels(records[:, 0], path, CLASSES)
