"""Training that is interrupted and goes on is the same training, bit for bit."""

import json
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnn_core
from cnn_core import ConfigError, checkpoint, compilation, loop
from cnn_core.checkpoint import Keeper

SMALL: dict[str, Any] = {
    **{"learning_rate": 0.05, "dropout_rate": 0.3, "batch_size": 7},
    **{"train_size": 50, "test_size": 40},
}


def comparable(**params: Any) -> Iterator[dict[str, Any]]:
    """The epochs of a training, in values that == compares."""
    for metrics in cnn_core.train(**params):
        yield {name: np.asarray(value).tolist() for name, value in metrics.items()}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rates of the epochs that were really run; a checkpoint after each of them."""
    rates = list[float]()
    for runner in (compilation.load_engine(), loop):
        train_epoch: Any = runner.train_epoch

        def note(*args: Any, train_epoch: Any = train_epoch) -> float:
            rates.append(args[5])
            return float(train_epoch(*args))

        monkeypatch.setattr(runner, "train_epoch", note)
    monkeypatch.setattr(checkpoint, "AFTER_S", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 0)
    return rates


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("seen", [0, 1, 3])
def test_it_goes_on_where_it_was_to_the_same_bits(
    trained: list[float], tmp_path: Path, norm: str, seen: int
) -> None:
    whole = list(comparable(**SMALL, norm=norm, epochs=6))
    trained.clear()
    first = list(islice(comparable(**SMALL, norm=norm, epochs=3, output_dir=str(tmp_path)), seen))
    rest = list(comparable(**SMALL, norm=norm, epochs=6, output_dir=str(tmp_path), resume_from=len(first)))
    assert first + rest == whole
    assert len(trained) == 6
    if seen:
        assert [path.name for path in tmp_path.iterdir()] == ["training.npz"]


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 0.9},
        {"optimizer": "adam", "clip_norm": 1.0},
        {"optimizer": "rmsprop", "activation": "tanh"},
        {"optimizer": "adamw", "weight_decay": 0.1, "norm": "group", "dropout_at": "all"},
        {"momentum": 0.9, "nesterov": True, "norm_at": "all", "schedule": "cosine", "schedule_epochs": 3},
    ],
    ids=str,
)
def test_what_an_optimiser_keeps_goes_on_to_the_same_bits(
    trained: list[float], tmp_path: Path, options: dict[str, Any]
) -> None:
    how = {**SMALL, **options, "learning_rate": 0.01}
    whole = list(comparable(**how, epochs=4))
    first = list(comparable(**how, epochs=2, output_dir=str(tmp_path)))
    trained.clear()
    rest = list(comparable(**how, epochs=4, output_dir=str(tmp_path), resume_from=2))
    assert first + rest == whole
    assert len(trained) == 2


def test_a_checkpoint_without_what_its_optimiser_keeps_is_none(trained: list[float], tmp_path: Path) -> None:
    how = {**SMALL, "momentum": 0.9, "epochs": 2}
    whole = list(comparable(**how, output_dir=str(tmp_path)))
    checkpoint.write(tmp_path / "training.npz", *checkpoint.read(tmp_path / "training.npz"))
    trained.clear()
    assert list(comparable(**how, output_dir=str(tmp_path))) == whole
    assert len(trained) == 2


def test_a_checkpoint_that_is_ahead_of_behind_or_missing_gives_the_same_epochs(
    trained: list[float], tmp_path: Path
) -> None:
    whole = list(comparable(**SMALL, epochs=4))
    trained.clear()
    for kept, resume_from, ran in ((3, 1, 1), (1, 3, 3), (0, 2, 4)):
        folder = tmp_path / str(kept)
        if kept:
            list(comparable(**SMALL, epochs=kept, output_dir=str(folder)))
        trained.clear()
        found = list(comparable(**SMALL, epochs=4, output_dir=str(folder), resume_from=resume_from))
        assert (found, len(trained)) == (whole[resume_from:], ran)


def test_a_checkpoint_from_before_a_hyperparameter_came_counts_as_its_default(
    trained: list[float], tmp_path: Path
) -> None:
    whole = list(comparable(**SMALL, epochs=3))
    list(comparable(**SMALL, epochs=2, output_dir=str(tmp_path)))
    path = tmp_path / "training.npz"
    text, parameters, statistics = checkpoint.read(path)
    meta = json.loads(text)
    for name in (
        "folds",
        "fold",
        "optimizer",
        "momentum",
        "beta2",
        "hidden",
        "activation",
        "label_smoothing",
    ):
        del meta["what"][name]
    checkpoint.write(path, json.dumps(meta), parameters, statistics)
    trained.clear()
    assert list(comparable(**SMALL, epochs=3, output_dir=str(tmp_path), resume_from=2)) == whole[2:]
    assert len(trained) == 1
    with pytest.raises(ConfigError, match="training with other fold, folds, split; name another output_dir"):
        list(comparable(**SMALL, split="folds", fold=0, folds=2, epochs=3, output_dir=str(tmp_path)))


def test_a_shorter_run_takes_what_it_finds_of_a_longer_one(trained: list[float], tmp_path: Path) -> None:
    whole = list(comparable(**SMALL, epochs=4, output_dir=str(tmp_path)))
    trained.clear()
    assert list(comparable(**SMALL, epochs=2, output_dir=str(tmp_path))) == whole[:2]
    assert trained == []


def test_a_diverged_run_stays_diverged(trained: list[float], tmp_path: Path) -> None:
    wild = {**SMALL, "learning_rate": 1e20, "norm": "none"}
    whole = list(comparable(**wild, epochs=5))
    assert math.isnan(whole[2]["loss"])
    first = list(comparable(**wild, epochs=3, output_dir=str(tmp_path)))
    trained.clear()
    rest = list(comparable(**wild, epochs=5, output_dir=str(tmp_path), resume_from=3))
    assert repr(first + rest) == repr(whole)
    assert trained == []


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", None])
def test_a_damaged_checkpoint_is_none(trained: list[float], tmp_path: Path, damage: bytes | None) -> None:
    whole = list(comparable(**SMALL, epochs=2, output_dir=str(tmp_path)))
    file = tmp_path / "training.npz"
    file.write_bytes(file.read_bytes()[:-100] if damage is None else damage)
    trained.clear()
    assert list(comparable(**SMALL, epochs=2, output_dir=str(tmp_path))) == whole
    assert len(trained) == 2


def test_a_checkpoint_of_other_hyperparameters_is_refused_and_left_alone(
    trained: list[float], tmp_path: Path
) -> None:
    list(comparable(**SMALL, epochs=2, output_dir=str(tmp_path)))
    before = (tmp_path / "training.npz").read_bytes()
    other = {**SMALL, "batch_size": 8, "dropout_rate": 0.1}
    with pytest.raises(ConfigError, match="with other batch_size, dropout_rate; name another output_dir"):
        list(comparable(**other, epochs=2, output_dir=str(tmp_path)))
    assert (tmp_path / "training.npz").read_bytes() == before
    assert len(trained) == 2


def test_a_quick_run_writes_nothing(tmp_path: Path) -> None:
    list(comparable(**SMALL, epochs=2, output_dir=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [-1, 1.0, True, "1"])
def test_resume_from_is_a_number_of_epochs(value: Any) -> None:
    with pytest.raises(ConfigError, match="resume_from must be a whole number from 0"):
        cnn_core.train(**SMALL, resume_from=value)


def test_a_slow_disk_gets_fewer_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    written: list[float] = []

    def write(*_: object, **__: object) -> None:
        written.append(now[0])
        now[0] += 2.0

    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint, "write", write)
    keeper = Keeper(tmp_path, "1", cnn_core.Config())
    keeper.begin()
    for _ in range(200):
        now[0] += 0.5
        keeper.keep([], *[np.zeros(1, np.float32)] * 3)
    assert written == [1.0, 43.0, 85.0]
