"""Files of strangers: grid.toml and sweep.db made to break things. One line, exit 2 or 3, no code is run."""

import contextlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridrun import cli, signals
from gridrun.directory import FILE
from gridrun.store import Store
from tests.acceptance.conftest import GRIDRUN, SOAK, Run
from tests.acceptance.quick import HEAD, sweep_here, tables_of
from tests.acceptance.test_kills import SEED

FILES = 1500 if SOAK else 200
ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x9b2J\r\u202e"
OUGHT = (0, 1, 2, 3)


def call(*words: str) -> tuple[int, str, str]:
    """Run the command line here. Whatever it raises is a traceback that a user would have seen."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv, {number: signal.getsignal(number) for number in signals.SIGNALS}, list(sys.path)
    sys.argv = ["gridrun", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    else:
        code = 0
    finally:
        sys.argv, handlers, sys.path[:] = before
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert "Traceback" not in err.getvalue()
    return code, out.getvalue(), err.getvalue()


def told(code: int, err: str) -> None:
    """A refusal is one line, with nothing in it that a terminal would obey."""
    assert code in (2, 3), err
    line = err.removesuffix("\n")
    assert line.startswith("gridrun: ")
    assert line.isprintable(), ascii(line)


# grid.toml


def nested(depth: int, opening: str, closing: str) -> str:
    return opening * depth + closing * depth


BAD_VALUES = [
    "0x" + "f" * 6000, "-0x" + "f" * 6000, "1" + "0" * 5000, "1e400", "-1e400", "nan", "inf", "1e-400",
    "0o" + "7" * 9000, "9223372036854775808", "1979-05-27T07:32:00Z", "07:32:00", "[]", "{}", "''",
    '"\\u0000"', '"\\u001b[31m"', '"\\u202e"', '"../../etc/passwd"', '"/etc"', '"a/b"', '"."', '".."',
    '"-rf"', '"' + "x" * 300 + '"', '"' + "x" * 100_000 + '"', "[1, [2, [3]]]", "[[1], [2]]", "{ from = 1 }",
    "{ from = 1, to = 2, num = 1_000_001 }", "{ from = 1, to = 2, num = 1e3 }",
    "{ from = 1e308, to = -1e308, num = 3 }", "{ from = 0x" + "f" * 6000 + ", to = 1, num = 3 }",
    "{ from = 5e-324, to = 1e308, num = 9, scale = 'log' }",
    nested(90, "[", "]"), nested(3000, "[", "]"), nested(3000, "{a=", "}"), "[" + "0," * 9999 + "]",
    "true", "[true, 1]", "['=cmd()', '+1', '@x']", "['<script>alert(1)</script>', '&amp;', '\"']", "'''\n'''",
]  # fmt: skip
KEYS = ["name", "train", "metric", "mode", "budget", "a", "b", "epochs", "jobs", "backend", "scheduler",
        "timeout_s", "max_attempts", "max_failures", "__class__", "class", "'a.b'", '"\\u001b[31m"', "''",
        "k" * 70_000]  # fmt: skip
TABLES = [
    "sweep",
    "fixed",
    "grid",
    "replicate",
    "run",
    "gird",
    "[grid]",
    "[exclude]",
    "exclude",
    "zip.a",
    "zip",
    "[zip]",
    "zip.'\\u001b'",
    "[run]",
    "'\\u001b'",
    "sweep.name",
    "a.b.c",
    "''",
]
lines = st.tuples(st.sampled_from(KEYS), st.sampled_from(BAD_VALUES)).map(" = ".join)
sections = st.tuples(st.sampled_from(TABLES), st.lists(lines, max_size=3))
GOOD = {
    "sweep": ['name = "s"', 'train = "tests.acceptance.quick:train"', 'metric = "accuracy"'],
    "grid": ["a = [1, 2]"],
    "run": ['backend = "sequential"'],
}


@st.composite
def one_thing_wrong(draw: st.DrawFn) -> str:
    """A grid that could be swept, but for one line that is added to it or put in a line's place."""
    tables = {name: list(entries) for name, entries in GOOD.items()}
    table = draw(
        st.sampled_from(["sweep", "fixed", "grid", "[grid]", "zip.z", "[exclude]", "replicate", "run"])
    )
    if table == "[grid]":
        tables["[grid]"] = tables.pop("grid")
    if table == "zip.z":
        tables["zip.z"] = ["b = [1, 2]", "c = [3, 4]"]
    key, value = draw(st.sampled_from(KEYS)), draw(st.sampled_from(BAD_VALUES))
    kept = [line for line in tables.get(table, []) if not line.startswith(key + " =")]
    tables[table] = [*kept, f"{key} = {value}"]
    return "\n".join(f"[{name}]\n" + "\n".join(entries) for name, entries in tables.items())


