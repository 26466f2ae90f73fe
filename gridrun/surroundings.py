"""What a cell may change of the process that it runs in, put back before the next one.

Put back: the working directory, the environment, the standard streams and their descriptors, the umask, the
start method of multiprocessing.
docs/reliability.md says what is not.
"""

import contextlib
import ctypes
import multiprocessing
import os
import sys
from types import TracebackType
from typing import Any, Self

from gridrun.terminal import STREAMS, is_closed, reopen, stands_on

# The environment points at these, for as long as the process lives.
_texts: dict[bytes, tuple[Any, memoryview]] = {}
_putenv = ctypes.PyDLL(None).putenv


def _put(name: bytes, line: bytes) -> memoryview:
    """Set a variable of the C environment, which children get, in memory of our own; return that.

    What os.putenv sets glibc keeps for good, to find it again: 0.2 KB and 5 us per trajectory.
    """
    text, room = _texts.get(name, (None, memoryview(b"")))
    if len(room) < len(line):
        text = ctypes.create_string_buffer(2 * len(line))
        room = memoryview(text).cast("B")
    room[: len(line)] = line
    _putenv(text)
    _texts[name] = text, room
    return room


class Surroundings:
    """The process as it is now; `restore` puts it back, in about 3 us where nothing was changed."""

    def __init__(self) -> None:
        self._environ = os.environ
        # Of bytes. Compared as a whole it takes 0.3 us; os.environ itself decodes every name and value.
        self._variables: dict[bytes, bytes] = vars(os.environ)["_data"]
        self._kept = dict(self._variables)
        self._at_first: dict[bytes, bytes] | None = None  # before anything was told
        self._told: dict[bytes, memoryview] = {}  # what stands in the environment as we have put it there
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._start_method = multiprocessing.get_start_method(allow_none=True)
        # Descriptors, put back without a look: that is cheaper than the look, and a directory is found again
        # that was moved. A standard stream that was closed from the beginning stays so.
        self._standard: list[tuple[int, int]] = []
        for number in range(3):
            with contextlib.suppress(OSError):
                self._standard.append((os.dup(number), number))
        self._directory: int | None = None
        with contextlib.suppress(OSError):
            self._directory = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))
        self._streams: list[Any] = [getattr(sys, name) for name in STREAMS]

    def tell(self, name: bytes, value: bytes) -> None:
        """Set a variable for the next trajectory: `restore` leaves it, the end of the block does not."""
        if self._at_first is None:
            self._at_first = dict(self._kept)
        self._kept[name] = self._variables[name] = value
        line = b"%b=%b\0" % (name, value)
        room = self._told.get(name)
        if room is None or len(room) < len(line):
            self._told[name] = _put(name, line)
        else:
            room[: len(line)] = line

    def restore(self) -> None:
        """Put back what was changed since."""
        os.environ = self._environ  # noqa: B003 - it is cleared by what follows
        if self._variables != self._kept:
            self._restore_variables()
        os.umask(self._umask)
        # What can't be put back can't be had: a cell has closed our descriptors, and with them everything.
        with contextlib.suppress(OSError):
            for kept, number in self._standard:
                os.dup2(kept, number)
            if self._directory is not None:
                os.fchdir(self._directory)
        if multiprocessing.get_start_method(allow_none=True) != self._start_method:
            multiprocessing.set_start_method(self._start_method, force=True)
        for number, name in enumerate(STREAMS):
            stream = self._streams[number]
            if getattr(sys, name) is not stream or is_closed(stream):
                # Made anew: who wrapped the old one closes it whenever the wrapper is collected.
                if stands_on(stream, number):
                    stream = self._streams[number] = reopen(number, stream)
                setattr(sys, name, stream)

    def _restore_variables(self) -> None:
        self._told.clear()
        for name in self._variables.keys() - self._kept.keys():
            del os.environb[name]
        for name, value in self._kept.items():
            if self._variables.get(name) != value:
                os.environb[name] = value

    def close(self) -> None:
        """Let go of the descriptors."""
        kept = [kept for kept, _ in self._standard]
        for descriptor in kept if self._directory is None else [*kept, self._directory]:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._at_first is not None:
            self._kept = self._at_first
        self.restore()
        self.close()
