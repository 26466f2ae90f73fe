"""A trained network, looked into."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

import cnn_core
from cnn_core import ConfigError, Model, pictures

RNG = np.random.default_rng(0)
X = RNG.random((40, 1, 10, 12), np.float32)
Y = np.arange(40) % 4


def fitted(**params: Any) -> Model:
    own = cnn_core.from_arrays(X, Y, X, Y)
    return cnn_core.fit(
        images=own, **{"epochs": 1, "conv_channels": [3, 4], "kernel_size": 3, "padding": 1, **params}
    )


@pytest.fixture(scope="module")
def model() -> Model:
    return fitted()


def test_probabilities_are_those_of_the_logits(model: Model) -> None:
    found = model.predict_proba(X)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(np.diff(np.log(found)), np.diff(model.logits(X)), atol=1e-4)
    np.testing.assert_array_equal(found.argmax(axis=1), model.predict(X))


def test_an_evaluation_is_scikit_learns_class_by_class(model: Model) -> None:
    found, answers = model.evaluate(X, Y), model.predict(X)
    np.testing.assert_array_equal(found.confusion, confusion_matrix(Y, answers, labels=range(4)))
    expected = precision_recall_fscore_support(Y, answers, labels=range(4), zero_division=np.nan)
    f1 = precision_recall_fscore_support(Y, answers, labels=range(4), zero_division=0)[2]
    for ours, theirs in ((found.precision, expected[0]), (found.recall, expected[1]), (found.f1, f1)):
        np.testing.assert_allclose(ours, theirs)
    np.testing.assert_array_equal(found.count, [10] * 4)
    assert found.accuracy == found.correct.mean() == (answers == Y).mean()
    assert found.scores["macro_f1"] == pytest.approx(np.nanmean(found.f1))
    assert len(str(found).splitlines()) == 6


def test_layers_and_what_they_give_go_by_name(model: Model) -> None:
    assert [*model.layers] == [
        "conv2d_1", "batch_norm2d_1", "relu_1", "dropout_1", "max_pool2d_1",
        "conv2d_2", "relu_2", "max_pool2d_2", "flatten_1", "linear_1",
    ]  # fmt: skip
    assert model.activations(X, "conv2d_1").shape == (40, 3, 10, 12)
    assert model.activations(X, "relu_1").min() == 0
    np.testing.assert_allclose(model.activations(X, "linear_1"), model.logits(X), atol=1e-4)
    assert model.parameters_of("conv2d_2")["weight"].shape == (4, 3, 3, 3)
    with pytest.raises(ConfigError, match=r"layer must be one of conv2d_1, .*, found 'relu'"):
        model.activations(X, "relu")


def test_members_are_looked_into_one_by_one() -> None:
    model = fitted(members=2)
    each = [model.activations(X, "linear_1", member=member) for member in range(2)]
    mean = np.mean([np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in each], axis=0)
    np.testing.assert_allclose(model.predict_proba(X), mean, atol=1e-4)
    with pytest.raises(ConfigError, match="member must be from 0 to 1, found 2"):
        model.network(member=2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (Y[:3], r"labels must be 40 whole numbers, found int64 \(3,\)"),
        (Y + 1, "labels must be from 0 to 3, found 1 to 4"),
        (Y * 1.0, "labels must be 40 whole numbers, found float64"),
    ],
)
def test_labels_that_are_none_are_told(model: Model, labels: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model.evaluate(X, labels)


def test_pictures_show_filters_maps_and_the_most_wrong_first(model: Model, tmp_path: Path) -> None:
    filters = pictures.filters(model, "conv2d_2")
    assert len(filters.axes) == 4 * 3
    shown = [np.asarray(axes.images[0].get_array()) for axes in filters.axes]
    np.testing.assert_array_equal(
        np.array(shown).reshape(4, 3, 3, 3), model.parameters_of("conv2d_2")["weight"]
    )
    for image in (X[0], X[0, 0], X[:1]):
        assert len(pictures.feature_maps(model, image).axes) == 3
    places, probabilities = pictures.most_wrong_places(model, X, Y, 5)
    own = probabilities[np.arange(len(places)), Y[places]]
    assert (np.diff(own) >= 0).all()
    assert (model.predict(X)[places] != Y[places]).all()
    wrong = pictures.most_wrong(model, X, Y, count=5, names=list("abcd"))
    assert len(wrong.axes) == len(places)
    assert wrong.axes[0].get_title().startswith(f"{'abcd'[Y[places[0]]]}: ")
    wrong.savefig(tmp_path / "wrong.png")
    assert len(pictures.most_wrong(model, X, model.predict(X)).axes) == 1  # and says that there is none
    with pytest.raises(ConfigError, match="layer relu_1 has no filters; write one such as conv2d_1"):
        pictures.filters(model, "relu_1")
    with pytest.raises(ConfigError, match="layer linear_1 gives a vector, no maps"):
        pictures.feature_maps(model, X[0], "linear_1")
