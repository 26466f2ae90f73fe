"""What trajectories print, by whatever means: caught in a file, and of it the first and last part kept.

A file and no pipe: whoever prints never waits for a reader, be it native code that holds the GIL or a
program that outlives its cell. All write at its end (O_APPEND), so it may be cut to nothing between two
cells, and what is in it was printed by the cell that runs. A flood is cut short while it comes: the blocks
between the first and the last part are given back to the file system (fallocate), and the file's size
still says how much it was.
"""

import contextlib
import ctypes
import errno
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gridrun.outcome import Output
from gridrun.terminal import reopen

# Characters kept of the beginning, and as many of the end, counted when bars are collapsed.
PART = 32_000
# Bytes on disk of the beginning, and as many of the end; a bar of 10,000 updates is 1 MB.
RAW = 1 << 20
# Seconds between two looks at how far a file has grown: `yes` writes 1.2 GB per second.
LOOK_S = 0.1
# A trajectory that runs for so many seconds can be followed.
FOLLOW_S = 1.0

_PUNCH_HOLE = 0x02 | 0x01  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
_LINE_BUFFERED = 1  # _IOLBF
_UP = "\x1b[A"  # the cursor, to the line above: nested bars


class Spool:
    """A file for what is printed. Its writers are many, its readers its owner and its worker."""

    def __init__(self, path: Path, *, new: bool) -> None:
        """Open it; `new`: instead of one that is there. Raises: OSError."""
        if new:
            path.unlink(missing_ok=True)
        self._number = os.open(path, os.O_RDWR | os.O_APPEND | (os.O_CREAT | os.O_EXCL if new else 0), 0o600)
        self._file = self._identity()
        self._lock = threading.Lock()  # closed by one thread, trimmed by another
        self._trimmed = 0

    def redirect(self) -> None:
        """Have all that this process prints from now on go here, Python's streams included."""
        for number in (1, 2):
            os.dup2(self._number, number)
        sys.stdout, sys.stderr = reopen(1), reopen(2)

    def take(self, rest: bool) -> Output | None:
        """What a cell has printed, and make room for the next: 1 us where it is nothing."""
        _flush()
        try:
            # The size, in half the time of fstat.
            if not os.lseek(self._number, 0, os.SEEK_END):
                return None
            if self._identity() != self._file:
                return None  # a cell has closed all descriptors, and this number is another file's
            output = self.keep(rest=rest)
            os.ftruncate(self._number, 0)
        except OSError:
            return None
        return output

    def keep(self, *, rest: bool) -> Output | None:
        """What is to be kept of it, and if asked for the `rest`; None if it is empty."""
        output = keep(self._number)
        if output is None or not rest:
            return output
        return output._replace(rest=self.read(max(0, output.size - PART), output.size)[-1][1])

    def size(self) -> int:
        """Bytes that were printed."""
        return os.fstat(self._number).st_size

    def read(self, start: int, end: int) -> list[tuple[int, bytes]]:
        """These bytes, with where they begin; of many the last, and the very first if they are among them."""
        parts = [(start, end)] if end - start <= 2 * PART else [(end - PART, end)]
        if start == 0 < parts[0][0]:
            parts.insert(0, (0, PART))
        found = []
        for at, to in parts:
            data = os.pread(self._number, to - at, at)
            sound = data.lstrip(
                b"\0"
            )  # zeros were given back while they were read: whoever floods it goes on
            found.append((at + len(data) - len(sound), sound))
        return [part for part in found if part[1]] or [(end, b"")]

    def append(self, data: bytes) -> None:
        """Write at the end."""
        os.write(self._number, data)

    def trim(self) -> None:
        """Give back the disk's space between the first and the last part, if there is much of it."""
        with self._lock, contextlib.suppress(OSError):
            size = self.size()
            end = size - RAW
            if size < self._trimmed:
                self._trimmed = 0
            if end - max(self._trimmed, RAW) < RAW:
                return
            self._trimmed = size
            if not _punch(self._number, RAW, end - RAW):
                os.ftruncate(self._number, RAW)
                self.append(b"\n[... what came between was left out ...]\n")
                self._trimmed = RAW

    def close(self) -> None:
        """Let go of it."""
        with self._lock, contextlib.suppress(OSError):
            os.close(self._number)
            self._number = -1

    def _identity(self) -> tuple[int, int]:
        found = os.fstat(self._number)
        return found.st_dev, found.st_ino


def keep(number: int) -> Output | None:
    """What is to be kept of an open file: all, or its first and its last part. None if it is empty."""
    size = os.fstat(number).st_size
    if size <= 2 * RAW:
        return Output(shorten(_decode(os.pread(number, size, 0))), size) if size else None
    first = os.pread(number, RAW, 0)
    last = os.pread(number, RAW, size - RAW).lstrip(b"\0")  # see Spool.read
    return Output(shorten(_decode(first), _decode(last), size - len(first) - len(last)), size)


class Trimmer:
    """A thread that keeps files short while somebody prints, until it is closed."""

    def __init__(self, trim: Callable[[], None]) -> None:
        self._trim = trim
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="gridrun-trimmer", daemon=True).start()

    def _run(self) -> None:
        while not self._ended.wait(LOOK_S):
            self._trim()

    def close(self) -> None:
        """Have it end."""
        self._ended.set()


def shorten(first: str, last: str = "", gap: int = 0) -> str:
    """The beginning of one text and the end of the other; `gap` bytes between them were lost before."""
    first, last = collapse(first), collapse(last)
    if not gap and len(first) <= 2 * PART:
        return first
    if not gap:
        first, last = first[:-PART], first[-PART:]
    # Cut where lines end, unless that would cost half of the part.
    head, tail = first[:PART], last[-PART:]
    if (end := head.rfind("\n") + 1) > PART / 2:
        head = head[:end]
    if 0 < (begin := tail.find("\n") + 1) < PART / 2:
        tail = tail[begin:]
    gap += sum(map(_count, (first, last))) - sum(map(_count, (head, tail)))
    return f"{head}{'' if head.endswith(chr(10)) else chr(10)}{tell_gap(gap)}{tail}"


def tell_gap(size: int) -> str:
    """The line that stands for bytes that were not kept."""
    return f"[... {size:,} bytes left out ...]\n"


def collapse(text: str) -> str:
    """The text as a terminal shows it in the end: of a bar that is drawn over and over its last state."""
    if "\r" not in text:
        return text
    rows, at = list[str](), -1  # and the one that the cursor is on
    for line in text.replace("\r\n", "\n").split("\n"):
        at += 1
        if at == len(rows):
            rows.append("")
        for number, part in enumerate(line.split(_UP)):
            at = max(0, at - (number > 0))
            if "\r" in part:
                rows[at] = part.rstrip("\r").rpartition("\r")[2]
            else:
                rows[at] += part
    return "\n".join(rows)


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _count(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def buffer_lines() -> None:
    """Have C's printf write each line at once, as it would to a terminal: what dies has said it."""
    with contextlib.suppress(AttributeError, ValueError):
        ctypes.PyDLL(None).setvbuf(_c_stdout(), None, _LINE_BUFFERED, 0)


def _c_stdout() -> Any:
    return ctypes.c_void_p.in_dll(ctypes.PyDLL(None), "__stdoutp" if sys.platform == "darwin" else "stdout")


try:
    # Of this stream alone: all of them would wait for a thread that reads one.
    _c_flush: Callable[[Any], Any] = ctypes.PyDLL(None).fflush
    _c_flush.argtypes = (ctypes.c_void_p,)  # type: ignore[attr-defined]
    _C_STDOUT = _c_stdout()
except (AttributeError, ValueError):  # a C library that names it otherwise
    _c_flush, _C_STDOUT = (lambda _: None), None


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 - once a cell: suppress would take as long again
            stream.flush()
        except Exception:  # whatever a train function's module has put there
            pass
    _c_flush(_C_STDOUT)


def _punch(number: int, start: int, size: int) -> bool:
    """Whether the file system took these bytes back; they read as zeros then."""
    try:
        fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    except AttributeError:  # Linux alone has it
        return False
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    if fallocate(number, _PUNCH_HOLE, start, size) == 0:
        return True
    if (code := ctypes.get_errno()) in (errno.EOPNOTSUPP, errno.ENOSYS):
        return False
    raise OSError(code, os.strerror(code))
