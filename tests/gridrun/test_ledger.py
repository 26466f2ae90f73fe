"""What is kept of outcomes."""

import sqlite3
from pathlib import Path

from gridrun.cell import Identity
from gridrun.ledger import Ledger
from gridrun.outcome import Outcome
from gridrun.store import Store


def outcome(name: str, epochs: int, *, underway: bool = False) -> Outcome:
    history = [{"accuracy": k / 10} for k in range(epochs)]
    return Outcome(name, {"a": 1}, history, None, 0.1, [0.1 * k for k in range(epochs)], underway=underway)


def test_a_history_too_large_for_the_store_fails_its_trajectory_and_no_other(tmp_path: Path) -> None:
    with Store.write(tmp_path) as store:
        store.begin("text", Identity("m:f", "1", ((None, 2),)), {}, {})
        store._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 5000)  # of 1 GB
        ledger = Ledger(store, {}, resumes=False)
        large = [outcome("large", 400), outcome("long", 400, underway=True)]
        told = ledger.commit([outcome("one", 3), *large, outcome("two", 3)])
        assert [(one.trajectory, len(one.history)) for one in told] == [("one", 3), ("large", 0), ("two", 3)]
        ledger.keep(outcome("long", 400, underway=True))
        failures = dict(store.failures())
        assert set(store.progress()) == {"one", "large", "two"}
        assert failures.keys() == {"large"}
        assert failures["large"].reason.startswith("its 400 epochs are more than the 1 GB")
