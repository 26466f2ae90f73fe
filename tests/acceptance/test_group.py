"""Two users who share a directory by their group: a reader leaves nothing that is in the writer's way."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridrun.directory import FILE
from tests.acceptance.quick import HEAD

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="two users: needs root"),
]
GROUP, ANN, BEN = 61_000, 61_001, 61_002
# Everything is imported before root is given up: others may not read root's Python.
AS_USER = (
    "import os, sys, rich.console\n"
    "import gridrun.cli, gridrun.progress, gridrun.execution, tests.acceptance.quick\n"
    "import gridrun.dispatch.local\n"
    "gridrun.store._script('schema.sql')\n"
    "user = int(sys.argv.pop(1))\n"
    f"os.umask(0o022), os.setgroups([{GROUP}]), os.setgid({GROUP}), os.setuid(user)\n"
    "os.environ['HOME'] = os.getcwd()\n"
    "gridrun.cli.main()"
)


@pytest.fixture
def shared() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to others
        place = Path(folder)
        place.chmod(0o755)
        (place / "out").mkdir()
        os.chown(place / "out", ANN, GROUP)
        (place / "out").chmod(0o2775)
        (place / "wide.toml").write_text(HEAD + "[grid]\na = [0, 2, 3]\n")
        (place / "narrow.toml").write_text(HEAD + "[grid]\na = [0, 2]\n")
        yield place


def act(user: int, place: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", AS_USER, str(user), *words],
        cwd=place, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


def sweep(user: int, place: Path, grid: str) -> "subprocess.CompletedProcess[str]":
    return act(user, place, "sweep", grid, "--out", "out", "--backend", "sequential", "--quiet")


def test_a_reader_of_the_group_leaves_nothing_and_the_owner_goes_on(shared: Path) -> None:
    first = sweep(ANN, shared, "narrow.toml")
    assert first.returncode == 0, first.stderr
    before = sorted(path.name for path in (shared / "out").iterdir())
    for words in (["status", "out"], ["show", "--failed", "out"]):
        seen = act(BEN, shared, *words)
        assert seen.returncode == 0, seen.stderr
        assert sorted(path.name for path in (shared / "out").iterdir()) == before
    again = sweep(ANN, shared, "wide.toml")
    assert again.returncode == 0, again.stderr
    assert "3 of 3" in act(BEN, shared, "status", "out").stdout


def test_what_readers_of_an_older_version_left_is_in_nobodys_way(shared: Path) -> None:
    assert sweep(ANN, shared, "narrow.toml").returncode == 0
    for ending in ("-wal", "-shm"):
        left = shared / "out" / (FILE + ending)
        left.write_bytes(b"" if ending == "-wal" else bytes(32_768))
        os.chown(left, BEN, GROUP)
        left.chmod(0o644)
    assert act(BEN, shared, "status", "out").returncode == 0
    again = sweep(ANN, shared, "wide.toml")
    assert again.returncode == 0, again.stderr


def test_what_a_killed_sweep_left_can_be_read_by_the_group_and_goes_on(shared: Path) -> None:
    assert sweep(ANN, shared, "narrow.toml").returncode == 0
    out = shared / "out"
    with contextlib.closing(sqlite3.connect(out / FILE)) as db:  # open: its log stays
        db.execute("INSERT INTO output VALUES ('x', 'x', 1, 1)")
        db.commit()
        log, index = (out / (FILE + "-wal")).read_bytes(), (out / (FILE + "-shm")).read_bytes()
        kept = (out / FILE).read_bytes()
    for ending, content in (("", kept), ("-wal", log), ("-shm", index)):
        (out / (FILE + ending)).write_bytes(content)
        os.chown(out / (FILE + ending), ANN, GROUP)
    before = sorted(path.name for path in out.iterdir())
    assert "2 of 2" in act(BEN, shared, "status", "out").stdout
    assert sorted(path.name for path in out.iterdir()) == before
    again = sweep(ANN, shared, "wide.toml")
    assert again.returncode == 0, again.stderr
