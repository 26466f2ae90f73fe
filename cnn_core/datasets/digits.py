"""Real handwritten digits that need no file of their own: scikit-learn brings them."""

import importlib.util
from pathlib import Path

import numpy as np

from cnn_core.config import ConfigError
from cnn_core.datasets.source import Labels, Pixels, Source

COUNT, CLASSES = 1797, 10
SMALL, LARGE, FRAMED = 8, 20, 28
"""Side of a digit as it is stored, enlarged 2.5 times, and framed as MNIST's 20x20 digits are."""
INK = 16
"""The largest value stored: how many of the 4x4 original pixels were inked."""


def find_digits() -> Source:
    """Return the 1797 digits, 10 classes, 28x28.

    Raises: ConfigError if scikit-learn is installed without them.
    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998), test part.
    """
    # Found, not imported: importing sklearn takes longer than reading, and `check` runs in a parent
    # process that needs nothing else of it. A test holds this file to what `load_digits` returns.
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise ConfigError(
            "dataset: \"digits\" comes with scikit-learn, which is not installed; pip install 'gridrun[cnn]'"
        )
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise ConfigError(f'dataset: "digits" should be in {path}, found nothing; reinstall scikit-learn')
    return Source((path,), (COUNT, 1, FRAMED, FRAMED), CLASSES, lambda: _read(path))


def _read(path: Path) -> tuple[Pixels, Labels]:
    table = np.loadtxt(path, delimiter=",")
    if table.shape != (COUNT, SMALL * SMALL + 1):
        raise ConfigError(f"{path}: found a table {table.shape}; expected {(COUNT, SMALL * SMALL + 1)}")
    small = table[:, :-1].reshape(COUNT, SMALL, SMALL)
    enlarge = _interpolation(SMALL, LARGE)
    large = enlarge @ small @ enlarge.T
    margin = (FRAMED - LARGE) // 2
    pixels = np.zeros((COUNT, 1, FRAMED, FRAMED), np.uint8)
    # Rounded to bytes like the other datasets, which also hides the last bits of the product: the images
    # are the same whatever the BLAS.
    pixels[:, 0, margin:-margin, margin:-margin] = np.rint(large * (255 / INK))
    return pixels, table[:, -1].astype(np.int32)


def _interpolation(small: int, large: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the matrix (large, small) that enlarges a line of pixels by linear interpolation.

    Centres are aligned: pixel i of the enlarged line lies at (i + 1/2) small/large - 1/2 of the small one;
    beyond the outermost centres the outermost value holds.
    """
    at = (np.arange(large) + 0.5) * small / large - 0.5
    return np.stack([np.interp(at, np.arange(small), unit) for unit in np.eye(small)], axis=1)
