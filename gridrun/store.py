"""The store: outcomes in SQLite, in one file of the sweep directory. The only file that speaks SQL.

Who may call: one writer (the parent of a sweep, which holds the directory's lock), any number of
readers, at any time. What survives: everything `save` returned from, whatever dies afterwards.
What is raised: EnvironmentFault for a store that is locked, corrupt, foreign, newer, full or
read-only; InputError for a directory that holds no store.

Longer than other files: what is written, what is believed when it is read, and what each fault is called
belong together, and no other file may know SQL.
"""

import contextlib
import json
import math
import os
import sqlite3
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

from gridrun.cell import Identity, Params, encode_name, encode_params, read_value
from gridrun.directory import FILE, LOCK, check_directory, lock_directory, require_own_file, too_long
from gridrun.errors import EnvironmentFault, InputError
from gridrun.metrics import Bits
from gridrun.outcome import (
    NOTHING,
    Failure,
    History,
    Metrics,
    Outcome,
    Output,
    Progress,
    Session,
    Timing,
)

APPLICATION_ID = 0x67726964  # "grid", so that `file` and we tell it from another program's database
SCHEMA_VERSION = 3
# What is raised where a text that was read back is not what we write.
DAMAGE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)
SESSIONS = "SELECT id, crc, started_at, environment, sources, defaults FROM session"
BUSY_S = 10.0  # so long another program may hold the database before we give up


class TooLarge(Exception):
    """An outcome that no row can hold: SQLite takes 1 GB. Nothing of what came with it was stored."""