hostile_toml = st.one_of(
    one_thing_wrong().map(str.encode),
    st.lists(sections, max_size=4).map(
        lambda found: "\n".join(f"[{name}]\n" + "\n".join(entries) for name, entries in found).encode()
    ),
    st.binary(max_size=300),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
)


@settings(max_examples=FILES)
@given(hostile_toml)
def test_any_grid_toml_is_swept_or_refused_in_one_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        grid = Path(folder) / "grid.toml"
        grid.write_bytes(content)
        before = sorted(Path(folder).iterdir())
        code, _, err = call("sweep", str(grid), "--out", f"{folder}/out", "--dry-run")
        if code:
            told(code, err)
            assert code == 2
        assert sorted(Path(folder).iterdir()) == before


@pytest.mark.parametrize("value", BAD_VALUES, ids=lambda value: value[:30])
@pytest.mark.parametrize(
    "place",
    [
        "grid a",
        "grid list",
        "zip.z a",
        "[exclude] a",
        "[exclude] list",
        "fixed",
        "run jobs",
        "run backend",
        "run timeout_s",
        "sweep name",
        "sweep metric",
    ],
)
def test_each_value_in_each_place(tmp_path: Path, place: str, value: str) -> None:
    table, _, key = place.partition(" ")
    line = {"list": f"a = [{value}]", "": f"b = {value}"}.get(key, f"{key} = {value}")
    tables = {name: [x for x in entries if not x.startswith(line[:4])] for name, entries in GOOD.items()}
    tables.setdefault(table, []).append(line)
    text = "\n".join(f"[{name}]\n" + "\n".join(entries) for name, entries in tables.items())
    (tmp_path / "grid.toml").write_text(text)
    code, out, err = call("sweep", str(tmp_path / "grid.toml"), "--dry-run")
    if code:
        told(code, err)
    assert out.replace("\n", "").isprintable()


# sweep.db


def crc(*values: object) -> int:
    return zlib.crc32("\0".join(map(str, values)).encode())


def set_row(db: sqlite3.Connection, table: str, column: str, value: object) -> None:
    db.execute(f"UPDATE {table} SET {column} = ?", (value,))


def resum(db: sqlite3.Connection) -> None:
    """Make every checksum right: what follows is no damage, but meant."""
    for key, value in db.execute("SELECT key, value FROM sweep").fetchall():
        db.execute("UPDATE sweep SET crc = ? WHERE key = ?", (crc(key, value), key))
    epochs = {}
    for row in db.execute("SELECT rowid, trajectory, epochs, params, metrics, ended FROM history").fetchall():
        covered = row[1:] if row[5] else row[1:5]
        db.execute("UPDATE history SET crc = ? WHERE rowid = ?", (crc(*covered), row[0]))
        epochs[row[1]] = row[2]
    for row in db.execute("SELECT rowid, trajectory, text, size FROM output").fetchall():
        db.execute("UPDATE output SET crc = ? WHERE rowid = ?", (crc(*row[1:]), row[0]))
    for row in db.execute("SELECT rowid, started_at, environment, sources, defaults FROM session").fetchall():
        db.execute("UPDATE session SET crc = ? WHERE rowid = ?", (crc(*row[1:]), row[0]))
    for row in db.execute("SELECT rowid, trajectory, params, reason, traceback FROM failure").fetchall():
        db.execute(
            "UPDATE failure SET crc = ? WHERE rowid = ?", (crc(*row[1:], epochs.get(row[1], 0)), row[0])
        )


