"""What two processes must have in common for their results to be comparable."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from gridrun.dispatch.admission import Admission
from gridrun.dispatch.pool import Event
from gridrun.environment import compare, describe_process, digest, source_hashes
from gridrun.errors import EnvironmentFault
from gridrun.job import Job
from gridrun.outcome import Task
from gridrun.surroundings import Surroundings
from gridrun.trainers.function import FunctionSettings
from gridrun.worker import describe, run

SOURCE = """
import beside_it
def train(*, a):
    return {"accuracy": a}
train.fingerprint = lambda *, a: f"data of {a}"
"""


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    """A train function of two files in a directory of its own."""
    name = f"trained_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    (tmp_path / "beside_it.py").write_text("x = 1\n")
    importlib.invalidate_caches()
    yield Job(FunctionSettings(f"{name}:train"), (str(tmp_path),), "accuracy", None, None, {"a": 1})
    sys.path.remove(str(tmp_path))
    for module in (name, "beside_it"):
        sys.modules.pop(module, None)


def test_a_process_is_described_by_versions_by_its_code_and_by_its_data(job: Job, tmp_path: Path) -> None:
    before = describe(job)
    name = job.trainer.name.partition(":")[0]
    assert {"python", "numpy", "joblib", "gridrun", f"code of {name}", "code of beside_it"} <= before.keys()
    assert "code of gridrun.worker" in before
    assert "code of numpy" not in before  # its version says enough
    assert before["fingerprint"] == "data of 1"
    assert compare(before, describe(job)) == ""
    (tmp_path / "beside_it.py").write_text("x = 2\n")
    assert compare(before, describe_process(job.trainer.name, job.path)) == "the code of beside_it differs"


def test_what_only_one_of_two_processes_has_loaded_is_no_difference() -> None:
    here = {"python": "3.11", "rich": "15", "torch": "2.1", "a": "1", "b": "1"}
    assert compare(here, {"python": "3.11", "dask": "1"}) == ""
    assert compare(here, {"python": "3.12", "torch": "2.2"}) == (
        "python is 3.12 there and 3.11 here, torch is 2.2 there and 2.1 here"
    )
    assert compare(here, dict.fromkeys(here, "0")).endswith(" and 2 more")


def test_refusals_are_told_while_others_work_and_end_the_sweep_when_none_does() -> None:
    events: SimpleQueue[Event] = SimpleQueue()
    admission = Admission({"numpy": "2"}, events)
    assert not admission.admit("one", {"numpy": "1"})
    assert not admission.admit("two", ModuleNotFoundError("No module named\n'toy'"))
    admission.check(more=True)
    with pytest.raises(
        EnvironmentFault, match=r"worker one is refused.*numpy is 1 there and 2 here.*\(1 more are\)"
    ):
        admission.check(more=False)
    assert events.empty()
    assert admission.admit("three", {"numpy": "2"})
    told = [str(events.get_nowait()) for _ in range(2)]
    assert "worker two is refused" in told[1]
    assert "\n" not in told[1]
    admission.check(more=False)
    assert not admission.admit("four", {"numpy": "3"})
    assert "worker four" in str(events.get_nowait())


def test_a_train_function_that_has_gone_since_fails_the_cell_with_its_reason() -> None:
    gone = Job(FunctionSettings("no_such_module:train"), (), "accuracy", None, None)
    [outcome] = run(gone, [Task("t", {"a": 1}, None)], Surroundings)
    assert outcome.failure is not None
    assert outcome.failure.reason == (
        "importing no_such_module:train raised ModuleNotFoundError: No module named 'no_such_module'"
    )


TRAIN = """
import os, math, first
import pack.inner as other
from pack.deep import (  # one of them is a module
    leaf,
    nothing,
)
from \\
    second import x

def train(**params):
    'import text, which is no statement'
    import third; from gridrun import errors
"""
FILES = {
    "entry.py": TRAIN,
    "first.py": "from __future__ import annotations",
    "second.py": "x = 1",
    "third.py": "import entry  # again",
    "unused.py": "",
    "text.py": "",
    "pack/__init__.py": "",
    "pack/inner.py": "from . import sibling\nfrom .deep.leaf import y",
    "pack/sibling.py": "def broken(:",
    "pack/unused.py": "",
    "pack/deep/__init__.py": "",
    "pack/deep/leaf.py": "from .. import up\nfrom ..inner import x",
    "pack/up.py": "",
}


def test_the_sources_of_a_train_function_are_what_it_imports_at_any_time(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    hashes = source_hashes("entry:train", [str(tmp_path)])
    expected = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in FILES}
    assert list(hashes) == sorted(expected - {"unused", "text", "pack.unused"})
    assert len(digest(hashes)) == 8
    for name in FILES:
        (tmp_path / name).write_text(FILES[name] + "\n")
        changed = digest(source_hashes("entry:train", [str(tmp_path)])) != digest(hashes)
        assert changed == ("unused" not in name and name != "text.py"), name
        (tmp_path / name).write_text(FILES[name])


def test_a_function_without_sources_has_no_digest() -> None:
    assert source_hashes("math:sin", ["/nowhere"]) == {}
    assert digest({}) == ""
