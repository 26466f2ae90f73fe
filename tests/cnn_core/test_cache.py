"""Compiled kernels that are kept: a damaged file, or a full disk, costs a compilation and no more."""

import contextlib
import os
import random
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cnn_core.kernels import cache

DAMAGES = 5000 if os.environ.get("GRIDRUN_SOAK") else 200


def double(x: float) -> float:
    return 2 * x


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "kernels"
    place.mkdir()
    monkeypatch.setattr(cache, "folder", lambda: place)
    return place


def hits() -> int:
    """How often the function was found, by what stands for another process."""
    compiled = cache.entry(double)
    assert compiled(3.0) == 6.0
    return sum(compiled.stats.cache_hits.values())


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_was_compiled_is_found_again(folder: Path) -> None:
    assert hits() == 0
    assert len(files(folder)) == 2
    assert hits() == 1


@pytest.mark.parametrize("how", ["cut", "empty", "bits", "gone"])
@pytest.mark.parametrize("which", [0, 1], ids=["code", "index"])
def test_a_damaged_file_is_made_anew(folder: Path, which: int, how: str) -> None:
    hits()
    file = files(folder)[which]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    damaged = {"cut": content[: len(content) // 2], "empty": b"", "bits": content}
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(damaged[how])
    assert hits() == 0
    assert hits() == 1


def test_whatever_happens_to_a_file_it_holds_what_was_put_there_or_nothing(tmp_path: Path) -> None:
    value = {"code": random.Random(0).randbytes(2000), "names": ["a", "b"]}
    kept = cache._SealedFile(str(tmp_path), "f", "stamp")
    kept.save("key", value)
    assert kept.load("key") == value
    sound = {path: path.read_bytes() for path in files(tmp_path)}
    for number in range(DAMAGES):
        chance = random.Random(number)
        path, before = chance.choice(list(sound.items()))
        content = bytearray(before)
        if chance.random() < 0.3:
            del content[chance.randrange(len(content)) :]
        else:
            for _ in range(chance.choice([1, 1, 1, 100])):
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        assert kept.load("key") == (value if bytes(content) == before else None)
        path.write_bytes(before)


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow: what a full disk is to whoever writes; pytest too, if its output is a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_on_a_full_disk_functions_are_compiled_all_the_same() -> None:
    with full_disk():
        found = [hits(), hits()]
    assert found == [0, 0]


def test_without_a_folder_functions_are_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(cache, "folder", refuse)
    compiled = cache.entry(double)
    assert np.isclose(compiled(3.0), 6.0)