class Store:
    """One sweep directory's outcomes. Made by `write` or `read`, both context managers."""

    def __init__(self, directory: Path, connection: sqlite3.Connection) -> None:
        self.directory = directory
        self._db = connection
        # As bytes: a damaged text may be none, and its checksum is to say so, not SQLite.
        self._db.text_factory = bytes
        self._session: int | None = None
        self._places: dict[Path, tuple[int, int] | None] = {}  # where its files lie, if it is written to
        self._still: tuple[int, ...] | None = None  # of a file that is read as one that nobody writes to
        self._printed = True  # whether any row of `output` may have to go: most trainers print nothing

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
                stack.enter_context(lock_directory(directory))
                _clear_strangers_logs(directory / FILE)
                db = stack.enter_context(contextlib.closing(_connect(directory / FILE, "rwc")))
                _prepare(db, directory)
            store = cls(directory, db)
            # As paths that a cell's chdir does not change.
            places = (directory.absolute() / name for name in (FILE, LOCK))
            store._places = {path: _identity(path) for path in places}
            yield store

    @classmethod
    @contextlib.contextmanager
    def read(cls, directory: Path) -> Iterator["Store"]:
        """Open a store for reading only, whether or not a sweep is writing to it; leave nothing beside it.

        Raises: InputError if there is none; EnvironmentFault if it can't be used, or when the block is left
        if a sweep wrote to the file meanwhile (see `check_still`).
        """
        if not (directory / FILE).is_file():
            raise InputError(f"{directory}: holds no {FILE}; name a directory that `gridrun sweep` wrote")
        with contextlib.ExitStack() as stack:
            still = _version_of_file(directory / FILE)
            with _faults(directory):
                logged = _has_log(directory / FILE)
                db = stack.enter_context(contextlib.closing(_connect_reader(directory / FILE, logged)))
                if _version(db, directory) < SCHEMA_VERSION:
                    # A copy in memory is migrated: a reader changes nothing, and may not be allowed to.
                    copy = stack.enter_context(contextlib.closing(sqlite3.connect(":memory:")))
                    db.backup(copy)
                    db = copy
                    _migrate(db, directory)
                _check_tables(db, directory)
            store = cls(directory, db)
            store._still = None if logged else still
            try:
                yield store
            except EnvironmentFault:  # damage, perhaps, that is none
                store.check_still()
                raise
            store.check_still()

    def check_still(self) -> None:
        """Raise EnvironmentFault if what was read may be of two instants.

        Without a log a store is read as a file that stays as it is: SQLite would make files beside it
        otherwise, which whoever sweeps here may not write to. So it is seen afterwards whether it stayed.
        """
        path = self.directory / FILE
        if self._still is not None and _version_of_file(path) != self._still:
            raise EnvironmentFault(
                f"{path}: a sweep wrote to it while it was read; run the same command again"
            )

    def begin(
        self,
        grid_text: str,
        identity: Identity,
        defaults: Params,
        environment: Mapping[str, str],
        sources: Mapping[str, str] | None = None,
    ) -> None:
        """Record what is swept now, before the first outcome."""
        own = encode_params(defaults)
        described = json.dumps({**asdict(identity), "defaults": json.loads(own)})
        rows = [
            (key, value, _crc(key, value))
            for key, value in (("grid.toml", grid_text), ("identity", described))
        ]
        session = (_now(), json.dumps(environment, sort_keys=True), json.dumps(dict(sources or {})), own)
        with _faults(self.directory), self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO sweep VALUES (?, ?, ?)", rows)
            self._session = self._db.execute(
                "INSERT INTO session (started_at, environment, sources, defaults, crc)"
                " VALUES (?, ?, ?, ?, ?)",
                (*session, _crc(*session)),
            ).lastrowid
            self._printed = self._db.execute("SELECT 1 FROM output LIMIT 1").fetchone() is not None

    def check_place(self) -> None:
        """Raise EnvironmentFault if the files that are written to are not those that a reader finds any more.

        SQLite writes on to a file that was moved or removed; and without its lock two sweeps may run.
        """
        for path, found in self._places.items():
            if _identity(path) != found:
                raise EnvironmentFault(
                    f"{path}: was moved, removed or replaced while the sweep ran; what is not in it is lost;"
                    " put it back, or run the sweep again"
                )

    def save(self, outcomes: Iterable[Outcome]) -> None:
        """Commit outcomes in one transaction; when this returns they are on disk, where they are looked for.

        A longer history replaces a shorter one, never the other way round; a run that did not fail
        removes the failure recorded before it. What is kept of its output is that of the last run.

        Raises: TooLarge, besides what a store may.
        """
        histories, failures, redone, flags, printed, silent, now = [], [], [], [], [], [], _now()
        for outcome in outcomes:
            params, common = encode_params(outcome.params), (outcome.wall_s, now, self._session)
            name, epochs, ended = outcome.trajectory, len(outcome.history), int(outcome.ended)
            if epochs:
                metrics = encode_history(outcome.history)
                crc = _crc_history(name, epochs, params, metrics, ended)
                # Of a single epoch they are wall_s.
                seconds = json.dumps([round(s, 6) for s in outcome.seconds]) if epochs > 1 else None
                more = (ended, seconds, outcome.place, outcome.code)
                histories.append((name, params, epochs, metrics, *common, crc, *more))
            if any(outcome.bits):
                flags.append(outcome)
            if outcome.output is not None:
                said = (name, outcome.output.text, outcome.output.size)
                printed.append((*said, _crc(*said)))
            elif self._printed and not outcome.underway:
                silent.append((name,))
            if outcome.failure is None:
                redone.append((name,))
            else:
                reason, traceback = outcome.failure.reason, outcome.failure.traceback
                failures.append(((name, params, reason, traceback), common, outcome.place))
        with _faults(self.directory), _sizes(), self._transaction():
            self._db.executemany(
                "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (trajectory)"
                " DO UPDATE SET params = excluded.params, epochs = excluded.epochs,"
                " metrics = excluded.metrics, wall_s = excluded.wall_s, finished_at = excluded.finished_at,"
                " session = excluded.session, crc = excluded.crc, ended = excluded.ended,"
                " seconds = excluded.seconds, place = excluded.place, code = excluded.code"
                " WHERE excluded.epochs >= epochs",
                histories,
            )
            for row, common, place in failures:
                crc = _crc(*row, self._epochs(row[0]))
                self._db.execute(
                    "INSERT OR REPLACE INTO failure VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*row, *common, crc, place),
                )
            self._db.executemany("DELETE FROM failure WHERE trajectory = ?", redone)
            self._db.executemany(
                "INSERT OR REPLACE INTO bits VALUES (?, ?, ?, ?, ?, ?)",
                (row for outcome in flags for row in _rows_of_bits(outcome)),
            )
            self._db.executemany("INSERT OR REPLACE INTO output VALUES (?, ?, ?, ?)", printed)
            self._db.executemany("DELETE FROM output WHERE trajectory = ?", silent)
        self._printed = self._printed or bool(printed)
        self.check_place()

    def note_reruns(self, reruns: Sequence[Mapping[str, Any]]) -> None:
        """Keep what is run once more after the sweep: `name`, `trajectory`, and all `params` of each."""
        text = json.dumps(list(reruns))
        with _faults(self.directory), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO sweep VALUES (?, ?, ?)", ("reruns", text, _crc("reruns", text))
            )

    def reruns(self) -> list[tuple[str, str, Params]]:
        """The same, as (name, trajectory, parameters); none where nothing has been run so."""
        try:
            text = self._described("reruns")
        except InputError:
            return []
        with self._decoding("reruns"):
            return [(r["name"], r["trajectory"], _read_params(r["params"])) for r in json.loads(text)]

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
            return _read_params(json.loads(self._described("identity"))["defaults"])

    def sessions(self) -> list[Session]:
        """Every run of the sweep, in the order of their beginning; what is damaged of one as if not kept."""
        with _faults(self.directory):
            rows = self._db.execute(f"{SESSIONS} ORDER BY id").fetchall()
        return [_read_session(*row) for row in rows]

    def code_versions(self) -> set[str]:
        """The digests of code that any trajectory was run by."""
        with _faults(self.directory):
            return {_text(code or b"") for (code,) in self._db.execute("SELECT DISTINCT code FROM history")}

    def codes(self) -> Iterator[tuple[str, str, int]]:
        """Yield (trajectory, digest of the code it was run by, session); "" where it was not kept."""
        with _faults(self.directory):
            for name, code, session in self._db.execute("SELECT trajectory, code, session FROM history"):
                yield _text(name), _text(code or b""), session

    def check(self) -> None:
        """Raise EnvironmentFault if the file is damaged: where it is cut, or its pages are no tables."""
        with _faults(self.directory):
            if damage := _damage(self._db, "quick_check"):
                raise _corrupt(self.directory / FILE, damage)

    def progress(self) -> dict[str, Progress]:
        """How far every trajectory is."""
        share = cache(Progress)  # a million entries stay small, and cost 1.5 us less each
        found = {name: share(epochs, False, ended) for name, epochs, _, ended in self._histories()}
        for name, *_ in self._failures(lambda name: found.get(name, NOTHING).epochs):
            before = found.get(name, NOTHING)
            found[name] = share(before.epochs, True, before.ended)
        return found

    def histories(self) -> Iterator[tuple[str, History]]:
        """Yield (trajectory, its completed epochs), in no particular order."""
        return self._decoded(self._histories())

    def histories_of(self, trajectories: Iterable[str]) -> Iterator[tuple[str, History]]:
        """Yield (trajectory, its completed epochs) of those that have any, in the order asked for."""
        for names in _chunks(trajectories):
            # Rows as they are: what is decoded ahead of its turn is work for the garbage collector.
            found = {row[0]: row for row in self._histories(names)}
            yield from self._decoded(found[name] for name in names if name in found)

    def history_of(self, trajectory: str) -> History:
        """The completed epochs of one trajectory; empty if there are none."""
        return next((history for _, history in self.histories_of([trajectory])), History())

    def failures(self) -> Iterator[tuple[str, Failure]]:
        """Yield (trajectory, why it ended early), in no particular order."""
        for name, _, reason, traceback in self._failures(self._epochs):
            yield name, Failure(_text(reason), _text(traceback))

    def failure_of(self, trajectory: str) -> Failure | None:
        """Why one trajectory ended early, if it did."""
        rows = self._failures(self._epochs, where=trajectory)
        return next((Failure(_text(reason), _text(traceback)) for *_, reason, traceback in rows), None)

    def bits_metrics(self) -> list[str]:
        """The metrics that any trajectory gave bits of, sorted."""
        with _faults(self.directory):
            rows = self._db.execute("SELECT DISTINCT metric FROM bits").fetchall()
        return sorted(_text(metric) for (metric,) in rows)

    def bits_of(self, trajectory: str, epoch: int) -> dict[str, Bits]:
        """Truth values of held-out examples by metric, as an epoch (from 1) gave them.

        Damaged ones are left out.
        """
        with _faults(self.directory):
            query = "SELECT crc, metric, count, packed FROM bits WHERE trajectory = ? AND epoch = ?"
            rows = self._db.execute(query, (trajectory, epoch)).fetchall()
        return {
            _text(metric): Bits(count, packed)
            for crc, metric, count, packed in rows
            if crc == _crc(trajectory, metric, epoch, count, packed)
        }

    def timings(self, names: Sequence[str] | None = None) -> Iterator[tuple[str, Timing]]:
        """Yield (trajectory, when and where it ran) of those that were completed, or of those named.

        In no particular order.
        """
        query = "SELECT trajectory, finished_at, wall_s, seconds, place, session FROM history"
        with _faults(self.directory):
            for name, finished_at, wall_s, seconds, place, session in self._db.execute(
                *((query,) if names is None else (query + _among(names), names))
            ):
                ends: list[float] = []
                with contextlib.suppress(*DAMAGE):
                    ends = [float(second) for second in json.loads(seconds or b"[]")]
                yield _text(name), Timing(_text(finished_at), wall_s, ends, _text(place or b""), session)

    def timing_of(self, trajectory: str) -> Timing | None:
        """When and where one trajectory ran, if it completed any epoch."""
        return next((timing for _, timing in self.timings([trajectory])), None)

    def output_of(self, trajectory: str) -> Output | None:
        """What a trajectory printed when it ran last; None if nothing, or if it is damaged."""
        return next((output for _, output in self.outputs_of([trajectory])), None)

    def outputs_of(self, trajectories: Iterable[str]) -> Iterator[tuple[str, Output]]:
        """Yield (trajectory, what it printed) of those that printed anything, in the order asked for."""
        query = "SELECT trajectory, text, size, crc FROM output"
        for names in _chunks(trajectories):
            with _faults(self.directory):
                rows = self._db.execute(query + _among(names), names).fetchall()
            found = {
                _text(name): Output(_text(text), size)
                for name, text, size, crc in rows
                if crc == _crc(name, text, size) and type(size) is int
            }
            yield from ((name, found[name]) for name in names if name in found)

    def run_of(self, trajectory: str) -> dict[str, str]:
        """When and on what a trajectory ran last: finished_at, wall_s and the session's environment."""
        with _faults(self.directory):
            run = self._db.execute(
                "SELECT finished_at, wall_s, session FROM ("
                " SELECT trajectory, finished_at, wall_s, session FROM failure UNION ALL"
                " SELECT trajectory, finished_at, wall_s, session FROM history"
                ") WHERE trajectory = ? ORDER BY finished_at DESC LIMIT 1",
                (trajectory,),
            ).fetchone()
            rows = [] if run is None else self._db.execute(f"{SESSIONS} WHERE id = ?", run[2:]).fetchall()
        if run is None:
            return {}
        found = {"finished_at": _text(run[0])}
        with contextlib.suppress(*DAMAGE):
            found["wall_s"] = f"{run[1]:.3f}"
        return found | dict(_read_session(*rows[0]).environment if rows else {})

    def _decoded(self, rows: Iterable[tuple[str, int, bytes, bool]]) -> Iterator[tuple[str, History]]:
        with self._decoding("metrics"):  # once for all of them: each time costs a microsecond
            for name, _, metrics, ended in rows:
                yield name, History(decode_history(metrics), ended)

    def _epochs(self, trajectory: str) -> int:
        return next((epochs for _, epochs, *_ in self._histories([trajectory])), 0)

    # A row that does not match its checksum is passed over: its trajectory is run again.

    def _histories(self, names: Sequence[str] | None = None) -> Iterator[tuple[str, int, bytes, bool]]:
        """Yield (trajectory, epochs, metrics, ended) of every sound row, or of those named."""
        query = "SELECT crc, trajectory, epochs, params, metrics, ended FROM history"
        with _faults(self.directory):
            for crc, name, epochs, params, metrics, ended in self._db.execute(
                *((query,) if names is None else (query + _among(names), names))
            ):
                if (
                    crc == _crc_history(name, epochs, params, metrics, ended)
                    and type(epochs) is int
                    and type(metrics) is bytes
                ):
                    yield _text(name), epochs, metrics, bool(ended)

    def _failures(
        self, epochs: Callable[[str], int], where: str | None = None
    ) -> Iterator[tuple[str, bytes, bytes, bytes]]:
        """Yield (trajectory, params, reason, traceback) of failures, given the epochs completed before each.

        Without these it is none: cells that were completed must not have failed when their row is damaged.
        """
        query = "SELECT crc, trajectory, params, reason, traceback FROM failure"
        with _faults(self.directory):
            for crc, raw, *texts in self._db.execute(
                *((query,) if where is None else (query + " WHERE trajectory = ?", (where,)))
            ):
                name = _text(raw)
                if crc == _crc(name, *texts, epochs(name)) and all(type(text) is bytes for text in texts):
                    yield name, *texts

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
        except DAMAGE:
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


