"""The examples that Python people know, a notebook and a PyTorch loop: killed half-way, resumed, compared."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree

import nbformat
import psutil
import pytest

import gridrun
from gridrun.errors import GridrunError
from gridrun.spec import Spec
from tests.acceptance.conftest import GRIDRUN
from tests.acceptance.quick import tables_of
from tests.acceptance.test_kills import wait_until, wait_until_alone

EXAMPLES = Path(__file__).parents[2] / "examples"
# As `jupyter execute` does, in a process that can be killed.
EXECUTE = """
import sys, nbformat, nbclient
book = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(book, timeout=300).execute()
nbformat.write(book, "executed.ipynb")
"""


def completed(directory: Path) -> int:
    try:
        return int((gridrun.load(directory).cells["status"] == "completed").sum())
    except GridrunError:  # it has not begun
        return 0


def execute(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", EXECUTE, "study.ipynb"], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def outputs(folder: Path) -> str:
    cells = nbformat.read(folder / "executed.ipynb", as_version=4)["cells"]
    found = [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]
    return "".join(
        output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"] + "\n"
        for output in found
    )


@pytest.mark.slow
def test_a_notebook_whose_kernel_is_killed_goes_on_when_it_is_run_again(tmp_path: Path) -> None:
    folder = copytree(EXAMPLES / "notebook", tmp_path / "notebook")
    with execute(folder) as killed:
        wait_until(lambda: completed(folder / "results" / "train") >= 4)
        kernel = next(
            child
            for child in psutil.Process(killed.pid).children()
            if "ipykernel_launcher" in child.cmdline()
        )
        kernel.kill()
    assert killed.returncode != 0
    wait_until_alone(folder)
    done = completed(folder / "results" / "train")
    assert 4 <= done < 36

    with execute(folder) as again:
        text, _ = again.communicate(timeout=300)

    assert again.returncode == 0, text
    told = outputs(folder)
    assert f"train: 36 cells, {done} cached, {36 - done} new" in told
    assert "Results: train, 36 of 36 cells completed; best accuracy 0.9" in told
    assert "{'alpha': " in told
    assert (folder / "results" / "train" / "report" / "report.html").is_file()


def test_a_notebook_takes_few_lines_beyond_what_was_there() -> None:
    cells = nbformat.read(EXAMPLES / "notebook" / "study.ipynb", as_version=4)["cells"]
    code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]

    assert "gridrun" not in code[0]
    assert sum(bool(line.strip()) for cell in code[1:] for line in cell.splitlines()) <= 10


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed: make test-examples")
def test_a_pytorch_loop_with_a_data_loader_of_two_workers_goes_on_after_a_kill(tmp_path: Path) -> None:
    folder = copytree(EXAMPLES / "pytorch", tmp_path / "pytorch")
    with subprocess.Popen(
        [GRIDRUN, "sweep", "grid.toml", "--out", "cut", "--jobs", "1"], cwd=folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as killed:  # fmt: skip
        wait_until(lambda: completed(folder / "cut") >= 2)
        os.killpg(killed.pid, 9)
    wait_until_alone(folder)
    done = completed(folder / "cut")
    assert done < len(Spec.read(folder / "grid.toml").grid)

    for out in ("cut", "whole"):
        ended = subprocess.run(
            [GRIDRUN, "sweep", "grid.toml", "--out", out], cwd=folder, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert f" {done if out == 'cut' else 0} cached, " in ended.stdout

    assert tables_of(folder / "cut", tmp_path / "one") == tables_of(folder / "whole", tmp_path / "two")
