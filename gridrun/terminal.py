"""What reaches a terminal: text of strangers made harmless, on streams that may end before the sweep does."""

import codecs
import fcntl
import io
import os
import select
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

STREAMS = ("stdin", "stdout", "stderr")
PATIENCE_S = 2.0  # for a reader who does not read
# What a stream's encoding lacks (ASCII, Latin-1, cp437) is written so; anything else as \xNN.
PLAIN = {
    "\N{PLUS-MINUS SIGN}": "+/-",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
}


def visible(text: str, keep: str = "") -> str:
    """Text with its control characters made visible, but for those in `keep`: no escape code is obeyed."""
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in text)


def many(count: int, one: str, more: str | None = None) -> str:
    """`3 cells`, `1 cell`."""
    return f"{count} {one if count == 1 else more or one + 's'}"


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
        try:  # noqa: SIM105 - once a cell: suppress would take 0.4 us more
            self._stream.flush()
        except OSError:
            pass

    @property
    def closed(self) -> bool:
        return is_closed(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Impatient(Lasting):
    """The same where the other end may also not read: what it does not take within seconds is dropped.

    A full pipe holds a writer up for as long as nobody reads, signals and all.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._patience_s = PATIENCE_S

    def write(self, text: str) -> int:
        if self._is_taken():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        if self._is_taken():
            super().flush()

    def _is_taken(self) -> bool:
        try:
            number = self._stream.fileno()
        except (OSError, ValueError, AttributeError):  # a notebook's has none
            return True
        taken = takes(number, self._patience_s)
        self._patience_s = PATIENCE_S if taken else 0.0
        return taken


def takes(number: int, seconds: float = 0.0) -> bool:
    """Whether what is written to a descriptor is taken without waiting for more than so many seconds."""
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return bool(poll.poll(1000 * seconds))


def is_closed(stream: Any) -> bool:
    """Whether a stream was closed, or had its buffer taken away."""
    try:
        return bool(stream.closed)
    except ValueError:  # detached
        return True


def stands_on(stream: Any, number: int) -> bool:
    """Whether a stream writes to, or until it was closed wrote to, this descriptor: a notebook's does not."""
    try:
        return bool(stream.fileno() == number)
    except ValueError:
        return True
    except (AttributeError, OSError):
        return False


def reopen(number: int, like: Any = None) -> Any:
    """A new stream on a standard descriptor, in place of one; closing it leaves the descriptor open."""
    stream = io.TextIOWrapper(
        open(number, "rb" if number == 0 else "wb", closefd=False),  # noqa: SIM115
        encoding=getattr(like, "encoding", None) or "utf-8",
        errors="surrogateescape" if number == 0 else "backslashreplace",
        line_buffering=number != 0,
    )
    return stream if number == 0 else Lasting(stream)


_screen = 2


def screen() -> int:
    """The descriptor of what the user reads: not 2 while cells that run in this process print to a file."""
    return _screen


@contextmanager
def screen_on(number: int) -> Iterator[None]:
    """While the block runs the user reads this descriptor."""
    global _screen
    before, _screen = _screen, number
    try:
        yield
    finally:
        _screen = before


def open_streams() -> None:
    """Put /dev/null where a standard stream is closed: the next file opened would take its number."""
    for number, name in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def spell_out() -> None:
    """Let no character end the program that the encoding of stdout or stderr lacks."""
    codecs.register_error("gridrun", _spell_out)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="gridrun")


def _spell_out(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(c, c.encode("ascii", "backslashreplace").decode()) for c in lacking), error.end


def leave_terminal() -> None:
    """Have no terminal that controls this process: it, and its children, may write to it from any group.

    In the terminal's session a process of another group is stopped when it reads, or (stty tostop) writes.
    To ignore the two signals would do for this process, but children inherit that.
    """
    with suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.ioctl(terminal, termios.TIOCNOTTY)
        finally:
            os.close(terminal)