def _rows_of_bits(outcome: Outcome) -> Iterator[tuple[Any, ...]]:
    for epoch, found in enumerate(outcome.bits, start=1):
        for metric, bits in found.items():
            row = (outcome.trajectory, metric, epoch, bits.count, bits.packed)
            yield *row, _crc(*row)


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


def _crc(*values: object) -> int:
    """Sum up a row: SQLite itself checks no payload."""
    return zlib.crc32(b"\0".join([v if type(v) is bytes else str(v).encode() for v in values]))


def _crc_history(name: object, epochs: object, params: object, metrics: object, ended: object) -> int:
    # As version 1 wrote it, where a run has not ended by itself.
    return _crc(name, epochs, params, metrics, *((ended,) if ended else ()))


def _among(names: Sequence[str]) -> str:
    return f" WHERE trajectory IN ({','.join('?' * len(names))})"


def _chunks(names: Iterable[str], size: int = 100) -> Iterator[list[str]]:
    """Cut into lists as long as SQLite takes parameters with ease."""
    rest = iter(names)
    while chunk := list(islice(rest, size)):
        yield chunk


def _read_params(found: Any) -> Params:
    """Raises: ValueError if it is no mapping of values."""
    if not isinstance(found, dict):
        raise ValueError
    return {name: read_value(value) for name, value in found.items()}


