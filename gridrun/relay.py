"""Epochs on their way from a worker to its parent while their trajectory runs: through a named pipe.

A pipe: what was written is there after its writer's death, no disk is filled, and neither end waits for the
other. Where its 64 KB are full, as the parent was stopped, the worker keeps the rest until the next epoch.
"""

import contextlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gridrun.outcome import Outcome

# Seconds from one handing-over to the next: what a kill costs besides the epoch that was under way.
# Trajectories that take less never hand over anything.
AFTER_S = 1.0
# And so many for each epoch there is: the parent stores a history as a whole, in 10 us per epoch.
EACH_S = 0.001


class Teller(Protocol):
    """Whom a trajectory hands its epochs to while it runs."""

    def begin(self) -> None:
        """What comes next is another trajectory's."""

    def send(self, so_far: Outcome) -> float:
        """Hand over a trajectory's outcome so far. Returns the seconds to let pass before the next time."""


class Keeper:
    """For who runs in the parent itself: what is handed over is kept at once."""

    def __init__(self, keep: Callable[[Outcome], None]) -> None:
        self._keep = keep
        self.error: Exception | None = None  # of keeping: no fault of the trajectory's

    def begin(self) -> None:
        pass

    def send(self, so_far: Outcome) -> float:
        if so_far.history and self.error is None:
            try:
                self._keep(so_far)
            except Exception as error:  # told when the trajectory has ended
                self.error = error
        return _pause(so_far)


class Sender:
    """The worker's end."""

    def __init__(self, path: Path) -> None:
        """Raises: OSError if nobody is at the other end."""
        self._pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        self._left = b""  # what the pipe has not taken
        self._sent = 0  # epochs, of the trajectory that is under way

    def begin(self) -> None:
        self._sent = 0

    def send(self, so_far: Outcome) -> float:
        new = slice(self._sent, None)
        if so_far.history[new]:
            part = so_far._replace(
                history=so_far.history[new], seconds=so_far.seconds[new], bits=so_far.bits[new]
            )
            message = pickle.dumps((self._sent == 0, part))
            self._left += len(message).to_bytes(8) + message
            self._sent = len(so_far.history)
        # The parent is gone, or busy.
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            self._left = self._left[os.write(self._pipe, self._left) :]
        return _pause(so_far)


def _pause(so_far: Outcome) -> float:
    return max(AFTER_S, EACH_S * len(so_far.history))


class Receiver:
    """The parent's end: makes the pipe, for one worker process."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
        self._pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._bytes = b""
        self._so_far: Outcome | None = None

    def receive(self) -> list[Outcome]:
        """The outcomes so far of trajectories that have new epochs, each once."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._pipe, 1 << 16):
                self._bytes += chunk
        found: dict[str, Outcome] = {}
        while len(self._bytes) >= 8:
            end = 8 + int.from_bytes(self._bytes[:8])
            if len(self._bytes) < end:
                break
            first, part = pickle.loads(self._bytes[8:end])
            self._bytes = self._bytes[end:]
            self._so_far = part if first or self._so_far is None else _join(self._so_far, part)
            found[part.trajectory] = self._so_far
        return list(found.values())

    def close(self) -> None:
        """Nothing more is expected."""
        os.close(self._pipe)


def _join(before: Outcome, part: Outcome) -> Outcome:
    return part._replace(
        history=[*before.history, *part.history],
        seconds=[*before.seconds, *part.seconds],
        bits=[*before.bits, *part.bits],
    )
