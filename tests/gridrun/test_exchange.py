"""What changes places does it at once, and it is told where it can't."""

import threading
from pathlib import Path

import pytest

from gridrun.exchange import exchange


def test_two_directories_change_places_and_a_reader_always_finds_one(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        path.mkdir()
        (path / path.name).touch()
    if not exchange(one, other):
        pytest.skip("this file system can't")
    assert (one / "other").exists()
    assert (other / "one").exists()
    ended, missed = threading.Event(), list[int]()

    def look() -> None:
        while not ended.is_set():
            missed.extend([1] * (not one.exists()))

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(500):
        assert exchange(one, other)
    ended.set()
    reader.join()
    assert not missed


def test_where_there_is_nothing_to_exchange_with_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    assert not exchange(tmp_path / "one", tmp_path / "other")
    assert (tmp_path / "one").is_dir()
