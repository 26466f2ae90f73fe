"""The store: outcomes in SQLite, in one file of the sweep directory. The only file that speaks SQL.

Who may call: one writer (the parent of a sweep, which holds the directory's lock), any number of
readers, at any time. What survives: everything `save` returned from, whatever dies afterwards.
What is raised: EnvironmentFault for a store that is locked, corrupt, foreign, newer, full or
read-only; InputError for a directory that holds no store.

Longer than other files: what is written, what is believed when it is read, and what each fault is called
belong together, and no other file may know SQL.
"""

import contextlib
import fcntl
import json
import math
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from gridrun.cell import Identity, Params, encode_name, encode_params, freeze
from gridrun.errors import EnvironmentFault, InputError

FILE = "sweep.db"
LOCK = "sweep.lock"
# What may lie in a directory that becomes a sweep directory: a study kept for readers has these.
KNOWN = {FILE, FILE + "-wal", FILE + "-shm", LOCK, "report", "grid.toml", "README.md"}

APPLICATION_ID = 0x67726964  # "grid", so that `file` and we tell it from another program's database
SCHEMA_VERSION = 1
BUSY_S = 10.0  # so long another program may hold the database before we give up

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Failure:
    """Why a trajectory ended early: one line, and the traceback (may be empty)."""

    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one trajectory: the epochs it completed and, if it ended early, why.

    `wall_s` is the time the train function took, in seconds.
    """

    trajectory: str
    params: Params
    history: Sequence[Metrics]
    failure: Failure | None
    wall_s: float


class Progress(NamedTuple):
    """How far a trajectory is, without its metrics: what resuming needs."""

    epochs: int
    failed: bool

    def status(self, budget: int | None) -> str:
        """The status of this trajectory's cell with that budget: completed, failed or pending."""
        if self.epochs >= (budget or 1):
            return "completed"
        return "failed" if self.failed else "pending"


NOTHING = Progress(0, False)


