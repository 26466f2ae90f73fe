"""Runs the real program in a directory of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copy

import pytest

GRIDRUN = str(Path(sys.executable).with_name("gridrun"))
HERE = Path(__file__).parent
SOAK = bool(os.environ.get("GRIDRUN_SOAK"))  # `make soak`: the same tests, many times longer

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _toy(tmp_path: Path) -> None:
    copy(HERE / "toy.py", tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([GRIDRUN, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120)

    return call


@pytest.fixture
def write_grid(tmp_path: Path) -> Callable[..., str]:
    def write(
        a: str = "[1, 2, 3]",
        epochs: str = "[2, 5]",
        mode: str = "ok",
        nap: float = 0,
        run: str = "",
        name: str = "g.toml",
    ) -> str:
        (tmp_path / name).write_text(
            '[sweep]\nname = "toy"\ntrain = "toy:train"\nmetric = "accuracy"\nbudget = "epochs"\n'
            f'[fixed]\nmode = "{mode}"\nledger = "{tmp_path}/ledger"\nnap = {nap}\n'
            f"[grid]\na = {a}\nb = [0.5, 1.0]\nepochs = {epochs}\n[run]\njobs = 2\n{run}\n"
        )
        return name

    return write
