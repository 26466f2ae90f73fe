"""What a shell has of gridrun: completion, help that runs, a command for the end of a sweep."""

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
import typer

from gridrun.cli import COMMANDS, app
from gridrun.results.lookup import find_cells
from gridrun.spec import Spec
from gridrun.store import Store
from tests.acceptance.conftest import GRIDRUN, Run
from tests.acceptance.quick import HEAD, sweep_here

Write = Callable[..., str]


def complete(folder: Path, line: str) -> list[str]:
    """What bash would offer for the last word of a line."""
    asked = {
        "_GRIDRUN_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    told = subprocess.run(
        [GRIDRUN], cwd=folder, env={**os.environ, **asked}, capture_output=True, text=True, timeout=60
    )
    assert told.stderr == ""
    return told.stdout.split()


def test_commands_sweeps_and_cells_are_completed(tmp_path: Path) -> None:
    sweep_here(tmp_path / "results/one", HEAD + "[grid]\na = [1, 2]\n")
    sweep_here(tmp_path / "results/two", HEAD + "[grid]\na = [3, 4]\n")
    (tmp_path / "results/stranger").mkdir()
    assert complete(tmp_path, "gridrun s") == ["sweep", "status", "show"]
    assert complete(tmp_path, "gridrun status ") == ["results/one", "results/two"]
    assert complete(tmp_path, "gridrun compare results/one results/t") == ["results/two"]
    assert complete(tmp_path, f"gridrun report {tmp_path}/results/o") == [f"{tmp_path}/results/one"]
    with Store.read(tmp_path / "results/two") as store:
        spec = Spec.parse(store.grid_text(), "")
        ids = [spec.grid.trajectory_id(store.identity(), index) for index, _ in find_cells(store, spec, None)]
    assert complete(tmp_path, "gridrun show ") == ["best", *ids]
    assert complete(tmp_path, f"gridrun show {ids[1][:4]}") == ids[1:]


def test_where_there_is_nothing_to_complete_a_shell_hears_nothing(tmp_path: Path) -> None:
    (tmp_path / "results/broken").mkdir(parents=True)
    (tmp_path / "results/broken/sweep.db").write_text("no database")
    for line in (
        "gridrun show abc",
        "gridrun status no/such/",
        "gridrun status /no/such/x",
        "gridrun status [",
    ):
        assert complete(tmp_path, line) == []


def examples(name: str) -> Iterator[list[str]]:
    for line in (COMMANDS[name].__doc__ or "").splitlines():
        if line.strip().startswith("gridrun "):
            yield shlex.split(line)[1:]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_the_help_are_commands(name: str) -> None:
    found = list(examples(name))
    assert found
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group) or hasattr(group, "commands")
    for words in found:
        assert words[0] == name
        group.commands[name].make_context(name, words[1:])  # type: ignore[attr-defined]


def test_help_tells_the_exit_codes(run: Run) -> None:
    for words in ((), ("sweep",)):
        text = " ".join(run(*words, "--help").stdout.split())
        assert re.search(
            "0 complete; 1 finished, some cells failed; 2 bad input; 3 the environment.*; 130 interr", text
        )


@pytest.mark.slow
def test_a_command_runs_when_a_sweep_has_ended_and_is_told_how(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    note = 'echo "$GRIDRUN_EXIT_CODE $GRIDRUN_DIRECTORY" >> notes; gridrun status "$GRIDRUN_DIRECTORY"'
    path = f"{Path(GRIDRUN).parent}:{os.environ['PATH']}"
    failing = write_grid(a="[1, 2]", mode="raise")
    result = run("sweep", failing, "--out", "my out", "--quiet", "--on-finish", note, PATH=path)
    assert result.returncode == 1
    assert (
        result.stdout.rstrip()
        .splitlines()[-1]
        .startswith("run them again: gridrun sweep g.toml --out 'my out'")
    )
    assert "; finished" in result.stdout  # the lock is free by then
    good = write_grid(a="[1]")
    again = run("sweep", good, "--out", "my out", "--quiet", "--on-finish", note + "; exit 7", PATH=path)
    assert again.returncode == 0
    assert again.stderr.startswith("gridrun: --on-finish: echo ")
    assert again.stderr.endswith("ended with exit status 7\n")
    assert (tmp_path / "notes").read_text() == "".join(f"{code} {tmp_path}/my out\n" for code in (1, 0))
    assert run("sweep", good, "--dry-run", "--on-finish", "touch ran").returncode == 0
    assert not (tmp_path / "ran").exists()
