"""The sweep directory: what lies in it under which name, whose it is, and its lock."""

import contextlib
import fcntl
import json
import os
import socket
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from gridrun.errors import EnvironmentFault, InputError

FILE = "sweep.db"
LOCK = "sweep.lock"
NOW = "sweep.now"  # what the sweep that runs here is doing, for `status`
REPORT = "report"
EXPORT = "export"  # results for other tools, a folder a format
CELLS = "cells"  # what trajectories leave, each in a directory of its own
REFITS = "cells/refit"  # the same of what is run once more after the sweep
RUNNING = "running"  # what trajectories that run now have printed so far
# What may lie in a directory that becomes a sweep directory: a study kept for readers has these.
KNOWN = {FILE, FILE + "-wal", FILE + "-shm", LOCK, NOW, REPORT, EXPORT, "grid.toml", "README.md"}
# SQLite opens no longer path: 512 bytes with the ending of a journal. Its own error does not say so.
LONGEST_PATH = 504
# A lock that is held is tried again so often and so soon: a `status` holds it for an instant.
PROBES = 5
PROBE_S = 0.05
# What a sweep is doing is told each second; of one that is stopped (Ctrl-Z) nothing is known.
STALE_S = 60.0
MOST_BYTES = 100_000  # of a lock file: a command line may be long, and a stranger's file longer


def check_directory(directory: Path) -> None:
    """Raise InputError unless `directory` is a sweep directory, is empty, or is not there yet."""
    if (words := too_long(directory)) is not None:
        raise InputError(f"{directory}: {words}; choose a shorter --out")
    if not directory.exists():
        return
    if not directory.is_dir():
        raise InputError(f"{directory}: is a file; name a directory for the sweep")
    strangers = sorted(entry.name for entry in directory.iterdir() if entry.name not in KNOWN)
    if strangers and not (directory / FILE).exists():
        raise InputError(
            f"{directory}: is no sweep directory (it holds {strangers[0]!r}); name a new or empty one"
        )


def files_of(directory: Path, trajectory: str) -> Path | None:
    """Where a trajectory has left files; None if it has not."""
    found = (directory / folder / trajectory for folder in (CELLS, REFITS))
    return next((path for path in found if path.is_dir()), None)


def require_own_file(path: Path) -> None:
    """Raise EnvironmentFault if what lies there is no regular file.

    In a folder that others may write to, a link leads to a file of somebody's, and a pipe to nobody.
    """
    try:
        mode = path.lstat().st_mode
    except OSError:  # none; or told by whoever opens it
        return
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
        raise EnvironmentFault(f"{path}: is {kind}; move it away, or name another directory")


def too_long(directory: Path) -> str | None:
    """That SQLite can't open a database there for the length of its path alone, in words."""
    size = len(os.fsencode((directory / FILE).resolve()))
    if size <= LONGEST_PATH:
        return None
    return f"its path is too long for a database ({size} bytes with {FILE}; {LONGEST_PATH} at most)"


def newest_directory(results: Path = Path("results")) -> Path:
    """The sweep directory under `results` that was written to last. Raises: InputError if there is none."""
    newest: dict[Path, float] = {}
    for path in results.glob(f"*/{FILE}*"):
        with contextlib.suppress(OSError):  # a log goes when the sweep that wrote it ends
            newest[path.parent] = max(path.stat().st_mtime, newest.get(path.parent, 0.0))
    stores = [directory for directory in newest if (directory / FILE).is_file()]
    if not stores:
        raise InputError(
            f"{results}/: holds no sweep; run `gridrun sweep grid.toml` first, or name its directory"
        )
    return max(stores, key=newest.__getitem__)


@dataclass(frozen=True)
class Holder:
    """Who holds the lock on a sweep directory; None and "" where it can't be told."""

    process: int | None = None
    host: str = ""
    since: str = ""  # UTC, ISO 8601

    def __str__(self) -> str:
        process = "another process" if self.process is None else f"process {self.process}"
        return f"{process} on {self.host}" if self.host else process