def _read_session(number: int, crc: int | None, started_at: bytes, *texts: bytes | None) -> Session:
    """One row; without its words if it is damaged: results do not hang on it, and a sweep must not."""
    environment, sources, defaults = texts
    # Version 2 kept no checksum.
    if crc is None or crc == _crc(started_at, *texts):
        with contextlib.suppress(*DAMAGE):
            own = None if defaults is None else _read_params(json.loads(_text(defaults)))
            words = _read_words(environment), _read_words(sources or b"{}")
            return Session(number, _text(started_at), *words, own)
    return Session(number, _text(started_at), {}, {}, None)


def _read_words(text: object) -> dict[str, str]:
    words = json.loads(_text(text))
    if not all(isinstance(word, str) for word in words.values()):
        raise ValueError
    return dict(words)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _text(raw: object) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _connect(path: Path, mode: str, extra: str = "") -> sqlite3.Connection:
    for ending in ("", "-wal", "-shm", "-journal"):
        require_own_file(path.with_name(path.name + ending))
    # as_uri escapes '?' and '#', which would otherwise end the path.
    uri = f"{path.absolute().as_uri()}?mode={mode}{extra}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S)
    db.execute("PRAGMA trusted_schema = OFF")
    return db


def _connect_reader(path: Path, logged: bool) -> sqlite3.Connection:
    if not logged:
        return _connect(path, "ro", "&immutable=1")
    # Without the second, a reader makes the log's index if there is none; and a log of a sweep that ends
    # just now, but then an empty one, which the next sweep removes.
    index = path.with_name(path.name + "-shm").exists()
    return _connect(path, "ro", "&readonly_shm=1" if index else "")


