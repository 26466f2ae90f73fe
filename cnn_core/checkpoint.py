"""Weights to .npz and back, bit for bit, without pickle: a stranger's file runs none of their code."""

import json
import os
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import Config, ConfigError

# Seconds of training between two checkpoints: what an interruption costs besides the epoch under way.
AFTER_S = 1.0
# And so many times what the last one took to write: a large network on a slow disk is not held up.
SHARE = 20

# Of one epoch: numbers, and of each held-out image whether it was right.
Metrics = dict[str, float | NDArray[np.bool_]]
Kept = tuple[list[Metrics], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def write(
    path: Path, meta: str, parameters: NDArray[np.float32], statistics: NDArray[np.float32],
    **more: Any,
) -> None:  # fmt: skip
    """Write the file, with further arrays by name, whole or not at all. Raises: OSError."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, meta=np.array(meta), parameters=parameters, statistics=statistics, **more)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read(path: Path, *more: str) -> tuple[Any, ...]:
    """Return what `write` was given, and arrays of the names `more`: without numbers if they are not there.

    Raises: ConfigError if the file is missing or something else.
    """
    try:
        # Opened here: np.load leaves a damaged file open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            meta = str(file["meta"])
            arrays = {name: file[name] for name in ("parameters", "statistics")}
            arrays |= {name: file[name] if name in file else np.zeros(0, np.float32) for name in more}
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name a checkpoint that Model.save wrote") from None
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: is no checkpoint ({error}); name one that Model.save wrote") from None
    for name, array in arrays.items():
        if array.dtype != np.float32 or array.ndim != 1:
            raise ConfigError(f"{path}: {name} must be flat float32, found {array.dtype} {array.shape}")
    return meta, *arrays.values()


class Keeper:
    """Training under way, kept in a directory: all that the next epoch depends on, and the metrics so far.

    A run of less than a second writes nothing: to do it again is as quick.
    """

    def __init__(self, directory: Path, version: str, config: Config) -> None:
        self._path = directory / "training.npz"
        # All of it but how long: the next epoch does not depend on that.
        what = {**asdict(config), "epochs": None, "version": version}
        self._what = _as_written(what)
        self._due = 0.0

    def begin(self) -> None:
        """Training begins: what came before, loading and compiling, is no loss."""
        self._due = time.monotonic() + AFTER_S

    def read(self, parameters: int, statistics: int, optimiser: int) -> Kept | None:
        """The metrics of the epochs that were kept; weights, running statistics, optimiser's arrays then.

        None if there is nothing to go on from: no file, or a damaged one. Raises: ConfigError if it is that
        of another training.
        """
        if not self._path.exists():
            return None
        try:
            text, weights, running, moments = read(self._path, "optimiser")
            meta = json.loads(text)
            what, history = dict(meta["what"]), [_from_json(metrics) for metrics in meta["history"]]
        except (ConfigError, ValueError, KeyError, TypeError, AttributeError):
            return None
        # A hyperparameter that came later had its default's meaning before.
        before = {**_as_written({name: getattr(Config, name, None) for name in self._what}), **what}
        names = sorted(name for name, value in self._what.items() if before[name] != value)
        if names:
            raise ConfigError(
                f"{self._path}: is a training with other {', '.join(names)}; name another output_dir"
            )
        if not history or (weights.size, running.size, moments.size) != (parameters, statistics, optimiser):
            return None
        return history, weights, running, moments

    def keep(
        self,
        history: Sequence[Metrics],
        parameters: NDArray[np.float32],
        statistics: NDArray[np.float32],
        optimiser: NDArray[np.float32],
    ) -> None:
        """Write a checkpoint if it is time for one. Raises: OSError."""
        began = time.monotonic()
        if began < self._due:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write(
            self._path,
            json.dumps({"what": self._what, "history": list(map(_to_json, history))}),
            parameters,
            statistics,
            optimiser=optimiser,
        )
        ended = time.monotonic()
        self._due = ended + max(AFTER_S, SHARE * (ended - began))


def _as_written(found: dict[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return written


def _to_json(metrics: Metrics) -> dict[str, Any]:
    """Bits as how many there are, and eight of them in two hexadecimal digits."""
    return {
        name: [len(value), np.packbits(value).tobytes().hex()] if isinstance(value, np.ndarray) else value
        for name, value in metrics.items()
    }


def _from_json(metrics: dict[str, Any]) -> Metrics:
    found: Metrics = {}
    for name, value in metrics.items():
        if isinstance(value, list):
            count, text = value
            packed = np.frombuffer(bytes.fromhex(text), np.uint8)
            found[name] = np.unpackbits(packed, count=count).astype(bool)
        else:
            found[name] = float(value)
    return found
