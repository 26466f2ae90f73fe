"""Weights to .npz and back, bit for bit, without pickle: a stranger's file runs none of their code."""

import json
import os
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import Config, ConfigError
from cnn_core.datasets.npz import measure

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
        if path.exists() and not path.is_file():  # to open a pipe is to wait for its other end
            raise ValueError("it is no regular file")
        # Opened here: np.load leaves a damaged file open.
        with path.open("rb") as raw:
            _check_sizes(raw)
            with np.load(raw, allow_pickle=False) as file:
                meta = str(file["meta"])
                arrays = {name: file[name] for name in ("parameters", "statistics")}
                arrays |= {name: file[name] if name in file else np.zeros(0, np.float32) for name in more}
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name a checkpoint that Model.save wrote") from None
    # zipfile and NumPy do not say all that they raise: TokenError, NotImplementedError, RecursionError.
    except Exception as error:
        raise ConfigError(
            f"{path}: is no checkpoint ({in_words(error)}); name one that Model.save wrote"
        ) from None
    for name, array in arrays.items():
        if array.dtype != np.float32 or array.ndim != 1:
            raise ConfigError(f"{path}: {name} must be flat float32, found {array.dtype} {array.shape}")
    return meta, *arrays.values()


def in_words(error: BaseException) -> str:
    """What a parser stumbled over, on one line, and not all of a damaged file."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def _check_sizes(file: IO[bytes]) -> None:
    """See that no array is larger than the file: `write` compresses nothing. Raises: ValueError."""
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        for found in archive.infolist():
            name = found.filename
            if found.compress_type != zipfile.ZIP_STORED or found.file_size > size:
                raise ValueError(f"{name} is compressed, or larger than the file")
            measure(archive, name)
    file.seek(0)


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
        except Exception:  # whatever a damaged file makes of JSON
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
            if not 0 <= count <= 8 * packed.size:  # NumPy would make as many zeros
                raise ValueError(f"{count} bits of {packed.size} bytes")
            found[name] = np.unpackbits(packed, count=count).astype(bool)
        else:
            found[name] = float(value)
    return found
