"""`gridrun try`: one cell in the foreground, nothing kept."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import GRIDRUN, Run
from tests.acceptance.test_kills import SHORT_S, wait_until

Write = Callable[..., str]


def test_the_first_cell_runs_here_with_what_it_prints_and_nothing_is_kept(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    grid = write_grid()
    before = sorted(tmp_path.iterdir())
    tried = run("try", grid, PYTHONDONTWRITEBYTECODE="1")
    assert (tried.returncode, tried.stderr) == (0, "")
    lines = tried.stdout.splitlines()
    assert lines[0].startswith("toy: mode ok, ledger ")
    assert lines[0].endswith("a 1, b 0.5, epochs 2")
    assert lines.count("noise on stdout") == 2
    assert [line.rpartition(" (")[0] for line in lines if line.startswith("epoch")] == [
        "epoch 1: accuracy 0.5, loss 0",
        "epoch 2: accuracy 0.25, loss 1",
    ]
    assert lines[-1].startswith("2 epochs in ")
    assert lines[-1].endswith(" s; nothing was kept")
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "ledger"])


def test_parameters_are_said_as_in_show_and_may_be_new_ones(run: Run, write_grid: Write) -> None:
    tried = run("try", write_grid(), "e=3", "a=70", "b=1", "mode=ok")
    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.splitlines()[0].endswith("a 70, b 1.0, epochs 3")
    assert "epoch 3: accuracy 23.3333, loss 2" in tried.stdout


def test_a_cell_that_fails_ends_with_its_traceback_and_exit_code_1(run: Run, write_grid: Write) -> None:
    tried = run("try", write_grid(), "a=2", "mode=raise")
    assert tried.returncode == 1
    assert tried.stderr.startswith('Traceback (most recent call last):\n  File "')
    assert tried.stderr.endswith("ValueError: bad luck\nin two lines\n")
    assert "gridrun/" not in tried.stderr
    assert tried.stdout.endswith("failed after 0 epochs; nothing was kept\n")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("z=1", "no axis is called 'z'; write one of a, b, epochs"),
        ("a", "a parameter is name=value, found 'a'; write a=..."),
        ("=1", "a parameter is name=value, found '=1'; write a=..."),
        ("epochs=0", "epochs is the budget axis and must be a whole number from 1, found 0; write epochs=2"),
        ("epochs=true", "epochs is the budget axis and must be a whole number from 1, found True;"),
        ("a=nan", "g.toml: a must be finite, found nan; write a number"),
        ("a=2026-01-01", "g.toml: a must be made of numbers, strings,"),
    ],
)
def test_a_word_that_is_no_parameter_is_refused_in_one_line(
    run: Run, write_grid: Write, word: str, told: str
) -> None:
    tried = run("try", write_grid(), word)
    assert (tried.returncode, tried.stdout) == (2, "")
    assert tried.stderr.startswith(f"gridrun: {told}")
    assert tried.stderr.count("\n") == 1


def test_a_value_is_what_grid_toml_would_make_of_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text("def train(*, a):\n    print(repr(a))\n    return 1\n")
    (tmp_path / "g.toml").write_text(
        '[sweep]\nname = "told"\ntrain = "told:train"\nmetric = "m"\n[grid]\na = [1, "two"]\n'
    )
    for word, value in (
        ("two", "'two'"), ("one and a half", "'one and a half'"),
        ("[1, [2.5]]", "[1, [2.5]]"), ("1e-3", "0.001"),
        ('"7"', "'7'"), ("{ null = true }", "None"), ("x\nb = 1", "'x\\nb = 1'"), ("a=b", "'a=b'"),
    ):  # fmt: skip
        assert run("try", "g.toml", f"a={word}").stdout.splitlines()[1] == value


def test_a_cell_that_the_trainer_refuses_is_not_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "picky.py").write_text(
        "def train(*, a):\n    return 1\n\n\ndef validate(*, a):\n    if a > 1:\n"
        "        raise ValueError('a must be 1 at most')\n\n\ntrain.validate = validate\n"
    )
    (tmp_path / "g.toml").write_text(
        '[sweep]\nname = "picky"\ntrain = "picky:train"\nmetric = "m"\n[grid]\na = [1, 2]\n'
    )
    assert run("try", "g.toml").returncode == 0
    refused = run("try", "g.toml", "a=2")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "gridrun: g.toml: a must be 1 at most (refused by picky:train)\n"


def test_ctrl_c_ends_it_at_once(write_grid: Write, tmp_path: Path) -> None:
    tried = subprocess.Popen(
        [GRIDRUN, "try", write_grid(mode="wait")], cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until((tmp_path / "ledger").exists)
    tried.send_signal(signal.SIGINT)
    _, told = tried.communicate(timeout=SHORT_S)
    assert (tried.returncode, told) == (130, "gridrun: interrupted; nothing was changed\n")
