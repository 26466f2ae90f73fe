"""Runs the real program in a directory of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from shutil import copy

import pytest

GRIDRUN = str(Path(sys.executable).with_name("gridrun"))
HERE = Path(__file__).parent
SOAK = bool(os.environ.get("GRIDRUN_SOAK"))  # `make soak`: the same tests, many times longer

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Begin = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def _toy(tmp_path: Path) -> None:
    copy(HERE / "toy.py", tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [GRIDRUN, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120,
            env={**os.environ, **environment},
        )  # fmt: skip

    return call


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start a sweep as the leader of a process group of its own, which ends with the test."""
    with ExitStack() as stack:

        def start(grid: str, *options: str) -> "subprocess.Popen[str]":
            sweep = stack.enter_context(
                subprocess.Popen(
                    [GRIDRUN, "sweep", grid, "--quiet", *options], cwd=tmp_path, start_new_session=True,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                )
            )  # fmt: skip
            stack.callback(sweep.kill)
            return sweep

        yield start


@pytest.fixture
def write_grid(tmp_path: Path) -> Callable[..., str]:
    def write(
        a: str = "[1, 2, 3]",
        b: str = "[0.5, 1.0]",
        epochs: str = "[2, 5]",
        mode: str | Sequence[str] = "ok",  # several of them are an axis
        nap: float = 0,
        run: str = "",
        name: str = "g.toml",
    ) -> str:
        modes = "" if isinstance(mode, str) else f"mode = {json.dumps(mode)}\n"
        fixed = "" if modes else f'mode = "{mode}"\n'
        (tmp_path / name).write_text(
            '[sweep]\nname = "toy"\ntrain = "toy:train"\nmetric = "accuracy"\nbudget = "epochs"\n'
            f'[fixed]\n{fixed}ledger = "{tmp_path}/ledger"\nnap = {nap}\n'
            f"[grid]\n{modes}a = {a}\nb = {b}\nepochs = {epochs}\n[run]\njobs = 2\n{run}\n"
        )
        return name

    return write
