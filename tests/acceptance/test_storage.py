"""Storage that refuses: full, read-only, taken, left by the dead. One line, exit 3, nothing lost."""

import contextlib
import errno
import fcntl
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridrun.directory import FILE, LOCK, RUNNING
from gridrun.errors import EnvironmentFault
from gridrun.store import Store
from tests.acceptance.conftest import GRIDRUN, Run
from tests.acceptance.quick import HEAD, sweep_here
from tests.acceptance.test_kills import csv_of, reported, spawn, wait_until, wait_until_alone

Write = Callable[..., str]


def refused(result: "subprocess.CompletedProcess[str]", *words: str) -> None:
    assert result.returncode == 3, result.stderr
    told = [line for line in result.stderr.splitlines() if line and "noise" not in line]
    assert len(told) == 1, result.stderr
    assert all(word in told[0] for word in words), told


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A file system of its own, as only root can make one."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() or subprocess.run(["mount", *options, str(folder)], capture_output=True).returncode:
        pytest.skip("needs root to mount a file system; RLIMIT_FSIZE below needs none")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_line_keeps_what_was_reported_and_goes_on_with_space(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    grid = write_grid(a="[1, 3, 4, 5, 6, 7]", nap=0.02)
    assert run("sweep", grid, "--out", "whole").returncode == 0
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=2m", "none") as small:
        filler = small / "filler"
        out = small / "out"
        sweep = spawn(tmp_path, "sweep", grid, "--out", str(out), stderr=subprocess.PIPE)
        wait_until(lambda: len(reported(out)) >= 1)
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        _, errors = sweep.communicate(timeout=60)
        refused(subprocess.CompletedProcess([], sweep.returncode, "", errors), "full")
        kept = reported(out)
        assert kept
        wait_until_alone(tmp_path)
        status = run("status", str(out))
        assert status.returncode == 0, status.stderr
        refused(run("report", str(out)), "No space left on device")
        refused(run("sweep", grid, "--out", str(out)), "full")
        # And what cells that took seconds had printed, until the next sweep begins.
        known = {FILE, FILE + "-wal", FILE + "-shm", LOCK, RUNNING}
        assert {entry.name for entry in out.iterdir()} <= known
        assert reported(out) == kept
        filler.unlink()
        assert run("sweep", grid, "--out", str(out)).returncode == 0
        shutil.copytree(out, tmp_path / "copy")
    assert csv_of(run, tmp_path / "copy") == csv_of(run, tmp_path / "whole")


def test_a_file_that_may_not_grow_is_a_full_disk_at_any_size(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    grid = write_grid(a="[1, 3, 4, 5, 6, 7]", nap=0.02)
    assert run("sweep", grid, "--out", "whole").returncode == 0
    codes = set()
    for kilobytes in (1, 4, 8, 16, 32, 48):
        limit = kilobytes * 1024

        def limited(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        command = [GRIDRUN, "sweep", grid, "--out", "cut"]
        result = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=limited, timeout=60
        )
        codes.add(result.returncode)
        if result.returncode:
            refused(result)
    assert 3 in codes
    assert run("sweep", grid, "--out", "cut").returncode == 0
    assert csv_of(run, tmp_path / "cut") == csv_of(run, tmp_path / "whole")


def test_a_read_only_file_system_is_one_line_and_can_be_read(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    grid = write_grid()
    with mounted(tmp_path / "cdrom", "-t", "tmpfs", "none") as folder:
        out = folder / "out"
        assert run("sweep", grid, "--out", str(out)).returncode == 0
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        refused(run("sweep", grid, "--out", str(out)), "Read-only file system")
        refused(run("sweep", write_grid(a="[9]", name="h.toml"), "--out", str(folder / "new")), "Read-only")
        refused(run("report", str(out)), "Read-only file system")
        assert "12 of 12" in run("status", str(out)).stdout


def test_a_killed_run_on_a_file_system_since_read_only_can_be_read(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    with mounted(tmp_path / "cdrom", "-t", "tmpfs", "none") as folder:
        out = folder / "out"
        sweep = spawn(tmp_path, "sweep", write_grid(nap=0.05), "--out", str(out))
        wait_until(lambda: len(reported(out)) >= 2)
        sweep.kill()
        sweep.wait()
        wait_until_alone(tmp_path)
        kept = reported(out)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        assert reported(out) == kept
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        (out / (FILE + "-shm")).unlink()  # SQLite would have to write one
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        refused(run("status", str(out)), "cannot be opened")


def test_a_directory_of_another_user_is_one_line_and_can_be_read_if_he_lets(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    """As nobody where the tests run as root, whom permissions do not bind."""
    grid = write_grid()
    assert run("sweep", grid, "--out", "his").returncode == 0
    # Everything is imported before root is given up: nobody may not read root's Python.
    code = (
        "import os, sys, rich.console, toy\n"
        "import gridrun.cli, gridrun.progress, gridrun.report, gridrun.execution\n"
        "gridrun.store._script('schema.sql')\n"
        "if not os.geteuid(): os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "gridrun.cli.main()"
    )
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to others
        place = Path(folder) / "place"
        shutil.copytree(tmp_path, place)
        (place / "closed").mkdir(mode=0)
        for path in (Path(folder), place, place / "his"):
            path.chmod(0o555)

        def call(*words: str) -> "subprocess.CompletedProcess[str]":
            command = [sys.executable, "-c", code, *words]
            return subprocess.run(command, cwd=place, capture_output=True, text=True)

        for words in (
            ["sweep", grid, "--out", "closed/out"],
            ["sweep", grid, "--out", "new"],
            ["sweep", grid, "--out", "his"],
            ["report", "his"],
            ["status", "closed"],
        ):
            refused(call(*words))
        assert "12 of 12" in call("status", "his").stdout
        for path in (Path(folder), place, place / "his", place / "closed"):
            path.chmod(0o755)


def test_a_file_system_without_locks_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: flock fails as it does on NFS without lockd or on some FUSE file systems."""
    for number in (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL):

        def fail(*_: object, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", fail)
        with (
            pytest.raises(EnvironmentFault, match=r"no locks on this file system .*; choose a local --out"),
            Store.write(tmp_path / "out"),
        ):
            pass
        assert not (tmp_path / "out" / FILE).exists()


@pytest.mark.parametrize("backend", ["loky", "sequential"])
def test_a_process_that_a_cell_left_behind_does_not_hold_the_lock(
    run: Run, write_grid: Write, tmp_path: Path, backend: str
) -> None:
    grid = write_grid(mode="daemon")
    sweep = spawn(tmp_path, "sweep", grid, "--backend", backend)
    wait_until(lambda: (tmp_path / "daemon").exists() and (tmp_path / "daemon").read_text() != "")
    sweep.kill()
    sweep.wait()
    daemon = int((tmp_path / "daemon").read_text())
    try:
        assert run("sweep", grid, "--out", "results/toy").returncode == 0
        if backend == "sequential":
            os.kill(daemon, 0)  # it lives, and did hold nothing
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(daemon, signal.SIGKILL)


def test_what_a_killed_run_left_is_cleared_or_used(run: Run, write_grid: Write, tmp_path: Path) -> None:
    grid = write_grid()
    assert run("sweep", grid, "--out", "whole").returncode == 0
    left = tmp_path / "left"
    left.mkdir()
    (left / LOCK).write_text("4194303\n")
    (left / FILE).touch()
    (left / (FILE + "-wal")).write_bytes(os.urandom(5000))
    (left / (FILE + "-shm")).write_bytes(os.urandom(32768))
    (left / (FILE + "-journal")).write_bytes(os.urandom(600))
    (left / "report.tmp-4194303").mkdir()
    assert run("sweep", grid, "--out", "left").returncode == 0
    assert csv_of(run, left) == csv_of(run, tmp_path / "whole")
    assert {entry.name for entry in left.iterdir()} <= {FILE, FILE + "-wal", FILE + "-shm", LOCK, "report"}


def test_a_database_held_by_another_program_is_one_line_and_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridrun.store.BUSY_S", 0.2)
    sweep_here(tmp_path / "out", HEAD + "[grid]\na = [1, 2]\n")
    with contextlib.closing(sqlite3.connect(tmp_path / "out" / FILE, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(EnvironmentFault, match="is locked by another program"):
            sweep_here(tmp_path / "out", HEAD + "[grid]\na = [1, 2, 3]\n")
        with Store.read(tmp_path / "out") as store:
            assert len(store.progress()) == 2
    assert sweep_here(tmp_path / "out", HEAD + "[grid]\na = [1, 2, 3]\n").pending == 0
