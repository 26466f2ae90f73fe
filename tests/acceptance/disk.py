"""What SQLite asks of the disk, recorded: each write, truncation, deletion and sync, in order.

The functions by which SQLite reaches files are wrapped in place, for the whole process: only a child that
ends afterwards should record. From a recording follows what a disk may hold after a power cut.
"""

import _sqlite3
import ctypes
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECTOR = 512

Op = tuple[str, str, int, bytes]  # what, file's name, offset or size, data

_pointer = ctypes.c_void_p
_OPEN = ctypes.CFUNCTYPE(
    ctypes.c_int, _pointer, _pointer, _pointer, ctypes.c_int, ctypes.POINTER(ctypes.c_int)
)
_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, _pointer, ctypes.c_char_p, ctypes.c_int)
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, _pointer, _pointer, ctypes.c_int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, _pointer, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, _pointer, ctypes.c_int)


class _Methods(ctypes.Structure):
    """sqlite3_io_methods, version 3."""

    _fields_ = [
        ("version", ctypes.c_int), ("close", _pointer), ("read", _pointer), ("write", _pointer),
        ("truncate", _pointer), ("sync", _pointer), ("rest", _pointer * 13),
    ]  # fmt: skip


class _Vfs(ctypes.Structure):
    """The beginning of sqlite3_vfs."""

    _fields_ = [
        ("version", ctypes.c_int), ("size", ctypes.c_int), ("longest", ctypes.c_int), ("next", _pointer),
        ("name", _pointer), ("data", _pointer), ("open", _pointer), ("delete", _pointer),
    ]  # fmt: skip


class _File(ctypes.Structure):
    _fields_ = [("methods", ctypes.POINTER(_Methods))]


def reachable() -> bool:
    """Whether SQLite's functions can be had: on Linux they always must."""
    return sys.platform == "linux" or hasattr(ctypes.CDLL(_sqlite3.__file__), "sqlite3_vfs_find")


def record() -> list[Op]:
    """Record from now on, into the list returned."""
    log: list[Op] = []
    library = ctypes.CDLL(_sqlite3.__file__)  # with what it was linked to
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    vfs = library.sqlite3_vfs_find(None).contents
    kept: list[Any] = [library]  # ctypes' callbacks must outlive their last use

    def wrap(methods: _Methods, name: str) -> _Methods:
        write, truncate, sync = _WRITE(methods.write), _TRUNCATE(methods.truncate), _SYNC(methods.sync)

        def logged_write(file: int, data: int, size: int, at: int) -> int:
            log.append(("write", name, at, ctypes.string_at(data, size)))
            return int(write(file, data, size, at))

        def logged_truncate(file: int, size: int) -> int:
            log.append(("truncate", name, size, b""))
            return int(truncate(file, size))

        def logged_sync(file: int, flags: int) -> int:
            code = int(sync(file, flags))
            log.append(("sync", name, 0, b""))
            return code

        mine = _Methods.from_buffer_copy(methods)
        wrapped = (_WRITE(logged_write), _TRUNCATE(logged_truncate), _SYNC(logged_sync))
        mine.write, mine.truncate, mine.sync = (ctypes.cast(function, _pointer) for function in wrapped)
        kept.extend((*wrapped, write, truncate, sync, mine))
        return mine

    old_open, old_delete = _OPEN(vfs.open), _DELETE(vfs.delete)

    def logged_open(this: int, path: int, file: int, flags: int, out: Any) -> int:
        code = int(old_open(this, path, file, flags, out))
        opened = _File.from_address(file)
        if code == 0 and path and opened.methods:
            name = Path(ctypes.string_at(path).decode()).name
            log.append(("open", name, 0, b""))
            opened.methods = ctypes.pointer(wrap(opened.methods.contents, name))
        return code

    def logged_delete(this: int, path: bytes, durably: int) -> int:
        log.append(("delete", Path(path.decode()).name, 0, b""))
        return int(old_delete(this, path, durably))

    new_open, new_delete = _OPEN(logged_open), _DELETE(logged_delete)
    kept.extend((old_open, old_delete, new_open, new_delete))
    vfs.open, vfs.delete = ctypes.cast(new_open, _pointer), ctypes.cast(new_delete, _pointer)
    record.kept = kept  # type: ignore[attr-defined]
    return log


@dataclass
class _Held:
    """A file: what is safe on the disk, and what was asked since the last sync."""

    safe: bytearray = field(default_factory=bytearray)
    asked: list[Op] = field(default_factory=list)


def replay(log: list[Op], chance: random.Random | None) -> Iterator[tuple[int, dict[str, bytes]]]:
    """Yield (operations done, files) after each operation.

    Without `chance` all that was asked is there, as after SIGKILL. With it, of what was not synced any
    part may be missing, sector by sector, as after a power cut.
    """
    files: dict[str, _Held] = {}
    for done, (what, name, at, data) in enumerate(log, 1):
        if what == "delete":
            files.pop(name, None)
        elif what != "told":
            held = files.setdefault(name, _Held())
            if what in ("write", "truncate"):
                held.asked.append((what, name, at, data))
            elif what == "sync":
                _apply(held.safe, held.asked, None)
                held.asked = []
        found = {}
        for path, held in files.items():
            content = bytearray(held.safe)
            _apply(content, held.asked, chance)
            found[path] = bytes(content)
        yield done, found


def _apply(content: bytearray, ops: list[Op], chance: random.Random | None) -> None:
    lost = 0.0 if chance is None else chance.choice([0.0, 0.2, 0.5, 0.8, 1.0])
    for what, _, at, data in ops:
        if what == "truncate":
            if chance is None or chance.random() >= lost:
                del content[at:]
            continue
        for start in range(0, len(data), SECTOR):
            if chance is None or chance.random() >= lost:
                piece = data[start : start + SECTOR]
                content.extend(bytes(max(0, at + start + len(piece) - len(content))))
                content[at + start : at + start + len(piece)] = piece
