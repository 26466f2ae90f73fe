"""`output_dir`: a directory of a trajectory's own."""

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run

TRAIN = """
import os
from pathlib import Path


def train(*, a, epochs, output_dir):
    assert os.listdir(output_dir) in ([], ["model"]), os.listdir(output_dir)
    model = Path(output_dir, "model")
    found = model.read_text() if model.exists() else ""
    for epoch in range(epochs):
        model.write_text(f"{a} {epoch + 1}")
        if a == 2 and not Path("mended").exists():
            os.kill(os.getpid(), 9)
        yield {"score": a, "found": int(found.split()[1]) if found else 0}


def optional(*, a, output_dir=None):
    if output_dir not in (None, "mine"):
        Path(output_dir, "model").touch()
    return {"score": a, "given": output_dir is not None}


def anything(*, a, **others):
    return {"score": a, "given": len(others)}


def config(params):
    return {"score": params["a"], "given": "output_dir" in params}
"""
HEAD = '[sweep]\nname = "t"\ntrain = "keeping:{}"\nmetric = "score"\n'


def write(folder: Path, function: str, more: str) -> None:
    (folder / "keeping.py").write_text(TRAIN)
    (folder / "g.toml").write_text(HEAD.format(function) + more)


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_a_trajectory_finds_its_directory_as_it_left_it(run: Run, tmp_path: Path, backend: str) -> None:
    grid = (
        'budget = "epochs"\n[grid]\na = [1, 2]\nepochs = [{}]\n' + f'[run]\nbackend = "{backend}"\njobs = 2\n'
    )
    write(tmp_path, "train", grid.format(2))
    failed = run("sweep", "g.toml")
    assert failed.returncode == 1
    assert "its worker died 3 times" in failed.stderr
    cells = tmp_path / "results/t/cells"
    assert sorted((folder / "model").read_text() for folder in cells.iterdir()) == ["1 2", "2 1"]
    (tmp_path / "mended").touch()
    write(tmp_path, "train", grid.format(3))
    assert run("sweep", "g.toml", "--retry-failed").returncode == 0
    assert sorted((folder / "model").read_text() for folder in cells.iterdir()) == ["1 3", "2 3"]
    assert run("report").returncode == 0
    history = (tmp_path / "results/t/report/history.csv").read_text()
    assert "output_dir" not in history
    (folder,) = [folder for folder in cells.iterdir() if (folder / "model").read_text() == "2 3"]
    assert f"files: results/t/cells/{folder.name}\n" in run("show", "a=2").stdout


@pytest.mark.parametrize(
    ("function", "more", "given"),
    [
        ("optional", "", 1), ("optional", '[fixed]\noutput_dir = "mine"\n', 1), ("anything", "", 0),
        ("config", 'call = "config"\n', 0),
    ],
)  # fmt: skip
def test_who_does_not_name_it_gets_none_and_grid_toml_comes_first(
    run: Run, tmp_path: Path, function: str, more: str, given: int
) -> None:
    write(tmp_path, function, f"{more}[grid]\na = [1]\n")
    assert run("sweep", "g.toml").returncode == 0
    assert run("report").returncode == 0
    line = (tmp_path / "results/t/report/cells.csv").read_text().splitlines()[1]
    assert (tmp_path / "results/t/cells").exists() == (function == "optional" and not more)
    assert f"{float(given)}" in line.split(",")
    shown = json.loads(run("status", "--json").stdout)["best"]["params"]
    assert shown == {"a": 1}


def test_try_keeps_no_directory(run: Run, tmp_path: Path) -> None:
    write(tmp_path, "train", 'budget = "epochs"\n[grid]\na = [1]\nepochs = [2]\n')
    assert run("try", "g.toml").returncode == 0
    assert not (tmp_path / "results").exists()
