"""The store: what is saved is kept, what is not ours is refused, nothing is overwritten."""

import contextlib
import math
import os
import sqlite3
from pathlib import Path

import pytest

from gridrun.cell import Identity
from gridrun.directory import FILE
from gridrun.errors import EnvironmentFault, InputError
from gridrun.outcome import Failure, History, Outcome, Output, Progress
from gridrun.store import APPLICATION_ID, SCHEMA_VERSION, Store, _version

IDENTITY = Identity("m:f", "1", ((None, 2),))


def outcome(name: str, epochs: int, reason: str = "") -> Outcome:
    history = [{"accuracy": k / 10, "loss": math.nan if k else math.inf} for k in range(epochs)]
    return Outcome(name, {"a": 1}, history, Failure(reason, "trace") if reason else None, 0.1)


def save(directory: Path, *outcomes: Outcome) -> None:
    with Store.write(directory) as store:
        store.begin("text", IDENTITY, {"b": (1, 2)}, {"python": "3"})
        store.save(outcomes)


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    save(tmp_path, outcome("one", 3), outcome("two", 1, "bad"))
    with Store.read(tmp_path) as store:
        assert store.progress() == {"one": Progress(3, False), "two": Progress(1, True)}
        history = store.history_of("one").metrics
        assert [m["accuracy"] for m in history] == [0, 0.1, 0.2]
        assert history[0]["loss"] == math.inf
        assert math.isnan(history[1]["loss"])
        assert store.failure_of("two") == Failure("bad", "trace")
        assert store.failure_of("one") is None
        assert (store.grid_text(), store.identity(), store.defaults()) == ("text", IDENTITY, {"b": (1, 2)})
        assert store.run_of("one")["python"] == "3"


def test_a_longer_history_stays_and_success_clears_a_failure(tmp_path: Path) -> None:
    save(tmp_path, outcome("one", 3))
    save(tmp_path, outcome("one", 1, "bad"))
    with Store.read(tmp_path) as store:
        assert store.progress() == {"one": Progress(3, True)}
    save(tmp_path, outcome("one", 5))
    with Store.read(tmp_path) as store:
        assert store.progress() == {"one": Progress(5, False)}


def test_status_of_a_cell_follows_from_its_trajectory() -> None:
    assert [Progress(3, True).status(k) for k in (2, 3, 4)] == ["completed", "completed", "failed"]
    assert [Progress(0, False).status(k) for k in (None, 1)] == ["pending", "pending"]


def test_a_second_writer_is_turned_away(tmp_path: Path) -> None:
    with (
        Store.write(tmp_path),
        pytest.raises(EnvironmentFault, match=f"process {os.getpid()}"),
        Store.write(tmp_path),
    ):
        pass


def test_a_row_that_fails_its_checksum_is_run_again(tmp_path: Path) -> None:
    save(tmp_path, outcome("one", 3), outcome("two", 3))
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE history SET metrics = replace(metrics, '0.1', '0.9') WHERE trajectory = 'one'")
    db.close()
    with Store.read(tmp_path) as store:
        assert set(store.progress()) == {"two"}


def test_a_failure_whose_completed_epochs_are_damaged_is_run_again(tmp_path: Path) -> None:
    """Otherwise the cells that were completed before it would have failed."""
    save(tmp_path, outcome("one", 3, "bad"))
    save(tmp_path, outcome("two", 3))
    save(tmp_path, outcome("two", 1, "bad"))
    with Store.read(tmp_path) as store:
        assert store.progress() == {"one": Progress(3, True), "two": Progress(3, True)}
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE history SET metrics = replace(metrics, '0.1', '0.9')")
    db.close()
    with Store.read(tmp_path) as store:
        assert store.progress() == {}
        assert list(store.failures()) == []
        assert store.failure_of("one") is None


def test_what_the_last_run_printed_is_kept_and_no_other(tmp_path: Path) -> None:
    printed = Output("a \0 b\n", 6)
    save(tmp_path, outcome("one", 3)._replace(output=printed), outcome("two", 1, "bad"))
    with Store.read(tmp_path) as store:
        assert (store.output_of("one"), store.output_of("two")) == (printed, None)
    save(tmp_path, outcome("one", 1, "bad"), outcome("two", 3)._replace(output=printed))
    with Store.read(tmp_path) as store:
        assert (store.output_of("one"), store.output_of("two")) == (None, printed)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE output SET text = 'a'")
    db.close()
    with Store.read(tmp_path) as store:
        assert store.output_of("two") is None
        assert store.progress() == {"one": Progress(3, True), "two": Progress(3, False)}


