"""A function in hand on its way to workers: pickled by value, kept nowhere longer than the sweep runs."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cloudpickle

from gridrun.errors import InputError
from gridrun.guard import Guard
from gridrun.trainers.callable import CallableSettings
from gridrun.trainers.content import is_importable
from gridrun.trainers.estimator_in_hand import EstimatorInHand
from gridrun.wording import one_line

# A pickle goes to a worker with every batch of cells; a larger one waits in a file, which each reads once.
MOST_SENT = 100_000


InHand = CallableSettings | EstimatorInHand


@contextlib.contextmanager
def packed(trainer: InHand, backend: str, where: str) -> Iterator[InHand]:
    """Make a function ready to travel to the workers of a backend, while the block runs.

    Raises: InputError if it can't be pickled; OSError if there is no room for a large one.
    """
    if trainer.by_name or backend == "sequential":
        yield trainer
        return
    data = _pickle(trainer, where)
    if backend != "loky" or len(data) <= MOST_SENT:
        yield replace(trainer, parcel=data)
        return
    with tempfile.TemporaryDirectory(prefix="gridrun-", ignore_cleanup_errors=True) as folder:
        file = Path(folder, "function")
        file.write_bytes(data)
        guard = Guard(folder)  # removes it if this process is killed
        try:
            yield replace(trainer, parcel_file=str(file))
        finally:
            guard.close()


def _pickle(trainer: InHand, where: str) -> bytes:
    name = str(getattr(trainer.function, "__module__", None))
    with contextlib.ExitStack() as stack:
        # A module that no other process can import (pytest's of a test, for one) goes along by value.
        if name in sys.modules and name != "__main__" and not is_importable(name):
            cloudpickle.register_pickle_by_value(sys.modules[name])
            stack.callback(cloudpickle.unregister_pickle_by_value, sys.modules[name])
        try:
            return bytes(cloudpickle.dumps(trainer.function))
        except Exception as error:  # whatever a class of the user's raises
            raise InputError(
                f"{where}: {trainer.name} can't be sent to a worker: {one_line(error)};"
                f' make that within {trainer.name}, or write backend="sequential"'
            ) from None
