"""A program under way, as its worker sees it: what it writes, as it comes, and how it ended."""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from gridrun.trainers import keeper

OUT, ERRORS = 1, 2
CHUNK = 65536
# What is read of a pipe when all who wrote to it are gone; no pipe holds more than 1 MB.
MOST_LEFT = 16 * CHUNK


class Keeper:
    """The process that runs the programs of this one, from the first of them on: keeper.py.

    Raises: OSError if no process can be started.
    """

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            # In a session of its own: a kill of the worker's whole process group must not reach it.
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__], start_new_session=True, cwd="/",
                stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        # A child that is forked must not hold the socket open after our death.
        os.register_at_fork(after_in_child=self.socket.close)
        self._process = process
        weakref.finalize(self, _let_go, self.socket, process)

    def lives(self) -> bool:
        """Whether nobody has ended it."""
        return self._process.poll() is None


def _let_go(own: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    own.close()
    process.wait()


_keeper: Keeper | None = None


def _find_keeper() -> Keeper:
    global _keeper
    if _keeper is None or not _keeper.lives():
        _keeper = Keeper()
    return _keeper


class KeeperEnded(Exception):
    """Somebody has ended the process that looks after a program, and the program with it."""


class Program:
    """One program, from its start to its end; a context at whose end whatever is left of it is ended.

    `status` is its exit status when `read` is done, or minus the number of the signal that ended it.
    Raises: OSError if it can't be started, KeeperEnded; `read` does.
    """

    def __init__(self, words: Sequence[str], folder: str, environment: Mapping[str, str]) -> None:
        self.status: int | None = None
        self._number: int | None = None
        self._keeper = _find_keeper()
        self._pipes: dict[int, int] = {}  # descriptors, by whose
        self._word = words[0]
        with contextlib.ExitStack() as stack:
            theirs = []
            for stream in (OUT, ERRORS):
                self._pipes[stream], end = os.pipe()
                theirs.append(end)
                stack.callback(os.close, end)
                os.set_blocking(self._pipes[stream], False)
            order = {"words": words, "folder": folder, "environment": environment}
            with contextlib.suppress(OSError):  # it is gone: then there is no answer either
                keeper.send(self._keeper.socket, _as_text(order), tuple(theirs))

    def read(self, tick_s: float | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield what it writes, some bytes of OUT or ERRORS at a time; 0 and none after a tick without."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._keeper.socket, selectors.EVENT_READ, 0)
            for stream, pipe in self._pipes.items():
                selector.register(pipe, selectors.EVENT_READ, stream)
            while self.status is None:
                ready = selector.select(tick_s)
                for key, _ in ready:
                    if key.data == 0:
                        self._hear()
                    elif data := self._take(key.data):
                        yield key.data, data
                    else:
                        selector.unregister(key.fd)
                if not ready:
                    yield 0, b""
        # All that it has started is gone as well: what the pipes hold now is the rest.
        for stream in self._pipes:
            left = MOST_LEFT
            while left > 0 and (data := self._take(stream)):
                left -= len(data)
                yield stream, data

    def _hear(self) -> None:
        """Take what the keeper tells: that the program has started, or could not be, or how it has ended."""
        answer, _ = keeper.receive(self._keeper.socket)
        if answer is None:
            if self._number is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._number, signal.SIGKILL)
            raise KeeperEnded
        self._number = answer.get("started", self._number)
        self.status = answer.get("status")
        if "error" in answer:
            self.status = 127  # as a shell has it
            raise OSError(f"{self._word}: cannot be started: {answer['error']}")

    def _take(self, stream: int) -> bytes:
        """Some bytes of a pipe; none at its end, or when it is empty."""
        try:
            return os.read(self._pipes[stream], CHUNK)
        except BlockingIOError:
            return b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError, KeeperEnded):
            if self.status is None:
                keeper.send(self._keeper.socket, {})
            while self.status is None:
                self._hear()
        for pipe in self._pipes.values():
            os.close(pipe)


def _as_text(found: Any) -> Any:
    """Words as JSON can bring them, whatever their bytes are."""
    if isinstance(found, Mapping):
        return {_as_text(name): _as_text(item) for name, item in found.items()}
    if isinstance(found, str):
        return os.fsencode(found).decode("latin-1")
    return [_as_text(item) for item in found]
