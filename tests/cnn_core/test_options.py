"""Augmentation, ensembles, averaged weights, further metrics: exact under the budget axis."""

import inspect
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnn_core
from cnn_core import checkpoint, compilation, datasets, ensemble, memory, scores
from cnn_core.architecture import build_layers, initial_parameters, initial_statistics
from cnn_core.average import Average
from cnn_core.config import Config
from cnn_core.fuse import fuse

SMALL: dict[str, Any] = {"train_size": 60, "test_size": 80, "batch_size": 7}
AUGMENT = {"augment_shift": 2, "augment_rotate": 10.0, "augment_scale": 0.1, "augment_noise": 0.05}
METRICS = ["top3_accuracy", "macro_f1", "calibration_error"]
OPTIONS: list[dict[str, Any]] = [
    {**AUGMENT, "mixup": 0.2},
    {"average": 2, "optimizer": "adam", "learning_rate": 0.002},
    {"average": 0.7, "momentum": 0.9},
    {"members": 3, "average": 3, "optimizer": "rmsprop", "learning_rate": 0.001, "metrics": METRICS},
    {"members": 2, **AUGMENT, "norm": "group", "activation": "tanh"},
]


def comparable(**params: Any) -> list[dict[str, Any]]:
    """The epochs of a training, in values that == compares."""
    return [
        {name: np.asarray(value).tolist() for name, value in metrics.items()}
        for metrics in cnn_core.train(**params)
    ]


@pytest.fixture
def after_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "AFTER_S", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 0)


@pytest.mark.usefixtures("after_each_epoch")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_fewer_epochs_are_the_beginning_of_more_interrupted_or_not(
    options: dict[str, Any], tmp_path: Path
) -> None:
    whole = comparable(**SMALL, **options, epochs=4)
    assert all(math.isfinite(metrics["loss"]) for metrics in whole)
    for epochs in (1, 2):
        assert comparable(**SMALL, **options, epochs=epochs, output_dir=str(tmp_path)) == whole[:epochs]
    rest = comparable(**SMALL, **options, epochs=4, output_dir=str(tmp_path), resume_from=2)
    assert rest == whole[2:]


@pytest.mark.parametrize(
    "options", [{"mixup": 0.3}, *({name: value} for name, value in AUGMENT.items())], ids=str
)
def test_each_augmentation_changes_training_and_with_the_seed_again(options: dict[str, Any]) -> None:
    plain, changed, other = (
        [metrics["train_loss"] for metrics in cnn_core.train(**SMALL, **how, epochs=2)]
        for how in ({}, options, {**options, "seed": 1})
    )
    assert len({plain[0], changed[0], other[0]}) == 3


def test_an_ensemble_is_the_mean_of_the_probabilities_of_its_members(tmp_path: Path) -> None:
    model = cnn_core.fit(**SMALL, epochs=2, members=3, metrics=METRICS)
    alone = cnn_core.fit(**SMALL, epochs=2)
    size = alone.parameters.size
    assert model.parameters[:size].tobytes() == alone.parameters.tobytes()  # the first member
    images = datasets.load(
        "digits", data_dir=None, train_size=60, test_size=80, data_seed=0, split="test", validation_size=None
    )
    parts = zip(np.split(model.parameters, 3), np.split(model.statistics, 3), strict=True)
    each = [
        cnn_core.Model(alone.config, alone.shape, 10, parameters, statistics).logits(images.test_x)
        for parameters, statistics in parts
    ]
    assert len({logits.tobytes() for logits in each}) == 3
    mean = np.mean([scores.softmax(logits) for logits in each], axis=0)
    found = scores.softmax(model.logits(images.test_x))
    np.testing.assert_allclose(found, mean, rtol=1e-4, atol=1e-7)
    last = model.history[-1]
    assert last["accuracy"] == (found.argmax(axis=1) == images.test_y).mean()
    for name in METRICS:
        assert last[name] == pytest.approx(scores.SCORES[name](mean, images.test_y), rel=1e-4)
    model.save(tmp_path / "three.npz")
    again = cnn_core.load(tmp_path / "three.npz")
    np.testing.assert_array_equal(again.logits(images.test_x), model.logits(images.test_x))


def test_one_networks_logits_pass_as_they_are_and_sure_ones_overflow_nothing() -> None:
    logits = np.array([[1000.0, -1000.0], [3.0, 4.0]], np.float32)
    assert ensemble.combine([logits]) is logits
    both = ensemble.combine([logits, logits[:, ::-1]])
    np.testing.assert_allclose(scores.softmax(both), 0.5, rtol=1e-6)


def test_an_ensemble_with_a_member_that_diverged_has_diverged() -> None:
    found = list(
        cnn_core.train(**SMALL, learning_rate=1e20, norm="none", members=2, epochs=2, metrics=METRICS)
    )
    assert all(math.isnan(metrics[name]) for metrics in found for name in ("accuracy", "loss", *METRICS))
    assert all("correct" not in metrics for metrics in found)


