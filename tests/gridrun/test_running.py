"""What a running trajectory has, in the test's own process."""

import os
import subprocess
from pathlib import Path

import pytest

from gridrun.dispatch.pool import Pool
from gridrun.errors import InputError
from gridrun.signals import Stop
from gridrun.spec import Spec
from gridrun.surroundings import Surroundings
from gridrun.threads import gpu_limits
from tests.gridrun.test_dispatch import JOB, Obedient, ObedientSlot

HEAD = '[sweep]\nname = "t"\ntrain = "m:train"\nmetric = "score"\n[grid]\na = [1]\n[run]\n'


@pytest.mark.parametrize("found", ["0", "[]", "[-1]", "[0.0]", "[true]", '["0"]', '"0,1"'])
def test_gpus_are_a_list_of_numbers_or_refused(tmp_path: Path, found: str) -> None:
    (tmp_path / "g.toml").write_text(f"{HEAD}gpus = {found}\n")
    with pytest.raises(InputError, match=r"g.toml: \[run\] gpus must be .*; write gpus = \[0, 1\]"):
        Spec.read(tmp_path / "g.toml")


def test_gpus_come_with_a_worker_each_unless_jobs_says_otherwise() -> None:
    run = Spec.parse(f"{HEAD}gpus = [3, 5]\n", "g.toml").run
    assert (run.gpus, run.jobs) == ((3, 5), 2)
    assert Spec.parse(f"{HEAD}gpus = [3, 5]\njobs = 4\n", "g.toml").run.jobs == 4
    assert [gpu_limits(run.gpus, slot)["CUDA_VISIBLE_DEVICES"] for slot in range(4)] == ["3", "5", "3", "5"]
    assert gpu_limits((), 0) == {}


def test_a_slot_gets_the_number_of_one_that_is_gone() -> None:
    pool = Pool(JOB, Obedient([]), 3, Stop(), lambda _: None)
    slots = [ObedientSlot(Obedient([]), "") for _ in range(4)]
    for slot in slots[:3]:
        pool._take_on(slot)
    slots[1].gone = True
    late = ObedientSlot(Obedient([]), "")
    pool._take_on(late)
    pool._take_on(slots[3])
    assert [slot.number for slot in (*slots, late)] == [0, 1, 2, 3, 1]


def test_what_trajectories_are_told_stays_between_them_and_goes_with_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOLD_BEFORE", "mine")  # a sweep within a cell of another
    with Surroundings() as surroundings:
        surroundings.tell(b"TOLD_BEFORE", b"theirs")
        surroundings.tell(b"TOLD", b"\xff")
        os.environ["ADDED"] = "by a cell"
        surroundings.restore()
        assert os.environb[b"TOLD"] == b"\xff"
        assert os.environ["TOLD_BEFORE"] == "theirs"
        assert "ADDED" not in os.environ
        del os.environ["TOLD"]
    assert "TOLD" not in os.environ
    assert os.environ["TOLD_BEFORE"] == "mine"


def test_what_trajectories_are_told_reaches_what_they_start_whatever_they_did_to_the_environment() -> None:
    def started() -> str:
        return subprocess.run(["sh", "-c", "echo $TOLD"], capture_output=True, text=True).stdout.strip()

    path = os.environ["PATH"]
    with Surroundings() as surroundings:
        for value, harm in ((b"1", "clear"), (b"22", "delete"), (b"3" * 1000, "set"), (b"4", "")):
            surroundings.tell(b"TOLD", value)
            assert started() == value.decode()
            if harm == "clear":
                os.environ.clear()
            elif harm == "delete":
                del os.environ["TOLD"]
            elif harm == "set":
                os.environ["TOLD"] = "mine"
            surroundings.restore()
            assert started() == value.decode()
    assert started() == ""
    assert os.environ["PATH"] == path
