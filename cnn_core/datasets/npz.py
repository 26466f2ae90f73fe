"""`.npz`: images and labels as arrays of NumPy, the form in which Keras keeps MNIST."""

import math
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from cnn_core.config import ConfigError
from cnn_core.datasets.source import (
    Labels,
    Pixels,
    Source,
    as_bytes,
    as_labels,
    official,
    parsing,
    plain,
    spread,
)

MOST_CHANNELS = 4

PAIRS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("X_train", "y_train", "X_test", "y_test"),
    *(
        (x, y)
        for x in ("x", "X", "images", "data", "arr_0")
        for y in ("y", "labels", "target", "label", "arr_1")
    ),
)
"""Images and labels to train on, then to test on if there are such; the first line whose names are there."""


def find_npz_file(folder: Path, name: str) -> Source | None:
    """Return the images of <dataset>.npz, or of the only .npz there is in a folder of the dataset's name."""
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".npz" and path.is_file())
    own = [path for path in paths if plain(path.stem) == plain(name)]
    if not own and len(paths) == 1 and plain(folder.name) == plain(name):
        own = paths
    return find_npz(own[0], 10 if plain(name) == "mnist" else None) if own else None


def find_npz(path: Path, classes: int | None) -> Source:
    """Return the images of an .npz, (N, H, W), (N, H, W, C) or (N, C, H, W), with the classes of labels (N,).

    Labels tell `classes` if it is None. Raises: ConfigError if the file is damaged or holds something else.
    """
    with parsing(path, "an .npz file"), zipfile.ZipFile(path) as archive:
        shapes = {
            name.removesuffix(".npy"): measure(archive, name)
            for name in archive.namelist()
            if name.endswith(".npy") and name.removesuffix(".npy").isidentifier()
        }
    names = next((names for names in PAIRS if set(names) <= shapes.keys()), PAIRS[0])
    parts = [
        (part, _find_part(path, shapes, x, y, classes))
        for part, x, y in zip(("train", "test"), names[::2], names[1::2], strict=False)
    ]
    if len({source.shape[1:] for _, source in parts}) != 1:
        raise ConfigError(f"{path}: found {_list(shapes)}; expected images of one size")
    found = official(parts)
    assert found is not None
    return replace(found, files=(path,))


def _find_part(path: Path, shapes: dict[str, tuple[int, ...]], x: str, y: str, classes: int | None) -> Source:
    images, labels = shapes.get(x), shapes.get(y)
    if images is None or labels is None or len(images) not in (3, 4) or math.prod(labels) != images[0]:
        raise ConfigError(f"{path}: found {_list(shapes)}; expected {x} (N, H, W) and {y} (N,)")
    if labels not in (images[:1], (images[0], 1)):
        raise ConfigError(f"{path}: found {_list(shapes)}; expected {x} (N, H, W) and {y} (N,)")
    last = len(images) == 4 and images[3] <= MOST_CHANNELS < images[1]
    sides = images[1:] if len(images) == 4 else (1, *images[1:])
    if last:
        sides = (images[3], *images[1:3])
    lowest = 0
    if classes is None:
        lowest, highest = spread(_labels(path, y, 256), path)
        classes = highest + 1

    def read() -> tuple[Pixels, Labels]:
        with parsing(path, "an .npz file"), np.load(path, allow_pickle=False) as arrays:
            pixels = as_bytes(arrays[x], path, x).reshape(images)
        pixels = pixels.transpose(0, 3, 1, 2) if last else pixels.reshape(images[0], *sides)
        return pixels, _labels(path, y, classes)

    return Source((path,), (images[0], sides[0], sides[1], sides[2]), classes, read, lowest)


def _labels(path: Path, name: str, classes: int) -> Labels:
    with parsing(path, "an .npz file"), np.load(path, allow_pickle=False) as arrays:
        return as_labels(arrays[name], path, classes)


def measure(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    """Return the shape of an array in an .npz, having seen that as many bytes are there as it takes."""
    with archive.open(name) as member:
        version = npy.read_magic(member)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(member)
        expected = member.tell() + math.prod(shape) * dtype.itemsize
    found = archive.getinfo(name).file_size
    if found != expected:
        raise ValueError(f"{name} has {found} bytes; its header says {shape}, which takes {expected}")
    return shape


def _list(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing"
