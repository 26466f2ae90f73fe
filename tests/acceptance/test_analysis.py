"""What a grid proves, by the whole program: the same bytes however the sweep was run."""

import signal
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import Begin, Run

TRAIN = """
import time
from pathlib import Path

import numpy as np

def train(*, a, norm, seed, epochs, ledger):
    chance = np.random.default_rng([a, len(norm), seed])
    for epoch in range(epochs):
        time.sleep(0.02)
        with Path(ledger).open("a") as file:
            print(a, file=file)
        correct = chance.random(150) < 0.5 + 0.02 * a + 0.05 * epoch
        yield {"accuracy": correct.mean(), "correct": correct}
"""
GRID = """
[sweep]
name = "proof"
train = "train.py:train"
metric = "accuracy"
budget = "epochs"
[fixed]
ledger = "LEDGER"
[grid]
a = [1, 2, 3, 4]
norm = ["batch", "layer"]
epochs = [1, 3]
[replicate]
seed = [0, 1, 2]
[select]
rule = "one_se"
prefer = ["a", "epochs"]
[run]
"""


@pytest.mark.slow
def test_every_file_is_the_same_for_any_number_of_workers_order_and_interruption(
    run: Run, begin: Begin, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    text = GRID.replace("LEDGER", str(tmp_path / "ledger"))
    (tmp_path / "one.toml").write_text(f"{text}jobs = 1\n")
    (tmp_path / "many.toml").write_text(f'{text}jobs = 4\norder = "random"\n')
    assert run("sweep", "one.toml", "--out", "one").returncode == 0
    (tmp_path / "ledger").unlink()
    sweep = begin("many.toml", "--out", "many")
    while not (tmp_path / "ledger").exists() or len((tmp_path / "ledger").read_text()) < 40:  # of 144 epochs
        assert sweep.poll() is None
        time.sleep(0.02)
    sweep.send_signal(signal.SIGKILL)
    sweep.wait()
    assert run("sweep", "many.toml", "--out", "many").returncode == 0
    for name, threads in (("one", "1"), ("many", "2")):
        done = run("report", name, OPENBLAS_NUM_THREADS=threads, OMP_NUM_THREADS=threads)
        assert done.returncode == 0, done.stderr
    files = {path.name for path in (tmp_path / "one" / "report").iterdir()}
    assert {"summary.json", "effects.csv", "isolation.csv", "sensitivity.csv", "report.html"} < files
    assert files == {path.name for path in (tmp_path / "many" / "report").iterdir()}
    for name in files - {"timings.csv"}:
        one, many = ((tmp_path / out / "report" / name).read_bytes() for out in ("one", "many"))
        assert one == many, name