TEXTS = ["", "{}", "[]", "null", "1", '"x"', "[1, 2]", "[[]]", "[{}]", '[{"accuracy": "x"}]',
         '[{"accuracy": []}]',
         '[{"accuracy": 1e999}]', '[{"accuracy": true}]', "[" * 20_000, "1" * 5000, "\0",
         "{", "\x1b[31m", "\ud7ff",
         '{"train": 1}', '{"train": "m:f", "version": [], "fingerprints": []}',
         '{"train": "m:f", "version": null, "fingerprints": [[null, 99999999999999]], "defaults": {}}',
         '{"train": "m:f", "version": null, "fingerprints": [[null, -4]], "defaults": {}}',
         '{"train": "m:f", "version": null, "fingerprints": [[null, "4"]], "defaults": {"x": {"y": 1}}}',
         '{"train": "m:f", "version": null, "fingerprints": [[[], 4]], "defaults": []}',
         '{"train": "m:f", "version": null, "fingerprints": 4, "defaults": {}}',
         HEAD + "[grid]\na = [1]\n", HEAD + "[grid]\na = { from = 1, to = 2, num = 999_999 }\n",
         HEAD]  # fmt: skip
NUMBERS = [0, -1, 1, 3, 2**62, -(2**63)]
SCHEMES = [
    "DROP TABLE history",
    "ALTER TABLE history RENAME TO old; CREATE VIEW history AS WITH RECURSIVE n(i) AS"
    " (SELECT 1 UNION ALL SELECT i FROM n) SELECT 'a' trajectory, 'b' params, i epochs, 'c' metrics,"
    " 1.0 wall_s, 'd' finished_at, 1 session, 1 crc FROM n",
    "CREATE TRIGGER theirs AFTER INSERT ON session BEGIN DELETE FROM history; END",
    "ALTER TABLE history ADD COLUMN more TEXT",
    "DROP TABLE sweep; CREATE TABLE sweep (key TEXT PRIMARY KEY, value TEXT, crc INTEGER)",
    "DROP TABLE failure; CREATE VIRTUAL TABLE failure USING fts5(trajectory, params, reason, traceback)",
    "DROP TABLE failure; CREATE TABLE failure (trajectory TEXT PRIMARY KEY, params TEXT, reason TEXT,"
    " traceback TEXT, wall_s REAL AS (length(reason)), finished_at TEXT, session INTEGER, crc INTEGER)",
    "DELETE FROM sweep",
    "DELETE FROM session",
    "PRAGMA user_version = 0",
    "PRAGMA user_version = 1",
    "PRAGMA user_version = 2147483647",
    "PRAGMA application_id = 1",
]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("good") / "s"
    sweep_here(directory, HEAD + 'budget = "epochs"\n[grid]\na = [1, 2, 3, 4, 5]\nepochs = [1, 3]\n')
    with contextlib.closing(sqlite3.connect(directory / FILE)) as db, db:
        db.execute("INSERT INTO output SELECT trajectory, 'printed', 7, 0 FROM history")
        resum(db)
    return directory


def forge(db: sqlite3.Connection, chance: random.Random) -> str:
    kind = chance.choice(["scheme", "text", "text", "text", "number"])
    if kind == "scheme":
        said = chance.choice(SCHEMES)
        db.executescript(said)
        return said
    if kind == "text":
        table, column = chance.choice(
            [("sweep", "value"), ("history", "metrics"), ("history", "params"), ("history", "trajectory"),
             ("failure", "reason"), ("failure", "traceback"), ("session", "environment"),
             ("history", "finished_at"), ("history", "seconds"), ("history", "place"), ("history", "code"),
             ("session", "sources"), ("session", "defaults"),
             ("output", "text"), ("output", "trajectory")]
        )  # fmt: skip
        value: object = chance.choice(TEXTS)
    else:
        table, column = chance.choice(
            [
                ("history", "epochs"),
                ("history", "session"),
                ("history", "wall_s"),
                ("history", "ended"),
                ("output", "size"),
            ]
        )
        value = chance.choice(NUMBERS)
    where = f" WHERE rowid = (SELECT rowid FROM {table} ORDER BY random() LIMIT 1)"
    where = where if column == "trajectory" or chance.random() < 0.5 else ""
    db.execute(f"UPDATE {table} SET {column} = ?" + where, (value,))
    if chance.random() < 0.8:
        resum(db)
    return f"{table}.{column} = {value!r:.60}"