@contextlib.contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Hold the kernel's lock on the sweep directory: released by death itself, so never stale.

    The file says who holds it, in one line of JSON. Raises: EnvironmentFault if another sweep holds it,
    or the file system has no locks; OSError.
    """
    require_own_file(directory / LOCK)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    with open(os.open(directory / LOCK, flags, 0o666), "r+", encoding="utf-8") as file:  # noqa: PTH123
        try:
            _take(file.fileno())
        except BlockingIOError:
            raise EnvironmentFault(
                f"{directory}: another sweep is running here ({_read_holder(file)}); wait for it or end it"
            ) from None
        except OSError as error:
            raise EnvironmentFault(
                f"{directory}: no locks on this file system ({error.strerror}); choose a local --out"
            ) from None
        # A process that the train function forks off must not hold the lock after our death.
        os.register_at_fork(after_in_child=file.close)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        _overwrite(file, {"process": os.getpid(), "host": socket.gethostname(), "since": since})
        yield


def _take(lock: int) -> None:
    for probe in range(PROBES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:  # held; or a `status` has just looked
            if probe == PROBES - 1:
                raise
            time.sleep(PROBE_S)


def find_holder(directory: Path) -> Holder | None:
    """Who sweeps here now; None if nobody does. Changes nothing, and disturbs nobody."""
    with contextlib.suppress(OSError), _open_lock(directory) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_holder(file)
    return None


def note_command(directory: Path, words: Sequence[str]) -> None:
    """Keep the command line in the lock file, which stays when the lock is gone, for `status` to tell."""
    # What can't be kept is not told.
    with contextlib.suppress(OSError), _open_lock(directory, os.O_RDWR) as file:
        _overwrite(file, _read(file) | {"folder": str(Path.cwd()), "command": list(words)})


def last_command(directory: Path) -> tuple[str, list[str]] | None:
    """The folder and the words of the command that swept here last, if they are known."""
    with contextlib.suppress(OSError), _open_lock(directory) as file:
        found = _read(file)
        folder, words = found.get("folder"), found.get("command")
        if isinstance(folder, str) and isinstance(words, list) and all(isinstance(w, str) for w in words):
            return folder, words
    return None


class Board:
    """The file that tells `status` what a running sweep is doing; what can't be written is not told."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NOW
        self._file: TextIO | None = None

    def write(self, said: Mapping[str, object]) -> None:
        """Replace what it says."""
        with contextlib.suppress(OSError):
            if self._file is None:
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
                self._file = open(os.open(self._path, flags, 0o666), "r+", encoding="utf-8")  # noqa: PTH123, SIM115
            _overwrite(self._file, {"process": os.getpid(), "at": time.time(), **said})

    def close(self) -> None:
        """Nothing is being done any more."""
        if self._file is not None:
            self._file.close()
            self._file = None
            with contextlib.suppress(OSError):
                self._path.unlink()


def read_board(directory: Path, holder: Holder) -> dict[str, Any]:
    """What the sweep of that holder said last, and its age in seconds as `age_s`; {} if it has not lately."""
    found: dict[str, Any] = {}
    with contextlib.suppress(OSError):
        number = os.open(directory / NOW, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with open(number, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            found = _read(file)
    at = found.get("at")
    if found.get("process") != holder.process or not isinstance(at, float):
        return {}
    age_s = time.time() - at
    return found | {"age_s": age_s} if abs(age_s) < STALE_S else {}


def _open_lock(directory: Path, flags: int = os.O_RDONLY) -> TextIO:
    # O_NONBLOCK: a stranger's pipe of this name would have us wait for its writer.
    number = os.open(directory / LOCK, flags | os.O_NONBLOCK | os.O_NOFOLLOW)
    if flags == os.O_RDWR:
        return open(number, "r+", encoding="utf-8", errors="replace")  # noqa: PTH123
    return open(number, encoding="utf-8", errors="replace")  # noqa: PTH123


def _overwrite(file: TextIO, said: Mapping[str, object]) -> None:
    """Replace what a lock file says, so that whoever reads it meanwhile reads the old or the new line."""
    line = json.dumps(said).encode() + b"\n"
    os.pwrite(file.fileno(), line, 0)
    os.ftruncate(file.fileno(), len(line))


def _read(file: TextIO) -> dict[str, Any]:
    file.seek(0)
    try:
        found = json.loads(file.readline(MOST_BYTES))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read_holder(file: TextIO) -> Holder:
    found = _read(file)
    process, host, since = found.get("process"), found.get("host"), found.get("since")
    return Holder(
        process if isinstance(process, int) and not isinstance(process, bool) else None,
        host if isinstance(host, str) else "",
        since if isinstance(since, str) else "",
    )