class Store:
    """One sweep directory's outcomes. Made by `write` or `read`, both context managers."""

    def __init__(self, directory: Path, connection: sqlite3.Connection) -> None:
        self.directory = directory
        self._db = connection
        # As bytes: a damaged text may be none, and its checksum is to say so, not SQLite.
        self._db.text_factory = bytes
        self._session: int | None = None

    @classmethod
    @contextlib.contextmanager
    def write(cls, directory: Path) -> Iterator["Store"]:
        """Lock the sweep directory and open its store, made new if there is none.

        Raises: InputError if the directory is something else; EnvironmentFault if another sweep
        holds it, or the store can't be used.
        """
        check_directory(directory)
        with contextlib.ExitStack() as stack:
            with _faults(directory):
                directory.mkdir(parents=True, exist_ok=True)
                stack.enter_context(_lock(directory))
                db = stack.enter_context(contextlib.closing(_connect(directory / FILE, "rwc")))
                _prepare(db, directory)
            yield cls(directory, db)

    @classmethod
    @contextlib.contextmanager
    def read(cls, directory: Path) -> Iterator["Store"]:
        """Open a store for reading only, whether or not a sweep is writing to it.

        Raises: InputError if there is none; EnvironmentFault if it can't be used.
        """
        if not (directory / FILE).is_file():
            raise InputError(f"{directory}: holds no {FILE}; name a directory that `gridrun sweep` wrote")
        with contextlib.ExitStack() as stack:
            with _faults(directory):
                db = stack.enter_context(contextlib.closing(_connect_reader(directory)))
                _check_ours(db, directory)
            yield cls(directory, db)

    def begin(
        self, grid_text: str, identity: Identity, defaults: Params, environment: Mapping[str, str]
    ) -> None:
        """Record what is swept now, before the first outcome."""
        described = json.dumps({**asdict(identity), "defaults": json.loads(encode_params(defaults))})
        rows = [
            (key, value, _crc(key, value))
            for key, value in (("grid.toml", grid_text), ("identity", described))
        ]
        with _faults(self.directory), self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO sweep VALUES (?, ?, ?)", rows)
            self._session = self._db.execute(
                "INSERT INTO session (started_at, environment) VALUES (?, ?)",
                (_now(), json.dumps(environment, sort_keys=True)),
            ).lastrowid

    def save(self, outcomes: Iterable[Outcome]) -> None:
        """Commit outcomes in one transaction; when this returns they are on disk.

        A longer history replaces a shorter one, never the other way round; a completed run removes
        the failure recorded before it.
        """
        histories, failures, redone = [], [], []
        for outcome in outcomes:
            params, common = encode_params(outcome.params), (outcome.wall_s, _now(), self._session)
            name = outcome.trajectory
            if outcome.history:
                metrics = encode_history(outcome.history)
                crc = _crc(name, len(outcome.history), params, metrics)
                histories.append((name, params, len(outcome.history), metrics, *common, crc))
            if outcome.failure is None:
                redone.append((name,))
            else:
                failures.append((name, params, outcome.failure.reason, outcome.failure.traceback, *common))
        with _faults(self.directory), self._transaction():
            self._db.executemany(
                "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (trajectory) DO UPDATE SET"
                " params = excluded.params, epochs = excluded.epochs, metrics = excluded.metrics,"
                " wall_s = excluded.wall_s, finished_at = excluded.finished_at,"
                " session = excluded.session, crc = excluded.crc WHERE excluded.epochs >= epochs",
                histories,
            )
            for row in failures:
                crc = _crc(*row[:4], self._epochs(row[0]))
                self._db.execute(
                    "INSERT OR REPLACE INTO failure VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, crc)
                )
            self._db.executemany("DELETE FROM failure WHERE trajectory = ?", redone)

    def grid_text(self) -> str:
        """The grid.toml that was swept last. Raises: InputError if no sweep has begun here."""
        return self._described("grid.toml")

    def identity(self) -> Identity:
        """What named the cells of the grid that was swept last."""
        with self._decoding("identity"):
            found = json.loads(self._described("identity"))
            runs = tuple((fingerprint, int(count)) for fingerprint, count in found["fingerprints"])
            texts = (found["train"], found["version"] or "", *(fingerprint or "" for fingerprint, _ in runs))
            if not all(isinstance(text, str) for text in texts) or any(count < 1 for _, count in runs):
                raise ValueError
        return Identity(found["train"], found["version"], runs)

    def defaults(self) -> Params:
        """The train function's own values of the parameters that grid.toml leaves alone."""
        with self._decoding("defaults"):
            found = json.loads(self._described("identity"))["defaults"]
            defaults = {name: freeze(value) for name, value in found.items()}
            for value in defaults.values():
                for scalar in value if isinstance(value, tuple) else (value,):
                    if not isinstance(scalar, str | int | float):
                        raise ValueError
        return defaults

    def progress(self) -> dict[str, Progress]:
        """How far every trajectory is."""
        share = cache(Progress)  # a million entries stay small, and cost 1.5 us less each
        found = {
            name: share(epochs, False)
            for name, epochs, _, _ in self._rows("history", "epochs", "params", "metrics")
        }
        for name, *_ in self._failures(lambda name: found.get(name, NOTHING).epochs):
            found[name] = share(found.get(name, NOTHING).epochs, True)
        return found

    def histories(self) -> Iterator[tuple[str, list[dict[str, float]]]]:
        """Yield (trajectory, metrics of each completed epoch), in no particular order."""
        for name, _, _, metrics in self._rows("history", "epochs", "params", "metrics"):
            with self._decoding("metrics"):
                history = decode_history(metrics)
            yield name, history

    def failures(self) -> Iterator[tuple[str, Failure]]:
        """Yield (trajectory, why it ended early), in no particular order."""
        for name, _, reason, traceback in self._failures(self._epochs):
            yield name, Failure(_text(reason), _text(traceback))

    def history_of(self, trajectory: str) -> list[dict[str, float]]:
        """The metrics of each completed epoch of one trajectory; empty if there are none."""
        rows = self._rows("history", "epochs", "params", "metrics", where=trajectory)
        with self._decoding("metrics"):
            return next((decode_history(metrics) for *_, metrics in rows), [])

    def failure_of(self, trajectory: str) -> Failure | None:
        """Why one trajectory ended early, if it did."""
        rows = self._failures(self._epochs, where=trajectory)
        return next((Failure(_text(reason), _text(traceback)) for *_, reason, traceback in rows), None)

    def run_of(self, trajectory: str) -> dict[str, str]:
        """When and on what a trajectory ran last: finished_at, wall_s and the session's environment."""
        with _faults(self.directory):
            row = self._db.execute(
                "SELECT finished_at, wall_s, environment FROM ("
                " SELECT trajectory, finished_at, wall_s, session FROM failure UNION ALL"
                " SELECT trajectory, finished_at, wall_s, session FROM history"
                ") AS run JOIN session ON session.id = run.session"
                " WHERE trajectory = ? ORDER BY finished_at DESC LIMIT 1",
                (trajectory,),
            ).fetchone()
        if row is None:
            return {}
        with self._decoding("session"):
            return {"finished_at": _text(row[0]), "wall_s": f"{row[1]:.3f}", **json.loads(row[2])}

    def _failures(self, epochs: Callable[[str], int], where: str | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield (trajectory, params, reason, traceback) of failures, given the epochs completed before each.

        Without these it is none: cells that were completed must not have failed when their row is damaged.
        """
        return self._rows("failure", "params", "reason", "traceback", where=where, before=epochs)

    def _epochs(self, trajectory: str) -> int:
        rows = self._rows("history", "epochs", "params", "metrics", where=trajectory)
        return next((epochs for _, epochs, *_ in rows), 0)

    def _rows(
        self,
        table: str,
        *columns: str,
        where: str | None = None,
        before: Callable[[str], int] | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """Yield (trajectory, *columns) of every sound row, or of one trajectory's; texts as bytes.

        A row that does not match its checksum is passed over: its trajectory is run again. `before`
        gives what the checksum covers besides the columns.
        """
        types = [int if column == "epochs" else bytes for column in columns]
        with _faults(self.directory):
            query = f"SELECT crc, trajectory, {', '.join(columns)} FROM {table}"
            if where is None:
                rows = self._db.execute(query)
            else:
                rows = self._db.execute(query + " WHERE trajectory = ?", (where,))
            for row in rows:
                name, values = _text(row[1]), row[2:]
                covered = values if before is None else (*values, before(name))
                if row[0] == _crc(name, *covered) and [*map(type, values)] == types:
                    yield name, *values

    def _described(self, key: str) -> str:
        with _faults(self.directory):
            row = self._db.execute("SELECT value, crc FROM sweep WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise InputError(f"{self.directory}: no sweep has begun here; run `gridrun sweep` first")
        if _crc(key, row[0]) != row[1]:
            raise _corrupt(self.directory / FILE, f"its {key} does not match its checksum")
        return _text(row[0])

    @contextlib.contextmanager
    def _decoding(self, what: str) -> Iterator[None]:
        """Refuse what bears its checksum and still is not what we write: somebody made it so."""
        try:
            yield
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
            raise _corrupt(self.directory / FILE, f"its {what} cannot be read") from None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise


def encode_history(history: Sequence[Metrics]) -> str:
    """Write metrics as JSON, which knows no NaN (null here) and no infinity (1e999, which reads as one)."""
    epochs = (",".join(f"{encode_name(k)}:{_encode_number(v)}" for k, v in m.items()) for m in history)
    return "[" + ",".join("{" + epoch + "}" for epoch in epochs) + "]"


# Its raw_decode takes a third of the time of json.loads, which looks for encodings and blanks.
_DECODER = json.JSONDecoder()


def decode_history(text: str | bytes) -> list[dict[str, float]]:
    """Read what `encode_history` wrote."""
    return [
        {k: math.nan if v is None else float(v) for k, v in m.items()}
        for m in _DECODER.raw_decode(_text(text))[0]
    ]


def _encode_number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "null" if math.isnan(value) else ("1e999" if value > 0 else "-1e999")


def check_directory(directory: Path) -> None:
    """Raise InputError unless `directory` is a sweep directory, is empty, or is not there yet."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise InputError(f"{directory}: is a file; name a directory for the sweep")
    strangers = sorted(entry.name for entry in directory.iterdir() if entry.name not in KNOWN)
    if strangers and not (directory / FILE).exists():
        raise InputError(
            f"{directory}: is no sweep directory (it holds {strangers[0]!r}); name a new or empty one"
        )


def _crc(*values: object) -> int:
    """Sum up a row: SQLite itself checks no payload."""
    return zlib.crc32(b"\0".join([v if type(v) is bytes else str(v).encode() for v in values]))


def _text(raw: object) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextlib.contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """Hold the kernel's lock on the sweep directory: released by death itself, so never stale."""
    with (directory / LOCK).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(20).strip()
            by = f" (process {holder})" if holder.isdigit() else ""
            raise EnvironmentFault(
                f"{directory}: another sweep is running here{by}; wait for it or end it"
            ) from None
        except OSError as error:
            raise EnvironmentFault(
                f"{directory}: no locks on this file system ({error.strerror}); choose a local --out"
            ) from None
        # A process that the train function forks off must not hold the lock after our death.
        os.register_at_fork(after_in_child=file.close)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _connect(path: Path, mode: str, extra: str = "") -> sqlite3.Connection:
    # as_uri escapes '?' and '#', which would otherwise end the path.
    uri = f"{path.absolute().as_uri()}?mode={mode}{extra}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S)
    db.execute("PRAGMA trusted_schema = OFF")
    return db


def _connect_reader(directory: Path) -> sqlite3.Connection:
    path = directory / FILE
    if not os.access(directory, os.W_OK) and not path.with_name(FILE + "-wal").exists():
        # Without a write-ahead log nobody is writing, and a reader that may not create one must say so.
        return _connect(path, "ro", "&immutable=1")
    return _connect(path, "ro")


def _prepare(db: sqlite3.Connection, directory: Path) -> None:
    """Bring a new file to our schema; refuse what is not ours or damaged."""
    empty = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not empty or db.execute("PRAGMA application_id").fetchone()[0]:
        _check_ours(db, directory)
        # Whole, indexes included: 1.4 s for a million trajectories.
        damage = _damage(db, "integrity_check")
        if damage and not _damage(db, "quick_check"):
            db.execute("REINDEX")  # an index holds nothing of its own: it is made anew
            damage = _damage(db, "integrity_check")
        if damage:
            raise _corrupt(directory / FILE, damage)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    if empty:
        db.executescript(
            f"BEGIN IMMEDIATE; {_schema()} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )


def _damage(db: sqlite3.Connection, check: str) -> str:
    found = str(db.execute(f"PRAGMA {check}(1)").fetchone()[0])
    return "" if found == "ok" else found


def _check_ours(db: sqlite3.Connection, directory: Path) -> None:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        if version == 0 and db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
            raise InputError(f"{directory}: no sweep has begun here; run `gridrun sweep` first")
        raise EnvironmentFault(f"{directory / FILE}: is a database of another program; nothing was changed")
    if version > SCHEMA_VERSION:
        raise EnvironmentFault(
            f"{directory / FILE}: was written by a newer gridrun (schema {version}, here {SCHEMA_VERSION});"
            " upgrade gridrun; nothing was changed"
        )
    with contextlib.closing(sqlite3.connect(":memory:")) as ours:
        ours.executescript(_schema())
        if _tables(db) != _tables(ours):
            raise _corrupt(directory / FILE, "its tables are not what gridrun makes")


@cache
def _schema() -> str:
    return files("gridrun").joinpath("schema.sql").read_text(encoding="utf-8")


def _tables(db: sqlite3.Connection) -> list[list[tuple[Any, ...]]]:
    """What a stranger could have made otherwise: a view that never ends, a trigger, a generated column."""
    tables = ("sweep", "session", "history", "failure")
    return [
        db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall(),
        *(db.execute(f"SELECT type, strict FROM pragma_table_list('{name}')").fetchall() for name in tables),
        *(db.execute(f"SELECT * FROM pragma_table_xinfo('{name}')").fetchall() for name in tables),
    ]


def _corrupt(path: Path, what: str) -> EnvironmentFault:
    what = " ".join(what.split())[:200]
    return EnvironmentFault(
        f"{path}: is corrupt ({what}); nothing was changed; restore a copy, or move it away to start anew"
    )


@contextlib.contextmanager
def _faults(directory: Path) -> Iterator[None]:
    """Say in one line what SQLite and the file system refuse."""
    path = directory / FILE
    try:
        yield
    except sqlite3.OperationalError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_FULL"):
            raise EnvironmentFault(f"{path}: the disk is full; what was reported done is kept") from None
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise EnvironmentFault(f"{path}: is locked by another program; nothing was changed") from None
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            raise EnvironmentFault(
                f"{path}: cannot be opened for this ({error}); check its permissions"
            ) from None
        if name.startswith("SQLITE_IOERR"):
            raise EnvironmentFault(
                f"{path}: the disk failed ({name}); what was reported done is kept"
            ) from None
        raise _corrupt(path, str(error)) from None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # SQLite quotes what is damaged
        raise _corrupt(path, str(error)) from None
    except OSError as error:
        raise EnvironmentFault(f"{error.filename or directory}: {error.strerror}") from None
