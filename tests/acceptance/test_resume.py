"""`resume_from`: a trajectory goes on after the epochs that are stored already."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from gridrun import worker
from gridrun.errors import EnvironmentFault, InputError
from gridrun.outcome import Outcome
from gridrun.plan import Count
from gridrun.spec import Spec
from gridrun.store import Store
from tests.acceptance import quick
from tests.acceptance.backends import ENDING_CELLS
from tests.acceptance.conftest import HERE, SOAK, Run
from tests.acceptance.quick import tables_of
from tests.acceptance.test_kills import SEED, spawn, wait_until, wait_until_alone

WORKERS = [backend.name for backend in ENDING_CELLS if backend.installed]


def grid(folder: Path, epochs: str, fixed: str = "", function: str = "train", where: str = "") -> str:
    """A grid.toml of two trajectories; `where` are the modules that hold steady.py."""
    budget = f'budget = "epochs"\n[fixed]\nledger = "{folder}/ledger"\n{fixed}[grid]\nepochs = {epochs}\n'
    return (
        f'[sweep]\nname = "t"\ntrain = "{where}steady:{function}"\nmetric = "score"\n'
        + (budget if epochs else f'[fixed]\nledger = "{folder}/ledger"\n[grid]\n')
        + "a = [1, 2]\n"
    )


def sweep_here(folder: Path, *told: str, out: str = "cut", **how: bool) -> Count:
    return quick.sweep_here(folder / out, grid(folder, *told, where="tests.acceptance."), **how)


def take_ledger(folder: Path) -> Counter[tuple[int, int]]:
    """How often each epoch was run since the last look: by a, and the epoch from 0."""
    path = folder / "ledger"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return Counter((int(line.split()[0]), int(line.split()[1])) for line in lines)


def once(epochs: range) -> dict[tuple[int, int], int]:
    return dict.fromkeys([(a, epoch) for a in (1, 2) for epoch in epochs], 1)


def tables(folder: Path, out: str = "cut") -> bytes:
    """cells.csv, best.csv and history.csv, as `gridrun report` writes them."""
    return tables_of(folder / out, folder / "scratch.csv")


def clean(folder: Path, *told: str) -> bytes:
    """The same of one run that nothing disturbs."""
    sweep_here(folder, *told, out="clean")
    return tables(folder, "clean")


@pytest.mark.parametrize("backend", WORKERS)
def test_a_sweep_that_is_widened_goes_on_after_the_epochs_it_has(
    run: Run, tmp_path: Path, backend: str
) -> None:
    (tmp_path / "steady.py").write_bytes((HERE / "steady.py").read_bytes())
    for epochs, ran in (("[2, 5]", range(5)), ("[2, 5, 8]", range(5, 8))):
        (tmp_path / "g.toml").write_text(grid(tmp_path, epochs))
        ended = run("sweep", "g.toml", "--out", "cut", "--backend", backend, "--jobs", "2")
        assert ended.returncode == 0, ended.stderr
        assert take_ledger(tmp_path) == once(ran)
    told = run("sweep", "g.toml", "--out", "clean", "--backend", "sequential")
    assert told.returncode == 0
    assert tables(tmp_path) == tables(tmp_path, "clean")
    with Store.read(tmp_path / "cut") as store:
        assert not {"resume_from", "output_dir"} & store.defaults().keys()
        for _, timing in store.timings():
            assert len(timing.seconds) == 8
            assert sorted(timing.seconds) == timing.seconds
            assert timing.seconds[-1] <= timing.wall_s + 1e-3


def test_a_checkpoint_that_is_behind_what_is_stored_costs_what_it_is_behind(tmp_path: Path) -> None:
    every = "every = 3\n"
    sweep_here(tmp_path, "[5]", every)
    take_ledger(tmp_path)
    assert sweep_here(tmp_path, "[5, 8]", every) == Count(completed=4)
    assert take_ledger(tmp_path) == once(range(3, 8))
    assert tables(tmp_path) == clean(tmp_path, "[5, 8]", every)


def test_a_checkpoint_that_is_gone_costs_the_run_and_changes_nothing(tmp_path: Path) -> None:
    sweep_here(tmp_path, "[5]")
    take_ledger(tmp_path)
    for file in (tmp_path / "cut/cells").glob("*/checkpoint.json"):
        file.unlink()
    sweep_here(tmp_path, "[5, 8]")
    assert take_ledger(tmp_path) == once(range(8))
    assert tables(tmp_path) == clean(tmp_path, "[5, 8]")


def test_what_failed_is_retried_from_where_it_was(tmp_path: Path) -> None:
    fails = "fails = 4\n"
    assert sweep_here(tmp_path, "[2, 5]", fails) == Count(completed=2, failed=2)
    assert take_ledger(tmp_path) == once(range(4))
    (tmp_path / "mended").touch()
    assert sweep_here(tmp_path, "[2, 5]", fails, retry_failed=True) == Count(completed=4)
    assert take_ledger(tmp_path) == once(range(3, 5))
    assert tables(tmp_path) == clean(tmp_path, "[2, 5]", fails)


def test_who_does_not_take_it_begins_anew(tmp_path: Path) -> None:
    for epochs in ("[2]", "[2, 4]"):
        sweep_here(tmp_path, epochs, "", "anew")
    assert take_ledger(tmp_path) == {(a, epoch): 2 if epoch < 2 else 1 for a in (1, 2) for epoch in range(4)}


def test_without_a_budget_axis_nothing_is_stored_before_the_end(tmp_path: Path) -> None:
    assert sweep_here(tmp_path, "", "", "whole") == Count(completed=2)
    assert (tmp_path / "ledger").read_text() == "1 0 0 True\n2 0 0 True\n"


def test_a_directory_in_which_nothing_was_put_is_taken_away(tmp_path: Path) -> None:
    sweep_here(tmp_path, "", "", "whole")
    assert [path.name for path in (tmp_path / "cut").iterdir() if "sweep" not in path.name] == []


# Epochs as they come.


@pytest.mark.slow
@pytest.mark.parametrize("backend", WORKERS)
def test_the_epochs_of_a_worker_that_died_are_kept_and_are_not_run_again(
    run: Run, tmp_path: Path, backend: str
) -> None:
    (tmp_path / "steady.py").write_bytes((HERE / "steady.py").read_bytes())
    (tmp_path / "g.toml").write_text(grid(tmp_path, "[2, 5]", "nap = 0.6\ndies = 3\n"))
    ended = run("sweep", "g.toml", "--out", "cut", "--backend", backend, "--jobs", "2")
    assert ended.returncode == 0, ended.stderr
    lines = [tuple(map(int, line.split())) for line in (tmp_path / "ledger").read_text().splitlines()]
    for a in (1, 2):
        assert [epoch for b, epoch, *_ in lines if a == b] == [0, 1, 2, 3, 3, 4]
        told = [resumed for b, _, resumed, _ in lines if a == b]
        assert told[:4] == [0] * 4
        assert told[4] == told[5] > 0  # stored before it died
    assert run("sweep", "g.toml", "--out", "clean", "--backend", "sequential", NAPS="0").returncode == 0
    assert tables(tmp_path) == tables(tmp_path, "clean")


@pytest.mark.slow
def test_killed_at_random_instants_no_stored_epoch_is_run_again(run: Run, tmp_path: Path) -> None:
    """Half of the kills hit the parent, half a worker, of a sweep whose trajectories last for seconds."""
    kills, chance = (60 if SOAK else 4), random.Random(f"{SEED} epochs")
    epochs, hits = 10 * kills, ["parent", "worker"] * (kills // 2)
    chance.shuffle(hits)
    print(f"GRIDRUN_SEED={SEED}")
    (tmp_path / "steady.py").write_bytes((HERE / "steady.py").read_bytes())
    (tmp_path / "g.toml").write_text(
        grid(tmp_path, f"[3, {epochs}]", "nap = 0.4\n") + f"[run]\nmax_attempts = {kills}\n"
    )
    how = ("sweep", "g.toml", "--out", "cut", "--jobs", "2", "--quiet")
    stored: dict[int, int] = {}
    sweep = spawn(tmp_path, *how)
    for hit in hits:
        before = len(read_ledger(tmp_path))
        wanted = before + chance.randint(10, 14)  # of two workers: two seconds and more
        wait_until(lambda wanted=wanted: len(read_ledger(tmp_path)) >= wanted)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.4))
        assert sweep.poll() is None
        if hit == "worker":
            os.kill(read_ledger(tmp_path)[-1][-1], signal.SIGKILL)
            continue
        sweep.kill()
        sweep.wait()
        wait_until_alone(tmp_path)
        stored, begun = stored_epochs(tmp_path / "cut"), len(read_ledger(tmp_path))
        sweep = spawn(tmp_path, *how)
        wait_until(lambda begun=begun: len(read_ledger(tmp_path)) >= begun + 2)  # type: ignore[misc]
        for a, epoch, resumed, _ in read_ledger(tmp_path)[begun:]:
            assert resumed >= stored.get(a, 0)
            assert epoch >= resumed
    assert sweep.wait(timeout=120) == 0
    assert max(stored.values(), default=0) > 0
    lines = read_ledger(tmp_path)
    ran = Counter((a, epoch) for a, epoch, *_ in lines)
    assert set(ran) == {(a, epoch) for a in (1, 2) for epoch in range(epochs)}
    assert sum(ran.values()) - len(ran) <= 2 * kills  # what was under way, of two workers
    assert run("sweep", "g.toml", "--out", "clean", "--backend", "sequential", NAPS="0").returncode == 0
    assert tables(tmp_path) == tables(tmp_path, "clean")


@pytest.mark.slow
def test_what_runs_in_the_parent_itself_is_stored_as_it_comes_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "steady.py").write_bytes((HERE / "steady.py").read_bytes())
    (tmp_path / "g.toml").write_text(grid(tmp_path, "[3, 20]", "nap = 0.3\n"))
    how = ("sweep", "g.toml", "--out", "cut", "--backend", "sequential")
    sweep = spawn(tmp_path, *how)
    wait_until(lambda: epochs_of_one(tmp_path / "cut") >= 6)
    sweep.kill()
    sweep.wait()
    stored, begun = stored_epochs(tmp_path / "cut")[1], len(read_ledger(tmp_path))
    with Store.read(tmp_path / "cut") as store:
        spec, identity = Spec.parse(store.grid_text(), ""), store.identity()
        (name, *_) = spec.grid.trajectory_ids(identity)
        assert store.progress()[name].status(3) == "completed"  # the smaller cell is done
    assert run(*how, NAPS="0").returncode == 0
    a, epoch, resumed, _ = read_ledger(tmp_path)[begun]
    assert (a, resumed) == (1, stored)
    assert epoch >= stored
    assert run("sweep", "g.toml", "--out", "clean", "--jobs", "2", NAPS="0").returncode == 0
    assert tables(tmp_path) == tables(tmp_path, "clean")


def test_a_store_that_fails_while_a_cell_runs_in_the_parent_is_no_fault_of_the_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "AFTER_S", 0.0)
    monkeypatch.setattr(Store, "save", full)
    with pytest.raises(EnvironmentFault, match="the disk is full"):
        sweep_here(tmp_path, "[2, 5]")
    monkeypatch.undo()
    assert sweep_here(tmp_path, "[2, 5]") == Count(completed=4)
    assert tables(tmp_path) == clean(tmp_path, "[2, 5]")


def full(_store: Store, _outcomes: Sequence[Outcome]) -> None:
    raise EnvironmentFault("the disk is full")


def read_ledger(folder: Path) -> list[tuple[int, ...]]:
    """Each epoch that was begun: a, the epoch from 0, resume_from, the process."""
    path = folder / "ledger"
    lines = path.read_text().splitlines() if path.exists() else []
    return [tuple(map(int, line.split())) for line in lines]


def stored_epochs(directory: Path) -> dict[int, int]:
    """How many epochs are stored, by a."""
    with Store.read(directory) as store:
        spec, known = Spec.parse(store.grid_text(), ""), store.progress()
        names = spec.grid.trajectory_ids(store.identity())
        return {a: known[name].epochs for a, name in zip((1, 2), names, strict=True) if name in known}


@pytest.mark.slow
def test_cnn_core_killed_amid_its_epochs_goes_on_to_the_bits_of_a_clean_run(run: Run, tmp_path: Path) -> None:
    """tests/cnn_core/test_resume.py counts the epochs that are run."""
    epochs = 60
    (tmp_path / "g.toml").write_text(
        '[sweep]\nname = "t"\ntrain = "cnn_core:train"\nmetric = "accuracy"\nbudget = "epochs"\n'
        "[fixed]\nbatch_size = 1\nconv_channels = [32, 64]\ntrain_size = 797\n"
        f"[grid]\nlearning_rate = [0.01]\nepochs = [2, {epochs}]\n"
    )
    chance = random.Random(f"{SEED} cnn_core")
    print(f"GRIDRUN_SEED={SEED}")
    stored = 0
    for _ in range(2):
        sweep = spawn(tmp_path, "sweep", "g.toml", "--out", "cut", "--jobs", "1")
        wanted = stored + chance.randint(1, 3)
        wait_until(lambda wanted=wanted: epochs_of_one(tmp_path / "cut") >= wanted)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.5))
        sweep.kill()
        sweep.wait()
        wait_until_alone(tmp_path)
        stored = epochs_of_one(tmp_path / "cut")
    assert stored < epochs
    assert [path.name for path in tmp_path.glob("cut/cells/*/*")] == ["training.npz"]
    for out, backend in (("cut", "loky"), ("clean", "sequential")):
        ended = run("sweep", "g.toml", "--out", out, "--backend", backend)
        assert ended.returncode == 0, ended.stderr
    assert tables(tmp_path) == tables(tmp_path, "clean")


def epochs_of_one(directory: Path) -> int:
    """How many epochs of its only trajectory a sweep has stored."""
    try:
        with Store.read(directory) as store:
            return max((progress.epochs for progress in store.progress().values()), default=0)
    except InputError:  # it has not begun
        return 0
