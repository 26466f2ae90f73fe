"""CNNClassifier: scikit-learn's own checks, and what people do with a classifier."""

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import cnn_core
from cnn_core import CNNClassifier
from cnn_core.estimator import _deal

X, Y = load_digits(return_X_y=True)
X, Y = X[:300], Y[:300]
NAMES = np.array([f"digit {y}" for y in Y])
SMALL: dict[str, Any] = {"conv_channels": (4,), "kernel_size": 3, "epochs": 3, "batch_size": 10}

# Without convolution over neighbours any row of numbers can be an image.
ROWS = CNNClassifier(
    kernel_size=1, pool="none", norm="none", dropout_rate=0.0, conv_channels=(4,), epochs=10,
    learning_rate=0.1, schedule="constant",
)  # fmt: skip

NOT_THE_SAME = {"check_sample_weight_equivalence_on_dense_data", "check_sample_weights_invariance"}
"""Weight 2 for an image is not two of them, bit for bit: another number of images is another order."""


@parametrize_with_checks([ROWS])
def test_scikit_learns_checks_pass(estimator: Any, check: Any) -> None:
    if check.func.__name__ in NOT_THE_SAME and check.keywords.get("kind") != "ones":
        with pytest.raises(AssertionError):
            check(estimator)
    else:
        check(estimator)


def test_its_parameters_are_those_of_a_configuration_but_for_what_names_a_dataset() -> None:
    params = CNNClassifier().get_params()
    fields = cnn_core.Config.__dataclass_fields__
    assert params.keys() - fields.keys() == {"image_shape", "class_weight"}
    assert fields.keys() - params.keys() == {*cnn_core.config.OF_DATASETS, "metrics"}
    assert all(params[name] == fields[name].default for name in params.keys() & fields.keys())
    with pytest.raises(TypeError, match="learning_rat"):
        CNNClassifier(learning_rat=1)


@pytest.mark.parametrize(
    "labels", [Y, NAMES, NAMES.astype(object), Y > 4, Y - 5.0], ids=lambda y: str(y.dtype)
)
def test_labels_of_any_type_come_back(labels: Any) -> None:
    model = CNNClassifier(**SMALL).fit(X / 16, labels)
    np.testing.assert_array_equal(model.classes_, np.unique(labels))
    found = model.predict(X / 16)
    assert found.dtype == labels.dtype
    assert model.score(X / 16, labels) > 0.8
    np.testing.assert_array_equal(model.classes_[model.predict_proba(X / 16).argmax(axis=1)], found)


def test_flat_and_other_layouts_are_the_same_images() -> None:
    square = (X / 16).reshape(-1, 8, 8)
    found = CNNClassifier(**SMALL).fit(X / 16, Y).predict_proba(X / 16)
    for images, shape in (
        (square, None), (square[:, None], None), (square[..., None], None), (X / 16, (8, 8)),
        (X / 16, (1, 8, 8)),
    ):  # fmt: skip
        other = CNNClassifier(**SMALL, image_shape=shape).fit(images, Y)
        np.testing.assert_array_equal(other.predict_proba(images), found)
    as_bytes = (X / 16 * 255).astype(np.uint8)
    model = CNNClassifier(**SMALL).fit(as_bytes, Y)
    np.testing.assert_array_equal(
        model.predict_proba(as_bytes), model.predict_proba(as_bytes / np.float32(255))
    )
    with pytest.raises(ValueError, match=r"X has images \(1, 8, 7\), but .* was fitted to \(1, 8, 8\)"):
        CNNClassifier(**SMALL).fit(square, Y).predict(square[:, :, :7])


def test_a_row_without_an_image_shape_that_no_kernel_fits_is_told() -> None:
    with pytest.raises(ValueError, match="does not fit convolution 1, whose input is 1x1x63"):
        CNNClassifier(**SMALL).fit(X[:, :63], Y)


