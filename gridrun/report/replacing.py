"""A directory written whole or not at all: filled beside its place, then renamed into it."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from gridrun.errors import InputError
from gridrun.exchange import exchange


@contextlib.contextmanager
def replacing(target: Path, check: Callable[[Path], None]) -> Iterator[Path]:
    """Fill a directory beside the target, then put it in the target's place: at once where the system can.

    `check` is asked first, and raises InputError if what lies at the target may not be replaced.
    """
    check(target)
    _clear_leftovers(target)
    fresh = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    old = target.with_name(f"{target.name}.old-{os.getpid()}")
    try:
        fresh.mkdir()
        yield fresh
        had_one = os.path.lexists(target)
        if had_one and exchange(fresh, target):
            return
        if had_one:
            target.rename(old)
        try:
            fresh.rename(target)
        except BaseException:
            if had_one:
                old.rename(target)
            raise
    finally:
        remove(fresh)
        remove(old)


def require_directory(target: Path, what: str) -> bool:
    """Whether there is a directory. Raises: InputError if something else is there, which is no `what`."""
    if not os.path.lexists(target):
        return False
    if target.is_symlink() or not target.is_dir():
        kind = "a symbolic link" if target.is_symlink() else "a file"
        raise InputError(f"{target}: is {kind}, and no {what} of ours; move it away")
    return True


def _clear_leftovers(target: Path) -> None:
    """Remove what a killed report left; what a living process is at work on stays."""
    for path in sorted(target.parent.glob(f"{target.name}.*-*")):
        kind, _, process = path.name.removeprefix(f"{target.name}.").partition("-")
        if kind not in ("tmp", "old") or not process.isdigit() or _lives(int(process)):
            continue
        if kind == "old" and not os.path.lexists(target):
            path.rename(target)  # killed between the two renames: the old one is the one
        else:
            remove(path)


def _lives(process: int) -> bool:
    if process == os.getpid():
        return False  # what bears our own number was left by an earlier holder of it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def remove(path: Path) -> None:
    """Remove whatever lies there, if it can be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
