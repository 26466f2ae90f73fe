"""How many threads a worker's libraries get."""

import pytest

from gridrun.threads import NAMES, count_threads, thread_limits


@pytest.mark.parametrize(
    ("asked", "said", "threads"),
    [
        (None, None, 1), (None, "4", 4), (None, " 4,2", 4), (2, "4", 2), (2, None, 2),
        (None, "", 1), (None, "0", 1), (None, "all", 1), (None, "-3", 1), (None, "\u0663", 1),
        (None, "9" * 20, 1),
    ],
)  # fmt: skip
def test_what_is_asked_for_comes_first_then_the_users_own_then_one(
    asked: int | None, said: str | None, threads: int
) -> None:
    assert count_threads(asked, {} if said is None else {"OMP_NUM_THREADS": said}) == threads


def test_every_library_is_held_to_them() -> None:
    assert thread_limits(3) == dict.fromkeys(NAMES, "3")