def test_calls_of_partial_fit_are_epochs_of_fit() -> None:
    options = {**SMALL, "optimizer": "adam", "learning_rate": 0.003, "members": 2, "average": 2}
    whole = CNNClassifier(**options).fit(X / 16, Y)
    parts = CNNClassifier(**options)
    for _ in range(3):
        parts = pickle.loads(pickle.dumps(parts.partial_fit(X / 16, Y, classes=range(10))))
    np.testing.assert_array_equal(parts.predict_proba(X / 16), whole.predict_proba(X / 16))
    with pytest.raises(ValueError, match="y has 10, which is none of the classes"):
        parts.partial_fit(X[:5], [10] * 5)
    with pytest.raises(ValueError, match="classes must be those of the first call"):
        parts.partial_fit(X[:5], Y[:5], classes=range(3))


def test_clones_and_pickles_predict_the_same() -> None:
    model = CNNClassifier(**SMALL, seed=3).fit(X / 16, NAMES)
    found = model.predict_proba(X / 16)
    np.testing.assert_array_equal(clone(model).fit(X / 16, NAMES).predict_proba(X / 16), found)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X / 16), found)
    np.testing.assert_array_equal(model.model_.predict((X / 16).reshape(-1, 8, 8)), found.argmax(axis=1))


def test_it_goes_where_an_estimator_goes() -> None:
    pipeline = make_pipeline(MinMaxScaler(), CNNClassifier(**SMALL))
    assert cross_val_score(pipeline, X, NAMES, cv=3).mean() > 0.7
    search = GridSearchCV(pipeline, {"cnnclassifier__learning_rate": [1e-6, 0.05]}, cv=2).fit(X, NAMES)
    assert search.best_params_ == {"cnnclassifier__learning_rate": 0.05}


def test_weights_say_how_often_an_image_is_met() -> None:
    rng = np.random.default_rng(0)
    for weights in (rng.random(50), rng.integers(0, 5, 50), np.eye(50)[3], np.ones(50)):
        dealt = np.array([np.bincount(_deal(weights, 0, epoch), minlength=50) for epoch in range(2000)])
        wanted = weights / weights.mean()
        assert (dealt.sum(axis=1) == 50).all()
        assert (np.abs(dealt - wanted) < 1 + 1e-9).all()
        np.testing.assert_allclose(dealt.mean(axis=0), wanted, atol=0.06)


def test_weights_that_are_equal_change_no_bit_and_others_do() -> None:
    found = CNNClassifier(**SMALL).fit(X / 16, Y).predict_proba(X / 16)
    same = CNNClassifier(**SMALL).fit(X / 16, Y, sample_weight=np.full(300, 0.1)).predict_proba(X / 16)
    np.testing.assert_array_equal(same, found)
    half = {label: int(label < 5) for label in range(10)}
    for options, weights in (({}, Y < 5), ({"class_weight": half}, None)):
        model = CNNClassifier(**SMALL, **options).fit(X / 16, Y, sample_weight=weights)
        assert set(model.predict(X / 16)) <= set(range(5))
    balanced = CNNClassifier(**SMALL, class_weight="balanced")
    assert balanced.fit(X / 16, Y > 8).predict(X / 16).mean() > 0.05
    with pytest.raises(ValueError, match='"balanced" needs all labels'):
        balanced.partial_fit(X, Y > 8)
    with pytest.raises(ValueError, match="weights must be from 0, and not all 0, found -1 to -1"):
        CNNClassifier(**SMALL).fit(X / 16, Y, sample_weight=-np.ones(300))


def test_a_training_that_diverges_is_told() -> None:
    with pytest.raises(ValueError, match="diverged in epoch 1; write a smaller learning_rate"):
        CNNClassifier(**SMALL | {"learning_rate": 1e20}, norm="none").fit(X, Y)


def test_a_configuration_that_cannot_be_is_told_by_fit_not_before() -> None:
    model = CNNClassifier(learning_rate=-1)
    with pytest.raises(ValueError, match="learning_rate must be a number above 0, found -1"):
        model.fit(X, Y)
