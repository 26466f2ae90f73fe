"""`mnist-original.mat`: MNIST as a MATLAB file, the form in which mldata.org once served it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cnn_core.config import ConfigError
from cnn_core.datasets.source import Labels, Pixels, Source, as_bytes, as_labels

SIDE = 28

T = TypeVar("T")


def find_mat(path: Path, classes: int) -> Source:
    """Return the images of `data` (784, N), one a column, rows first, with the classes of `label` (1, N).

    Raises: ConfigError if the file is damaged or holds something else.
    """
    # Imported here: it takes 0.2 s, and only this format needs it.
    from scipy.io import whosmat

    shapes = {name: shape for name, shape, _ in _guarded(path, lambda: whosmat(path))}
    data, label = shapes.get("data"), shapes.get("label")
    if data is None or label is None or len(data) != 2 or data[0] != SIDE**2 or max(label) != data[1]:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing"
        raise ConfigError(f"{path}: found {found}; expected data ({SIDE**2}, N) and label (1, N)")
    shape = (data[1], 1, SIDE, SIDE)
    return Source((path,), shape, classes, lambda: _read(path, shape, classes))


def _read(path: Path, shape: tuple[int, int, int, int], classes: int) -> tuple[Pixels, Labels]:
    from scipy.io import loadmat

    content: dict[str, Any] = _guarded(path, lambda: loadmat(path, variable_names=["data", "label"]))
    data = as_bytes(np.asarray(content["data"]), path, "data")
    labels = as_labels(np.asarray(content["label"]), path, classes)
    return np.ascontiguousarray(data.T).reshape(shape), labels


def _guarded(path: Path, read: Callable[[], T]) -> T:
    """Return `read()`, any exception of it turned into one ConfigError.

    SciPy answers a damaged file with whatever its parser stumbles on: ValueError, TypeError, KeyError,
    zlib.error, OSError, MatReadError (an Exception), NotImplementedError for version 7.3. None is ours.
    """
    try:
        return read()
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"{path}: not a whole MATLAB file up to version 7 ({reason}); download it again"
        ) from error
