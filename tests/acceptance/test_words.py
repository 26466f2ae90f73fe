"""What the terminal says when things go wrong: why, and what to type, as a user would read and type it."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gridrun.directory import LOCK
from tests.acceptance.conftest import GRIDRUN, Run
from tests.acceptance.test_kills import SHORT_S, spawn, wait_until

Write = Callable[..., str]

BROKEN = """
def train(*, learning_rate, batch_size):
    data = open(f"no-such-file-{batch_size}")
    return {"accuracy": learning_rate}
"""


@pytest.fixture
def type_in(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a line of the screen as a shell would."""

    def call(line: str, folder: Path = tmp_path) -> "subprocess.CompletedProcess[str]":
        line = re.sub(r"\bgridrun\b", GRIDRUN, line, count=1)
        return subprocess.run(
            ["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=SHORT_S
        )

    return call


def write_broken(folder: Path, sizes: str = "[1, 2, 3, 4, 5, 6]") -> Path:
    (folder / "mine.py").write_text(BROKEN)
    grid = folder / "my grid.toml"
    grid.write_text(
        '[sweep]\nname = "mine"\ntrain = "mine:train"\nmetric = "accuracy"\n'
        f"[grid]\nlearning_rate = [0.1, 0.2]\nbatch_size = {sizes}\n[run]\njobs = 2\n"
    )
    return grid


def line_after(text: str, beginning: str) -> str:
    """The rest of the only line that begins so."""
    (found,) = [line for line in text.splitlines() if line.strip().startswith(beginning)]
    return found.strip().removeprefix(beginning).strip()


@pytest.mark.parametrize("options", [[], ["--out", "my results/x"], ["--out", "-x"], ["--quiet"]], ids=str)
@pytest.mark.parametrize("sizes", ["[1, 2]", "[1, 2, 3, 4, 5, 6, 7, 8, 9]"], ids=["few", "many"])
def test_who_only_fails_reads_why_in_the_last_lines_and_types_what_they_say(
    run: Run, type_in: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path,
    options: list[str], sizes: str,
) -> None:  # fmt: skip
    write_broken(tmp_path, sizes)
    failed = run("sweep", "my grid.toml", "--jobs", "1", *options)
    assert failed.returncode == 1
    last = "\n".join(failed.stderr.splitlines()[-5:])
    assert re.search(r"FileNotFoundError: \[Errno 2\] .*: 'no-such-file-\d' \(mine.py:3\)$", last, re.M)
    shown = type_in("gridrun show " + line_after(last, "gridrun show"))
    assert shown.returncode == 0, shown.stderr
    assert 'data = open(f"no-such-file-{batch_size}")' in shown.stdout
    again = line_after(last, "run them again:")
    assert again.startswith("gridrun sweep 'my grid.toml' --jobs 1")
    (tmp_path / "mine.py").write_text(BROKEN.replace("    data", "    # data"))
    mended = type_in(again)
    assert (mended.returncode, mended.stderr) == (0, ""), mended.stderr


def test_what_we_refuse_ourselves_names_no_file_of_ours(run: Run, tmp_path: Path) -> None:
    write_broken(tmp_path, "[1]")
    (tmp_path / "mine.py").write_text("def train(*, learning_rate, batch_size):\n    return '3'\n")
    failed = run("sweep", "my grid.toml")
    assert "2 x TypeError: " in failed.stderr
    assert ".py" not in failed.stderr


def test_an_option_is_added_before_what_is_no_option(run: Run, tmp_path: Path) -> None:
    write_broken(tmp_path, "[1]").rename(tmp_path / "-g.toml")
    failed = run("sweep", "--", "-g.toml")
    assert line_after(failed.stderr, "run them again:") == "gridrun sweep --retry-failed -- -g.toml"


def test_where_ten_fail_alike_the_last_line_says_how_to_go_on(run: Run, tmp_path: Path) -> None:
    write_broken(tmp_path, str(list(range(30))))
    failed = run("sweep", "my grid.toml")
    assert re.search(
        r"all failed alike: FileNotFoundError: .*; go on with --max-failures 60\n$", failed.stderr
    )
    assert run("sweep", "my grid.toml", "--max-failures", "60").returncode == 1
    assert json.loads(run("status", "--json").stdout)["failed"] == 60


MANY = (
    "def train(*, a):\n"
    + "".join(f"    if a % 20 == {i}:\n        raise ValueError(f'kind {i} of {{a}}')\n" for i in range(20))
    + "    return {'accuracy': 0.0}\n"
)


def test_each_kind_is_told_once_as_it_happens_and_ten_of_them(run: Run, tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(MANY)
    (tmp_path / "g.toml").write_text(
        '[sweep]\nname = "many"\ntrain = "many:train"\nmetric = "accuracy"\n'
        f"[grid]\na = {list(range(60))}\n[run]\njobs = 2\n"
    )
    failed = run("sweep", "g.toml")
    told = [line for line in failed.stderr.splitlines() if line.startswith("gridrun: failed: ")]
    assert len(told) == 10
    assert len({re.search(r"kind \d+", line)[0] for line in told}) == 10  # type: ignore[index]
    assert all(re.search(r"failed: a \d+: .*\(many.py:\d+\); gridrun show [0-9a-f]{16}$", x) for x in told)
    assert "60 cells failed, of 20 kinds:" in failed.stderr
    assert "and 10 more kinds: gridrun show --failed" in failed.stderr
    quiet = run("sweep", "g.toml", "--retry-failed", "--quiet").stderr
    assert quiet.startswith("60 cells failed, of 20 kinds:")
    listed = run("show", "--failed", "--top", "4").stdout.splitlines()
    assert [line.split("  ", 1)[1].split(":")[0] for line in listed[:4]] == ["a 0", "a 1", "a 2", "a 3"]
    assert listed[4] == "and 56 more; --top 60 shows all"
    assert run("show", "--failed", "results/many").stdout == run("show", "--failed").stdout
    assert run("show", "a=3", "results/many", "--failed").stdout.count("\n") == 1


def test_status_tells_running_from_interrupted_from_finished(
    run: Run, write_grid: Write, type_in: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    write_grid(mode="wait")
    sweep = spawn(tmp_path, "sweep", "g.toml", "--out", "my out")
    wait_until((tmp_path / "ledger").exists)
    found = json.loads(run("status", "my out", "--json").stdout)
    text = run("status", "my out").stdout
    assert (found["state"], found["process"]["id"]) == ("running", sweep.pid)
    assert found["process"]["host"] == os.uname().nodename
    assert found["since"].startswith("20")
    assert f"process {sweep.pid} on {os.uname().nodename}" in text.splitlines()[0]
    assert "go on" not in text
    sweep.send_signal(signal.SIGKILL)
    sweep.wait(SHORT_S)
    before = sorted(path.name for path in (tmp_path / "my out").iterdir())
    found = json.loads(run("status", "my out", "--json").stdout)
    assert (found["state"], found["process"], found["since"]) == ("interrupted", None, None)
    assert sorted(path.name for path in (tmp_path / "my out").iterdir()) == before
    (tmp_path / "go").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again = type_in("gridrun status '../my out'", elsewhere).stdout
    went_on = type_in(line_after(again, "go on:"), elsewhere)
    assert went_on.returncode == 0, went_on.stderr
    text = run("status", "my out").stdout
    assert text.splitlines()[0] == "toy: 12 of 12 cells completed (100%); finished"
    assert text.splitlines()[-1].startswith("best accuracy 1.5: ")
    found = json.loads(run("status", "my out", "--json").stdout)
    assert (found["state"], found["failures"]) == ("finished", [])
    assert found["best"].keys() == {"metric", "params", "cell"}
    assert found["best"]["cell"] in run("show", "best", "my out").stdout


def test_status_of_failures_says_as_much_as_the_end_of_the_sweep(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    end = run("sweep", write_grid(mode="raise")).stderr
    block = end[end.index("4 cells failed") :]
    assert run("status").stdout.endswith(block)
    (found,) = json.loads(run("status", "--json").stdout)["failures"]
    assert found["count"] == 4
    assert found["reason"].startswith("ValueError: bad luck in two lines (toy.py:")
    assert found["cell"] in block
    (tmp_path / "results/toy" / LOCK).unlink()  # as in a copy that was passed on
    assert "gridrun sweep, as before, --retry-failed" in run("status").stdout


@pytest.mark.parametrize(
    "how",
    [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "cp437"},
     {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=str,
)  # fmt: skip
def test_a_terminal_that_lacks_characters_gets_others(tmp_path: Path, how: dict[str, str]) -> None:
    (tmp_path / "odd.py").write_text(
        "def train(*, a, b):\n    if b == 2:\n        raise ValueError('\u4e0d \xb1 \u2026')\n"
        "    return {'acc\xb1': float(b)}\n",
        encoding="utf-8",
    )
    (tmp_path / "g.toml").write_text(
        '[sweep]\nname = "odd"\ntrain = "odd:train"\nmetric = "acc\xb1"\n'
        '[grid]\na = ["\u2013\u2026\xe9\u4e0d", "x"]\n[replicate]\nb = [1, 2, 3]\n',
        encoding="utf-8",
    )
    for words, code in (
        ("sweep g.toml --backend sequential", 1), ("status", 0), ("report", 0), ("show best", 0),
        ("show --failed", 0), ("show b=2,a=x", 0), ("show b=3,a=x", 0),
    ):  # fmt: skip
        result = subprocess.run(
            [GRIDRUN, *words.split()], cwd=tmp_path, capture_output=True, env={**os.environ, **how}
        )
        assert result.returncode == code, result.stderr
        assert b"UnicodeEncodeError" not in result.stderr
        assert result.stdout
        if how.get("PYTHONIOENCODING", "ascii") == "ascii":
            assert (result.stdout + result.stderr).isascii()


def test_a_path_is_quoted_where_it_is_to_be_typed_and_told_if_it_is_too_long(
    run: Run, type_in: Callable[..., "subprocess.CompletedProcess[str]"], write_grid: Write, tmp_path: Path
) -> None:
    first = run("init", "my first.toml")
    assert (
        type_in(
            line_after(first.stdout, "wrote my first.toml and my_train.py; next:") + " --dry-run"
        ).returncode
        == 0
    )
    done = run("sweep", write_grid(), "--out", "my out").stdout.splitlines()[-1]
    assert type_in(line_after(done, "12 completed, 0 failed; next:")).returncode == 0
    long = "/".join(["x" * 100] * 6)
    refused = run("sweep", "g.toml", "--out", long)
    assert refused.returncode == 2
    assert "its path is too long for a database" in refused.stderr
    (tmp_path / long).mkdir(parents=True)
    (tmp_path / "my out" / "sweep.db").rename(tmp_path / long / "sweep.db")
    refused = run("status", long)
    assert refused.returncode == 3
    assert "its path is too long for a database" in refused.stderr
    assert "permissions" not in refused.stderr
