"""Weights to .npz and back, bit for bit, without pickle: a stranger's file runs none of their code."""

import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import ConfigError


def write(path: Path, meta: str, parameters: NDArray[np.float32], statistics: NDArray[np.float32]) -> None:
    """Write the file whole or not at all. Raises: OSError."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, meta=np.array(meta), parameters=parameters, statistics=statistics)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read(path: Path) -> tuple[str, NDArray[np.float32], NDArray[np.float32]]:
    """Return what `write` was given. Raises: ConfigError if the file is missing or something else."""
    try:
        # Opened here: np.load leaves a damaged file open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            meta, parameters, statistics = str(file["meta"]), file["parameters"], file["statistics"]
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name a checkpoint that Model.save wrote") from None
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: is no checkpoint ({error}); name one that Model.save wrote") from None
    for name, array in (("parameters", parameters), ("statistics", statistics)):
        if array.dtype != np.float32 or array.ndim != 1:
            raise ConfigError(f"{path}: {name} must be flat float32, found {array.dtype} {array.shape}")
    return meta, parameters, statistics
