"""Unions, zips and exclusions in whole sweeps: what is finished is used again, on every backend alike."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance import quick
from tests.acceptance.backends import BACKENDS, Place
from tests.acceptance.conftest import Run
from tests.acceptance.quick import HEAD, sweep_here, tables_of
from tests.acceptance.test_backends import cells_csv, clean_csv, on, place  # noqa: F401 - a fixture

Write = Callable[..., str]

PLAIN = '[grid]\na = ["sgd"]\nb = [1, 2, 3]\n'
MORE = '[[grid]]\na = ["adam"]\nc = [1, 2]\n'
OVER = '[[grid]]\na = ["adam", "sgd"]\nb = [3, 4]\n'
EXCLUDE = '[[exclude]]\na = "sgd"\nb = [2, 3]\n'


@pytest.mark.parametrize(
    ("text", "new"),
    [
        (PLAIN, []),
        ("[" + PLAIN.replace("grid]", "grid]]") + MORE, [("adam", 0, 1), ("adam", 0, 2)]),
        ("[" + PLAIN.replace("grid]", "grid]]") + OVER, [("adam", 3, 0), ("adam", 4, 0), ("sgd", 4, 0)]),
        (PLAIN + EXCLUDE, []),
        (MORE + PLAIN.replace("[grid]", "[[grid]]") + EXCLUDE, [("adam", 0, 1), ("adam", 0, 2)]),
        (
            '[fixed]\na = "sgd"\n[zip.z]\nb = [1, 3, 9]\nc = [7, 8, 9]\n',
            [("sgd", 1, 7), ("sgd", 3, 8), ("sgd", 9, 9)],
        ),
    ],
)
def test_what_a_plain_grid_finished_is_not_run_again_and_nothing_else_is_left_out(
    tmp_path: Path, text: str, new: list[tuple[object, ...]]
) -> None:
    sweep_here(tmp_path / "used", HEAD + PLAIN)
    quick.called.clear()
    count = sweep_here(tmp_path / "used", HEAD + text)
    assert sorted(quick.called, key=str) == sorted(new, key=str)
    assert count == sweep_here(tmp_path / "clean", HEAD + text)
    assert tables_of(tmp_path / "used", tmp_path / "csv") == tables_of(tmp_path / "clean", tmp_path / "csv")
    quick.called.clear()
    sweep_here(tmp_path / "used", HEAD + PLAIN)
    assert quick.called == []


def write_union(folder: Path) -> str:
    (folder / "u.toml").write_text(
        '[sweep]\nname = "toy"\ntrain = "toy:train"\nmetric = "accuracy"\nbudget = "epochs"\n'
        f'[fixed]\nledger = "{folder}/ledger"\n'
        "[[grid]]\na = [3, 1, 4]\nepochs = [2, 5]\nb = [0.5, 1.0]\n"
        "[[grid]]\nepochs = [2, 5]\na = [4, 5]\n"
        "[[grid]]\nepochs = [2, 5]\na = [4, 6]\nb = [1.0, 2.0]\n"
        '[zip.z]\nmode = ["ok", "fine"]\nnap = [0.0, 0.01]\n'
        '[[exclude]]\na = 3\nmode = "fine"\n'
    )
    return "u.toml"


@on(BACKENDS)
def test_a_union_is_the_same_bytes_on_every_backend(run: Run, tmp_path: Path, place: Place) -> None:  # noqa: F811
    grid = write_union(tmp_path)
    expected = clean_csv(run, tmp_path, grid)
    assert len(expected.splitlines()) == 1 + 2 * (3 * 2 * 2 - 2 + 2 * 2 + 3 * 2)
    result = run("sweep", grid, "--out", "out", *place.options)
    assert result.returncode == 0, result.stderr
    assert cells_csv(tmp_path / "out") == expected


def test_status_show_and_try_leave_out_what_a_combination_has_not_got(run: Run, tmp_path: Path) -> None:
    grid = write_union(tmp_path)
    assert run("sweep", grid, "--backend", "sequential").returncode == 0
    assert json.loads(run("status", "--json").stdout)["best"]["params"].keys() == {
        "a",
        "epochs",
        "b",
        "mode",
        "nap",
    }
    shown = run("show", "a=5,mode=fine,epochs=2").stdout
    assert "\n  mode = fine\n  nap = 0.01\n" in shown
    assert "\n  b = " not in shown
    assert run("show", "a=5,b=1").stderr == "gridrun: no combination has a 5 and b 1; leave one of them out\n"
    assert run("show", "z=1").stderr.endswith("move together; name one of them: mode, nap\n")
    tried = run("try", grid, "a=5", "epochs=1").stdout
    assert "a 5, mode ok, nap 0.0, epochs 1" in tried.splitlines()[0]
    assert ", b " not in tried.splitlines()[0]
    tried = run("try", grid, "b=7", "mode=fine").stdout
    assert "b 7, mode fine, nap 0.01, epochs 2" in tried.splitlines()[0]
    refused = run("try", grid, "a=5", "b=7")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "no combination of the grid has a 5, b 7" in refused.stderr
