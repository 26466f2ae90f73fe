"""MNIST's handwritten digits, in whichever of its published forms they are there."""

from pathlib import Path

from cnn_core.config import ConfigError
from cnn_core.datasets.idx import find_idx
from cnn_core.datasets.mat import find_mat
from cnn_core.datasets.npz import find_npz
from cnn_core.datasets.source import Source, join

SHAPE, CLASSES = (70_000, 1, 28, 28), 10
"""Of the whole dataset: 60,000 to train on, then 10,000 to test on."""

IDX_PARTS = ("train", "t10k")


def find_mnist(folder: Path) -> Source | None:
    """Return the first form found in `folder`: the .mat file, IDX files, the .npz file; None if none is.

    A damaged file is refused and not passed over: the next form may hold other images.

    Raises: ConfigError if a file is damaged, or images lack their labels.
    """
    if (mat := folder / "mnist-original.mat").is_file():
        return find_mat(mat, CLASSES)
    if parts := [part for part in (_find_idx_part(folder, name) for name in IDX_PARTS) if part]:
        return join(parts)
    if (npz := folder / "mnist.npz").is_file():
        return find_npz(npz, CLASSES)
    return None


def _find_idx_part(folder: Path, part: str) -> Source | None:
    names = (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte")
    images, labels = (_plain_or_gz(folder / name) for name in names)
    if images and labels:
        return find_idx(images, labels, CLASSES)
    if images or labels:
        there, missing = (names[0], names[1]) if images else (names[1], names[0])
        raise ConfigError(
            f"{folder}: found {there} without {missing}; put {missing} or {missing}.gz beside it"
        )
    return None


def _plain_or_gz(path: Path) -> Path | None:
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.is_file():
            return candidate
    return None
