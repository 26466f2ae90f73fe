"""`mnist-original.mat`: MNIST as a MATLAB file, the form in which mldata.org once served it."""

from pathlib import Path

import numpy as np

from cnn_core.config import ConfigError
from cnn_core.datasets.source import Labels, Pixels, Source, as_bytes, as_labels, parsing

SIDE = 28

_KIND = "a MATLAB file up to version 7"


def find_mat(path: Path, classes: int) -> Source:
    """Return the images of `data` (784, N), one a column, rows first, with the classes of `label` (1, N).

    Raises: ConfigError if the file is damaged or holds something else.
    """
    # Imported here: it takes 0.2 s, and only this format needs it.
    from scipy.io import whosmat

    with parsing(path, _KIND):
        shapes = {name: shape for name, shape, _ in whosmat(path)}
    data, label = shapes.get("data"), shapes.get("label")
    if data is None or label is None or len(data) != 2 or data[0] != SIDE**2 or max(label) != data[1]:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing"
        raise ConfigError(f"{path}: found {found}; expected data ({SIDE**2}, N) and label (1, N)")
    shape = (data[1], 1, SIDE, SIDE)
    return Source((path,), shape, classes, lambda: _read(path, shape, classes))


def _read(path: Path, shape: tuple[int, int, int, int], classes: int) -> tuple[Pixels, Labels]:
    from scipy.io import loadmat

    with parsing(path, _KIND):
        content = loadmat(path, variable_names=["data", "label"])
    data = as_bytes(np.asarray(content["data"]), path, "data")
    labels = as_labels(np.asarray(content["label"]), path, classes)
    return np.ascontiguousarray(data.T).reshape(shape), labels