def _has_log(path: Path) -> bool:
    """Whether a part of the database lies in a log, or a journal is to be played back."""
    for ending in ("-wal", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            found = path.with_name(path.name + ending).lstat()
            if found.st_size > 0 or not stat.S_ISREG(found.st_mode):
                return True
    return False


def _version_of_file(path: Path) -> tuple[int, ...]:
    """What changes when a file is written to, or replaced."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _clear_strangers_logs(path: Path) -> None:
    """Remove what another user's reader has left (an older version's does): empty, and in the way."""
    for ending in ("-shm", "-wal"):
        file = path.with_name(path.name + ending)
        with contextlib.suppress(OSError):
            found = file.lstat()
            if not stat.S_ISREG(found.st_mode) or os.access(file, os.W_OK):
                continue
            # An index is made anew; a log is kept, unless there is nothing in it.
            if ending == "-shm" or found.st_size == 0:
                file.unlink()


def _prepare(db: sqlite3.Connection, directory: Path) -> None:
    """Bring a new file to our schema; refuse what is not ours or damaged."""
    empty = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not empty or db.execute("PRAGMA application_id").fetchone()[0]:
        old = _version(db, directory) < SCHEMA_VERSION
        if not old:
            _check_tables(db, directory)
        # Whole, indexes included: 1.4 s for a million trajectories.
        damage = _damage(db, "integrity_check")
        if damage and not _damage(db, "quick_check"):
            db.execute("REINDEX")  # an index holds nothing of its own: it is made anew
            damage = _damage(db, "integrity_check")
        if damage:
            raise _corrupt(directory / FILE, damage)
        if old:
            _migrate(db, directory)
            _check_tables(db, directory)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    if empty:
        db.executescript(
            f"BEGIN IMMEDIATE; {_script('schema.sql')} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )


def _damage(db: sqlite3.Connection, check: str) -> str:
    found = _text(db.execute(f"PRAGMA {check}(1)").fetchone()[0])
    return "" if found == "ok" else found


def _version(db: sqlite3.Connection, directory: Path) -> int:
    """The schema's version. Raises: InputError if there is none yet, EnvironmentFault if it is not ours."""
    application, version, tables = _describe(db)
    if application != APPLICATION_ID:
        if version == 0 and tables == 0:
            raise InputError(f"{directory}: no sweep has begun here; run `gridrun sweep` first")
        raise EnvironmentFault(f"{directory / FILE}: is a database of another program; nothing was changed")
    if version > SCHEMA_VERSION:
        raise EnvironmentFault(
            f"{directory / FILE}: was written by a newer gridrun (schema {version}, here {SCHEMA_VERSION});"
            " upgrade gridrun; nothing was changed"
        )
    return version