def test_averaged_weights_are_the_mean_of_those_of_the_epochs() -> None:
    each = [cnn_core.fit(**SMALL, epochs=epochs) for epochs in (1, 2, 3)]
    for name in ("parameters", "statistics"):
        one, two, three = (getattr(model, name) for model in each)
        for average, expected in (
            (2, (two + three) / 2),
            (5, (one + two + three) / 3),
            (0.5, (one + 2 * two + 4 * three) / 7),
            (1, three),
        ):
            found = getattr(cnn_core.fit(**SMALL, epochs=3, average=average), name)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_training_goes_on_from_the_last_weights_not_from_their_mean() -> None:
    losses = [
        [metrics["train_loss"] for metrics in cnn_core.train(**SMALL, epochs=3, average=average)]
        for average in (1, 3, 0.5)
    ]
    assert losses[0] == losses[1] == losses[2]


def test_a_mean_over_epochs_forgets_the_oldest_first() -> None:
    average = Average(2, 1)
    for epoch, number in enumerate([1.0, 2.0, 4.0, 8.0]):
        average.add(epoch, np.full(1, number, np.float32))
    assert average.mean(4, np.zeros(1, np.float32)) == 6
    assert average.kept.shape == (2, 1)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"members": 0}, "members must be a whole number from 1, found 0"),
        ({"average": 0}, "average must be a whole number from 1 or between 0 and 1, found 0; write 3"),
        ({"average": 2.5}, "average must be a whole number from 1 or between 0 and 1, found 2.5"),
        ({"augment_scale": 1}, "augment_scale must be in [0, 1), found 1"),
        ({"augment_rotate": -1}, "augment_rotate must be from 0 to 180, found -1"),
        ({"mixup": math.inf}, "mixup must be a number from 0, found inf"),
        ({"metrics": "macro_f1"}, "metrics must be a list of some of top3_accuracy, macro_f1, calibration_"),
        ({"metrics": ["f1"]}, "found ['f1']; write [\"macro_f1\"]"),
        ({"metrics": [["macro_f1"]]}, "metrics must be a list of some of"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_one_line(params: dict[str, Any], words: str) -> None:
    with pytest.raises(cnn_core.ConfigError) as refusal:
        cnn_core.train.validate(**params)  # type: ignore[attr-defined]
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_takes_more_memory_than_there_is_is_refused_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 2.0**30)
    wide: dict[str, Any] = {"conv_channels": [1000], "batch_size": 600}
    for refused in (cnn_core.train.validate, cnn_core.train, cnn_core.fit):  # type: ignore[attr-defined]
        with pytest.raises(cnn_core.ConfigError, match=r"at least 1\.6 GiB of memory, here are 1\.0; write"):
            refused(**wide)
    wide["batch_size"] = 120
    cnn_core.train.validate(**wide)  # type: ignore[attr-defined]
    cnn_core.train.validate(**wide, norm="group")  # type: ignore[attr-defined]
    tanh = {"activation": "tanh", "members": 2}
    for more in ({"members": 20}, tanh, {"optimizer": "adam", "average": 200}):
        with pytest.raises(cnn_core.ConfigError, match="GiB of memory"):
            cnn_core.train.validate(**wide, **more)  # type: ignore[attr-defined]


@pytest.mark.parametrize("batch", [50, 600])
@pytest.mark.parametrize("channels", [[6, 16], [64], [20, 50, 20]], ids=str)
def test_the_engine_takes_no_less_memory_than_is_counted(batch: int, channels: list[int]) -> None:
    config = Config(conv_channels=channels, kernel_size=3, padding=1, batch_size=batch)  # type: ignore[arg-type]
    layers = build_layers(config, (1, 28, 28), 10)
    parameters = initial_parameters(layers, (1, 28, 28), "glorot", np.random.default_rng(0))
    program = fuse(layers, (1, 28, 28))
    assert program
    state = compilation.load_engine().allocate(
        program, parameters, initial_statistics(layers, (1, 28, 28)), batch
    )
    taken = state.memory.nbytes + 2 * parameters.nbytes
    assert taken / 10 < memory.needed_bytes(config, layers, (1, 28, 28)) <= taken


def test_memory_is_that_of_the_container_or_the_process_if_that_is_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = memory.available_bytes()
    assert 2**28 < machine < 2**50
    monkeypatch.setattr(memory, "LIMIT", tmp_path / "memory.max")
    for text, expected in (("max", None), ("1000000\n", 1e6)):
        (tmp_path / "memory.max").write_text(text)
        assert memory.available_bytes() == (expected or pytest.approx(memory.available_bytes()))
    monkeypatch.setattr(memory.resource, "getrlimit", lambda _: (1000, -1))
    assert memory.available_bytes() == 1000


def test_fit_tells_the_metrics_that_train_yields() -> None:
    model = cnn_core.fit(**SMALL, epochs=2)
    np.testing.assert_equal(list(model.history), list(cnn_core.train(**SMALL, epochs=2)))


def test_train_and_fit_show_every_hyperparameter_and_take_no_other() -> None:
    shown = {name: p.default for name, p in inspect.signature(cnn_core.train).parameters.items()}
    assert {name: getattr(Config(), name) for name in Config.__dataclass_fields__} | {
        "output_dir": None, "resume_from": 0, "images": None
    } == shown  # fmt: skip
    assert set(inspect.signature(cnn_core.fit).parameters) == {*Config.__dataclass_fields__, "images"}
    for function in (cnn_core.train, cnn_core.fit):
        with pytest.raises(TypeError, match="unexpected keyword argument 'lr'"):
            function(lr=0.1)
    with pytest.raises(TypeError, match="'output_dir'"):
        cnn_core.fit(output_dir="x")
    assert json.dumps(shown)