def test_of_a_damaged_session_nothing_is_believed_but_when_it_began(tmp_path: Path) -> None:
    save(tmp_path, outcome("one", 3))
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("""UPDATE session SET environment = '{"python": "4"}'""")
    db.close()
    with Store.read(tmp_path) as store:
        (session,) = store.sessions()
        assert (session.environment, session.sources, session.defaults) == ({}, {}, None)
        assert set(store.run_of("one")) == {"finished_at", "wall_s"}


def test_a_damaged_text_that_is_none_costs_its_row_and_not_the_store(tmp_path: Path) -> None:
    save(tmp_path, outcome("one", 3), outcome("two", 3))
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE history SET params = CAST(x'ff' || params AS TEXT) WHERE trajectory = 'one'")
    db.close()
    with Store.read(tmp_path) as store:
        assert set(store.progress()) == {"two"}


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    save(tmp_path, *(outcome(f"t{i}", 3) for i in range(50)))
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        found = "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_history_1'"
        (root,), (size,) = db.execute(found).fetchone(), db.execute("PRAGMA page_size").fetchone()
    whole = bytearray((tmp_path / FILE).read_bytes())
    at = whole.index(b"t42", (root - 1) * size)
    whole[at : at + 3] = b"t99"
    (tmp_path / FILE).write_bytes(whole)
    with Store.read(tmp_path) as store:
        assert store.history_of("t42") == History()
    with Store.write(tmp_path) as store:
        assert len(store.history_of("t42").metrics) == 3


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"\1" * 4000])
def test_a_corrupt_store_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    for opening in (Store.write, Store.read):
        with pytest.raises(EnvironmentFault), opening(tmp_path):
            pass
    assert (tmp_path / FILE).read_bytes() == content


def test_a_store_of_another_program_or_a_newer_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    with pytest.raises(EnvironmentFault, match="another program"), Store.write(tmp_path):
        pass
    (tmp_path / FILE).unlink()
    save(tmp_path, outcome("one", 1))
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    for opening in (Store.write, Store.read):
        with pytest.raises(EnvironmentFault, match="newer gridrun"), opening(tmp_path):
            pass


def test_truncated_anywhere_a_store_is_healed_or_refused(tmp_path: Path) -> None:
    save(tmp_path, *(outcome(f"t{i}", 3) for i in range(50)))
    whole = (tmp_path / FILE).read_bytes()
    for size in range(0, len(whole), 997):
        (tmp_path / FILE).write_bytes(whole[:size])
        with contextlib.suppress(EnvironmentFault), Store.write(tmp_path) as store:
            assert set(store.progress().values()) <= {Progress(3, False)}


def test_a_directory_of_something_else_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="no sweep directory"), Store.write(tmp_path):
        pass
    with pytest.raises(InputError, match="holds no"), Store.read(tmp_path):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["letter.txt"]


def test_a_reader_that_comes_as_a_sweep_begins_finds_no_store_or_ours(tmp_path: Path) -> None:
    """What a database is, and whose, is read of one instant: between two looks a sweep may begin."""

    class Beginning:
        """A reader's connection, before each question of which something else may happen."""

        def __init__(self) -> None:
            self.questions, self.begins_at = 0, 0

        def execute(self, question: str) -> sqlite3.Cursor:
            self.questions += 1
            if self.questions == self.begins_at:
                begun.execute("COMMIT")
            return reader.execute(question)

    for begins_at in range(1, 6):
        folder = tmp_path / str(begins_at)
        folder.mkdir()
        begun = sqlite3.connect(folder / FILE, isolation_level=None)
        begun.execute("PRAGMA journal_mode = WAL")
        reader = sqlite3.connect(folder / FILE, isolation_level=None)
        begun.execute("BEGIN")
        begun.execute("CREATE TABLE sweep (name)")
        begun.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        begun.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db = Beginning()
        db.begins_at = begins_at
        try:
            assert _version(db, folder) == SCHEMA_VERSION  # type: ignore[arg-type]
        except InputError as error:
            assert "no sweep has begun here" in str(error)  # noqa: PT017
        begun.close()
        reader.close()


def test_a_reader_leaves_no_file_and_is_told_when_a_sweep_wrote_meanwhile(tmp_path: Path) -> None:
    save(tmp_path, outcome("one", 1))
    before = sorted(path.name for path in tmp_path.iterdir())
    with Store.read(tmp_path) as store:
        assert store.progress()
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    told = "a sweep wrote to it while it was read"
    with pytest.raises(EnvironmentFault, match=told), Store.read(tmp_path):
        save(tmp_path, outcome("two", 1))  # its log goes into the file as it ends
    with Store.write(tmp_path) as store:
        store.begin("text", IDENTITY, {}, {})
        with Store.read(tmp_path) as reader:  # of a log that grows meanwhile, nothing
            store.save([outcome("three", 1)])
            assert set(reader.progress()) == {"one", "two", "three"}