def _describe(db: sqlite3.Connection) -> tuple[int, int, int]:
    """The application's id, the schema's version, and how many tables there are: all of one instant.

    One after the other they are of a sweep that has not begun and of one that has.
    """
    db.execute("BEGIN")
    try:
        application, version, tables = (
            db.execute(question).fetchone()[0]
            for question in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT count(*) FROM sqlite_schema",
            )
        )
    finally:
        db.execute("ROLLBACK")
    return application, version, tables


def _check_tables(db: sqlite3.Connection, directory: Path) -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as ours:
        ours.executescript(_script("schema.sql"))
        if _tables(db) != _tables(ours):
            raise _corrupt(directory / FILE, "its tables are not what gridrun makes")


def _migrate(db: sqlite3.Connection, directory: Path) -> None:
    """Bring a store of an older version to this one, in one transaction: all of it, or none."""
    # Only tables and their indexes: a trigger would be run by what follows.
    if db.execute("SELECT count(*) FROM sqlite_schema WHERE type NOT IN ('table', 'index')").fetchone()[0]:
        raise _corrupt(directory / FILE, "its tables are not what gridrun makes")
    found = db.execute("PRAGMA user_version").fetchone()[0]
    steps = "".join(_script(f"migrate-{version}.sql") for version in range(max(1, found), SCHEMA_VERSION))
    try:
        db.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_ERROR":
            raise  # a full disk, a lock
        raise _corrupt(directory / FILE, f"its tables are not what gridrun made: {error}") from None


@cache
def _script(name: str) -> str:
    return files("gridrun").joinpath(name).read_text(encoding="utf-8")


def _tables(db: sqlite3.Connection) -> list[list[tuple[Any, ...]]]:
    """What a stranger could have made otherwise: a view that never ends, a trigger, a generated column."""
    tables = ("sweep", "session", "history", "failure", "bits", "output")
    return [
        db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall(),
        *(db.execute(f"SELECT type, strict FROM pragma_table_list('{name}')").fetchall() for name in tables),
        *(db.execute(f"SELECT * FROM pragma_table_xinfo('{name}')").fetchall() for name in tables),
    ]


@contextlib.contextmanager
def _sizes() -> Iterator[None]:
    """Tell what is too large for a row from what is damaged."""
    try:
        yield
    except OverflowError:  # more than a C int can count
        raise TooLarge from None
    except sqlite3.DataError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_TOOBIG":
            raise
        raise TooLarge from None


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
            why = too_long(directory) or f"cannot be opened for this ({error}); check its permissions"
            raise EnvironmentFault(f"{path}: {why}") from None
        if name.startswith("SQLITE_IOERR"):
            raise EnvironmentFault(
                f"{path}: the disk failed ({name}); what was reported done is kept"
            ) from None
        raise _corrupt(path, str(error)) from None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # SQLite quotes what is damaged
        raise _corrupt(path, str(error)) from None
    except OSError as error:
        raise EnvironmentFault(f"{error.filename or directory}: {error.strerror}") from None
