"""MNIST from OpenML: the only file that uses the network."""

import sys
import tempfile
import warnings
from http.client import HTTPException
from pathlib import Path

import numpy as np

from cnn_core.config import ConfigError
from cnn_core.datasets.mnist import SHAPE
from cnn_core.datasets.source import AnyArray

TRAIN_COUNT = 60_000
"""OpenML keeps MNIST's order: the training images first."""


def download_mnist(folder: Path) -> None:
    """Download MNIST by name and keep it as `folder`/mnist.npz; say so on stderr.

    The file appears whole or not at all, and two processes that download at once do no harm. It is not
    compressed, so that it has the same content, hence the same fingerprint, wherever it was made.

    Raises: ConfigError if it cannot be downloaded or kept. The environment may be to blame, but the remedy
    is that of a missing file: to put one of its published forms there by hand, or to name another dataset.
    """
    target = folder / "mnist.npz"
    by_hand = f"put MNIST's IDX files, mnist.npz or mnist-original.mat into {folder} by hand (docs/data.md)"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=target.name, suffix=".part") as probe:
            probe.write(b"\0")
    except OSError as error:
        raise ConfigError(
            f"dataset: mnist is not there, and {folder} cannot be written to ({error.strerror}); "
            f"set data_dir or CNN_CORE_DATA to a directory that can"
        ) from error
    print(
        f"mnist: no files in {folder}; downloading mnist_784 from OpenML, once", file=sys.stderr, flush=True
    )
    try:
        pixels, labels = _fetch()
        _save(target, pixels, labels)
    except ImportError as error:
        raise ConfigError(
            f"dataset: mnist is downloaded by scikit-learn, which cannot be imported ({error}); "
            f"pip install 'gridrun[cnn]', or {by_hand}"
        ) from error
    # scikit-learn raises ValueError for a damaged answer, urllib OSError, http.client HTTPException.
    except (OSError, ValueError, HTTPException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"dataset: mnist could not be downloaded ({reason}); {by_hand}") from error
    print(f"mnist: kept in {target}", file=sys.stderr, flush=True)


def _fetch() -> tuple[AnyArray, AnyArray]:
    """Return pixels (70000, 28, 28) and labels (70000,) as bytes."""
    from sklearn.datasets import fetch_openml

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one for each retry; what matters is the end, reported once
        # cache=False: what is kept is kept here, in a form that is read in a tenth of a second.
        data, target = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False, cache=False)
    count, _, rows, columns = SHAPE
    if data.shape != (count, rows * columns):
        raise ValueError(f"found images {data.shape}, expected {(count, rows * columns)}")
    return data.astype(np.uint8).reshape(count, rows, columns), target.astype(np.uint8)


def _save(target: Path, pixels: AnyArray, labels: AnyArray) -> None:
    with tempfile.NamedTemporaryFile(
        dir=target.parent, prefix=target.name, suffix=".part", delete=False
    ) as part:
        try:
            np.savez(
                part,
                x_train=pixels[:TRAIN_COUNT],
                y_train=labels[:TRAIN_COUNT],
                x_test=pixels[TRAIN_COUNT:],
                y_test=labels[TRAIN_COUNT:],
            )
            part.close()
            Path(part.name).replace(target)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise
