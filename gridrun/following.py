"""What running trajectories have printed so far: a file each in the sweep directory, for `show` to read.

Written by the sweep itself, wherever the trajectory runs; removed when its outcome is in the store. After a
kill they stay until the next sweep begins.
"""

import codecs
import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from gridrun.directory import RUNNING
from gridrun.outcome import Outcome, Output, Piece
from gridrun.output import Spool, keep, tell_gap

READ_BYTES = 1 << 16


class Logs:
    """The files of the trajectories that run now. What can't be written can't be followed: no fault."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sizes: dict[str, int] = {}  # how much each has printed
        with contextlib.suppress(OSError):  # of a sweep that was killed
            shutil.rmtree(directory / RUNNING)

    def add(self, piece: Piece) -> None:
        """Write what a trajectory has printed."""
        before = self._sizes.get(piece.trajectory)
        new = before is None or piece.start < before  # another attempt
        gap = piece.start - (0 if new or before is None else before)
        self._sizes[piece.trajectory] = piece.start + len(piece.data)
        with contextlib.suppress(OSError):
            path = _path(self._directory, piece.trajectory)
            path.parent.mkdir(exist_ok=True)
            log = Spool(path, new=new)
            try:
                log.append((b"\n" + tell_gap(gap).encode() if gap else b"") + piece.data)
                log.trim()
            finally:
                log.close()

    def finish(self, outcomes: Iterable[Outcome]) -> None:
        """These are in the store: write the last of what they have printed, and remove their files."""
        for outcome in outcomes if self._sizes else ():
            if outcome.underway or outcome.trajectory not in self._sizes:
                continue
            if outcome.output is not None:
                self._add_rest(outcome.trajectory, outcome.output)
            del self._sizes[outcome.trajectory]
            with contextlib.suppress(OSError):
                _path(self._directory, outcome.trajectory).unlink()
            if not self._sizes:
                with contextlib.suppress(OSError):
                    (self._directory / RUNNING).rmdir()

    def _add_rest(self, trajectory: str, output: Output) -> None:
        known, start = self._sizes[trajectory], output.size - len(output.rest)
        if known < output.size and output.rest:
            self.add(Piece(trajectory, max(known, start), output.rest[max(0, known - start) :]))


def read_log(directory: Path, trajectory: str) -> Output | None:
    """What a running trajectory has printed so far; None if none runs that could be followed."""
    with contextlib.suppress(OSError), _open(directory, trajectory) as number:
        return keep(number) or Output("", 0)
    return None


def follow_log(directory: Path, trajectory: str) -> Iterator[str]:
    """Yield what a running trajectory prints as it comes, and "" whenever there is nothing new.

    Ends when the trajectory does; at once if there is none that could be followed.
    """
    with contextlib.suppress(OSError), _open(directory, trajectory) as number:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        begun = keep(number) or Output("", 0)
        yield begun.text
        at, gap = begun.size, 0
        while True:
            ended = os.fstat(number).st_nlink == 0  # before what is read last
            if data := os.pread(number, READ_BYTES, at):
                at += len(data)
                # Zeros were given back: this reader is a slow one.
                for part in filter(None, re.split(rb"(\0+)", data)):
                    if part.startswith(b"\0"):
                        gap += len(part)
                    else:
                        yield ("\n" + tell_gap(gap) if gap else "") + decoder.decode(part)
                        gap = 0
            elif ended:
                return
            else:
                yield ""


def _path(directory: Path, trajectory: str) -> Path:
    return directory / RUNNING / f"{trajectory}.log"


@contextlib.contextmanager
def _open(directory: Path, trajectory: str) -> Iterator[int]:
    # A stranger's pipe of this name would have us wait for its writer.
    number = os.open(_path(directory, trajectory), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError
        yield number
    finally:
        os.close(number)