def test_any_store_of_a_stranger_is_read_or_refused_in_one_line_and_runs_none_of_his_code(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridrun.trainers.importing.load", None)
    cell = next(line.split(",")[0] for line in listing(good, tmp_path) if line[:1].isalnum() and "," in line)
    codes: dict[int, int] = {}
    print(f"GRIDRUN_SEED={SEED}")
    for number in range(FILES):
        chance = random.Random(f"{SEED} {number}")
        directory = tmp_path / "d"
        shutil.copytree(good, directory)
        with contextlib.closing(sqlite3.connect(directory / FILE, isolation_level=None)) as db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            said = forge(db, chance)
        for words in (["status", str(directory)], ["status", str(directory), "--json"],
                      ["show", cell, str(directory)], ["report", str(directory)]):  # fmt: skip
            if words[0] == "report" and number % (50 if SOAK else 10):
                continue  # its pictures take a second
            code, out, err = call(*words)
            codes[code] = codes.get(code, 0) + 1
            assert code in OUGHT, (number, said)
            if code > 1:
                told(code, err)
            assert out.replace("\n", "").isprintable() or words[0] == "report", (number, said, out)
        shutil.rmtree(directory)
    assert codes[0]
    assert codes[3]


def listing(directory: Path, scratch: Path) -> list[str]:
    return tables_of(directory, scratch / "csv").decode().splitlines()[1:]


@pytest.mark.parametrize("what", ["noise", "text", "another's", "empty table", "directory", "fifo", "link"])
def test_what_is_no_store_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / FILE
    if what == "noise":
        path.write_bytes(random.Random(SEED).randbytes(9000))
    elif what == "text":
        path.write_text("dear diary")
    elif what == "directory":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE diary (day)" if what == "another's" else "PRAGMA user_version = 7")
    for words in (["status", str(tmp_path)], ["report", str(tmp_path)], ["show", "a", str(tmp_path)]):
        code, _, err = call(*words)
        told(code, err)


# Values, names, and where they are shown.


def test_a_strangers_texts_reach_no_terminal_raw(tmp_path: Path) -> None:
    text = json.dumps(ESCAPES)
    grid = f"[grid]\na = [{text}, 1]\nb = [[{text}, {text}]]\n[fixed]\nc = {text}\n"
    head = HEAD.replace('"accuracy"', json.dumps("acc" + ESCAPES)).replace("quick:train", "quick:escapes")
    out = tmp_path / "out"
    (tmp_path / "grid.toml").write_text(head + grid)
    shown = [call("sweep", str(tmp_path / "grid.toml"), "--out", str(out), "--backend", "sequential")]
    with Store.read(out) as store:
        names = list(store.progress())
        assert len(names) == 2
        assert len(list(store.failures())) == 1
    shown += [
        call("status", str(out)),
        call("report", str(out)),
        *(call("show", name, str(out)) for name in names),
    ]
    shown.append(call("sweep", str(tmp_path / ("grid.toml" + ESCAPES))))
    shown.append(call("status", str(tmp_path / ESCAPES)))
    assert [code for code, *_ in shown] == [1, 0, 0, 0, 0, 2, 2]
    assert all("owned" in stdout + stderr for _, stdout, stderr in shown[1:])
    for _, stdout, stderr in shown:
        for character in stdout + stderr:
            assert character.isprintable() or character == "\n"
    page = (out / "report" / "report.html").read_text()
    assert not [c for c in page.partition("</script>")[2] if not c.isprintable() and c not in "\n\t"]


@pytest.mark.parametrize(
    "name", ["..", ".", "../up", "/etc", "a/b", "", "a\\u0000b", "x" * 300, "a b", "~", "é"]
)
def test_no_name_climbs_out_of_the_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "grid.toml").write_text(HEAD.replace('"quick"', f'"{name}"') + "[grid]\na = [1]\n")
    result = subprocess.run([GRIDRUN, "sweep", "grid.toml"], cwd=tmp_path, capture_output=True, text=True)
    told(result.returncode, result.stderr)
    assert result.returncode == 2
    assert {entry.name for entry in tmp_path.iterdir()} == {"grid.toml", "toy.py"}


@pytest.mark.parametrize("words", [["status"], ["report"], ["show", "0"]], ids=" ".join)
def test_results_are_opened_without_importing_the_train_function(
    run: Run, write_grid: Callable[..., str], tmp_path: Path, words: list[str]
) -> None:
    assert run("sweep", write_grid(a="[1, 3, 4, 5, 6, 7, 8, 9]")).returncode == 0
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    for place in (tmp_path, tmp_path / "results" / "toy"):
        (place / "toy.py").write_text("open('ran', 'w')\n")
    assert run(*words, "results/toy").returncode in (0, 2)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "__pycache__").exists()
