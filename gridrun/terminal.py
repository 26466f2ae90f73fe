"""What reaches a terminal: text of strangers made harmless, on streams that may end before the sweep does."""

import os
import sys
from contextlib import suppress
from typing import Any


def visible(text: str, keep: str = "") -> str:
    """Text with its control characters made visible, but for those in `keep`: no escape code is obeyed."""
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in text)


class Lasting:
    """A text stream whose other end may go: what can't be written is dropped, and nobody fails for it.

    A terminal is closed, `| head` has seen enough, the disk behind `> log` is full: no reason to lose a cell.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def open_streams() -> None:
    """Put /dev/null where a standard stream is closed: the next file opened would take its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: PTH123, SIM115
