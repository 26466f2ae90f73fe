"""What a running trajectory has: variables in its environment, a GPU, the epochs that are stored already."""

from pathlib import Path

import pytest

from gridrun.store import Store
from tests.acceptance.backends import BACKENDS
from tests.acceptance.conftest import Run

TRAIN = """
import os
import subprocess
import time

seen = os.environ.get("CUDA_VISIBLE_DEVICES")


def train(*, a):
    time.sleep(0.2)
    names = ("GRIDRUN_TRAJECTORY", "GRIDRUN_SLOT", "GRIDRUN_OUTPUT_DIR")
    child = subprocess.run(["env"], capture_output=True, text=True).stdout.splitlines()
    for name in names:
        assert f"{name}={os.environ[name]}" in child
    with open("ledger", "a") as ledger:
        print(*(os.environ[name] for name in names), seen, file=ledger)
    return {"score": a}
"""


def write(folder: Path, more: str = "") -> None:
    (folder / "noting.py").write_text(TRAIN)
    (folder / "g.toml").write_text(
        '[sweep]\nname = "t"\ntrain = "noting:train"\nmetric = "score"\n'
        f"[grid]\na = [1, 2, 3, 4, 5, 6]\n[run]\n{more}"
    )


@pytest.mark.parametrize("backend", [backend.name for backend in BACKENDS if backend.installed])
def test_a_trajectory_and_what_it_starts_read_in_the_environment_who_they_are(
    run: Run, tmp_path: Path, backend: str
) -> None:
    write(tmp_path, f'backend = "{backend}"\njobs = 2\n')
    ended = run("sweep", "g.toml", CUDA_VISIBLE_DEVICES="all")
    assert ended.returncode == 0, ended.stderr
    lines = [line.split() for line in (tmp_path / "ledger").read_text().splitlines()]
    with Store.read(tmp_path / "results/t") as store:
        assert {name for name, *_ in lines} == set(store.progress())
    assert {slot for _, slot, *_ in lines} == ({"0"} if backend == "sequential" else {"0", "1"})
    assert {(name, folder) for name, _, folder, _ in lines} == {
        (name, str(tmp_path / "results/t/cells" / name)) for name, *_ in lines
    }
    assert {gpu for *_, gpu in lines} == {"all"}  # who asks for none keeps what he has
    assert not (tmp_path / "results/t/cells").exists()  # told, and made by who uses it


def test_slots_are_dealt_over_gpus_before_the_first_import(run: Run, tmp_path: Path) -> None:
    write(tmp_path, "gpus = [7, 4]\njobs = 3\n")
    assert run("sweep", "g.toml").returncode == 0
    dealt = {tuple(line.split()[1::2]) for line in (tmp_path / "ledger").read_text().splitlines()}
    assert dealt <= {("0", "7"), ("1", "4"), ("2", "7")}
    assert len(dealt) > 1
    assert "3 workers" in run("sweep", "g.toml", "--out", "other").stdout


def test_without_jobs_each_gpu_has_one_worker(run: Run, tmp_path: Path) -> None:
    write(tmp_path, "gpus = [0, 1, 2, 3]\n")
    assert ", 4 workers" in run("sweep", "g.toml").stdout


@pytest.mark.parametrize("backend", ["sequential", "dask"])
def test_a_backend_without_workers_of_its_own_refuses_gpus(run: Run, tmp_path: Path, backend: str) -> None:
    write(tmp_path, "gpus = [0]\n")
    refused = run("sweep", "g.toml", "--backend", backend)
    assert refused.returncode == 2
    assert refused.stderr.startswith("gridrun: [run] gpus are dealt to workers of this machine, and backend")
    assert refused.stderr.count("\n") == 1
    assert "write loky" in refused.stderr
    assert not (tmp_path / "results").exists()
