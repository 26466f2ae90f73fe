"""CIFAR-10 and CIFAR-100 in their binary version, which needs no pickle to be read."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnn_core.config import ConfigError
from cnn_core.datasets.source import Labels, Pixels, Source, as_labels, official

CHANNELS, SIDE = 3, 32
PIXELS = CHANNELS * SIDE * SIDE


class Kind(NamedTuple):
    """A record has so many labels, the last one the class; then 1024 red, 1024 green, 1024 blue values."""

    classes: int
    labels: int
    files: tuple[tuple[str, str], ...]
    """Their names, and which part of the official split they are."""


KINDS = {
    "cifar10": Kind(
        10, 1, (*((f"data_batch_{n}.bin", "train") for n in range(1, 6)), ("test_batch.bin", "test"))
    ),
    "cifar100": Kind(100, 2, (("train.bin", "train"), ("test.bin", "test"))),
}
PICKLES = {"data_batch_1": "batches.meta", "test_batch": "batches.meta", "train": "meta", "test": "meta"}
"""A file of the Python version, and another that is beside it."""


def find_cifar(folder: Path, name: str) -> Source | None:  # noqa: ARG001
    """Return the images of all files there are.

    Raises: ConfigError if a file is not made of whole records, or is the Python version's.
    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009), and its web page.
    """
    for kind in KINDS.values():
        there = [(part, folder / file) for file, part in kind.files if (folder / file).is_file()]
        if there:
            return official([(part, _find_file(path, kind)) for part, path in there])
    for file, beside in PICKLES.items():
        if (folder / file).is_file() and (folder / beside).is_file():
            raise ConfigError(
                f"{folder / file}: is CIFAR's Python version, made of pickles, which can run code;"
                f" take the binary version (cifar-10-binary.tar.gz or cifar-100-binary.tar.gz)"
            )
    return None


def _find_file(path: Path, kind: Kind) -> Source:
    size, record = path.stat().st_size, kind.labels + PIXELS
    if size == 0 or size % record:
        raise ConfigError(
            f"{path}: found {size} bytes; expected a multiple of {record}, one image with its label: "
            f"truncated or of another kind (the Python version is not read)"
        )
    return Source((path,), (size // record, CHANNELS, SIDE, SIDE), kind.classes, lambda: _read(path, kind))


def _read(path: Path, kind: Kind) -> tuple[Pixels, Labels]:
    records = np.fromfile(path, np.uint8).reshape(-1, kind.labels + PIXELS)
    pixels = records[:, kind.labels :].reshape(-1, CHANNELS, SIDE, SIDE)
    return pixels, as_labels(records[:, kind.labels - 1], path, kind.classes)
