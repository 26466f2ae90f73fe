"""CNNClassifier: the network as an estimator of scikit-learn's.

Surprises met here: scikit-learn takes an estimator's parameters from the signature of `__init__`, and honours
one that is given to it as an attribute; `validate_data` was a method until 1.6.
"""

import dataclasses
import inspect
import math
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from cnn_core.architecture import build_layers
from cnn_core.arrays import arrange
from cnn_core.config import OF_DATASETS, Config, ConfigError, table
from cnn_core.learner import Learner
from cnn_core.memory import require_memory
from cnn_core.model import Model
from cnn_core.scores import softmax

Array = NDArray[Any]
Numbers = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]

HYPERPARAMETERS = tuple(
    field for field in dataclasses.fields(Config) if field.name not in (*OF_DATASETS, "metrics")
)
"""Those of Config that say nothing of a dataset."""

_WEIGH = 0x77656967
"""The purpose of this random stream ("weig"): how often each image is met in an epoch."""


class CNNClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A convolutional classifier with scikit-learn's interface: for pipelines, GridSearchCV and the like.

    Parameters are those of `cnn_core.train`, but for those that say which images of a dataset are used, and
    two more:

    image_shape: what each row of flat X was, (H, W), (C, H, W) or (H, W, C). Without it a row whose length is
        a square is a square image, any other an image of one row.
    class_weight: None, "balanced", or a weight for each class.

    X: images (N, H, W), (N, C, H, W), (N, H, W, C), or flat (N, D). Bytes (uint8) are divided by 255; other
    numbers are taken as they are, so scale them. y: labels of any type.

    Weights, of samples and of classes, say how often an image is met: in each epoch `weight / mean weight`
    times on average, as whole numbers drawn for each epoch anew. So an epoch takes as long as without.

    After `fit`: classes_, n_features_in_, n_epochs_, and model_, a `Model` (to be saved, or looked into).
    """

    def __init__(self, **params: Any) -> None:
        bound = inspect.signature(type(self).__init__).bind(self, **params)
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            if name != "self":
                setattr(self, name, value)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train anew for `epochs` epochs. Raises: ValueError for what cannot be trained on, or diverges."""
        X, y = _validated(self, X, y, reset=True)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        self._begin(X)
        return self._train(X, numbers, self._weights(y, sample_weight), self.epochs)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one more epoch. So many calls with the same images are `fit` with so many epochs.

        `classes` are all there will be; the first call needs them, unless y has all of them. The schedule
        counts calls: with other images in each, write schedule = "constant".

        Raises: ValueError as `fit`, and for labels or image shapes that are new.
        """
        first = not hasattr(self, "classes_")
        X, y = _validated(self, X, y, reset=first)
        check_classification_targets(y)
        known = np.unique(y if classes is None else classes) if first else self.classes_
        if not first and classes is not None and not np.array_equal(np.unique(classes), known):
            raise ValueError(f"classes must be those of the first call, {known}, found {np.unique(classes)}")
        if strange := sorted(set(y.tolist()) - set(known.tolist()), key=str):
            raise ValueError(f"y has {strange[0]!r}, which is none of the classes {known}")
        if first:
            self.classes_ = known
            self._begin(X)
        numbers = np.searchsorted(known, y)
        return self._train(X, numbers, self._weights(y, sample_weight, partial=True), 1)

    def predict(self, X: Any) -> Array:
        """The class of each image."""
        found: Array = self.predict_proba(X).argmax(axis=1)
        return self.classes_[found]

    def predict_proba(self, X: Any) -> Array:
        """The probability of each of `classes_`. Shapes: result (N, classes)."""
        check_is_fitted(self)
        return softmax(self.model_.scores(self._images(_validated(self, X, reset=False))))

    def _begin(self, X: Array) -> None:
        """Have an untrained network for images like these."""
        self._shape, self.n_epochs_ = arrange(X, self._image_shape(X)).shape[1:], 0
        self._numbers: list[Numbers] = []

    def _train(self, X: Array, labels: Array, weights: Array | None, epochs: int) -> Self:
        config = self._config(len(X))
        x, y = self._images(X), labels.astype(np.int32)
        layers = build_layers(config, self._shape, len(self.classes_))
        require_memory(config, layers, self._shape)
        learners = [Learner(config, layers, self._shape, member) for member in range(config.members)]
        for learner, numbers in zip(learners, self._numbers, strict=False):
            learner.restore(self.n_epochs_, *numbers)
        for epoch in range(self.n_epochs_, self.n_epochs_ + epochs):
            if weights is not None or epoch == self.n_epochs_:
                places = slice(None) if weights is None else _deal(weights, config.seed, epoch)
                for learner in learners:
                    if epoch > self.n_epochs_:  # or its optimiser would forget
                        learner.restore(epoch, *learner.numbers())
                    learner.begin(np.ascontiguousarray(x[places]), y[places])
            for learner in learners:
                if not math.isfinite(learner.train_epoch(config.rate(epoch))):
                    raise ValueError(
                        f"training diverged in epoch {epoch + 1}; write a smaller learning_rate, scale X"
                    )
        self.n_epochs_ += epochs
        self._numbers = [learner.numbers() for learner in learners]
        parameters, statistics = (
            np.concatenate(of_all)
            for of_all in zip(*(learner.averaged() for learner in learners), strict=True)
        )
        self.model_ = Model(config, self._shape, len(self.classes_), parameters, statistics)
        return self

    def _config(self, count: int) -> Config:
        params = {field.name: getattr(self, field.name) for field in HYPERPARAMETERS}
        return Config(dataset="arrays", train_size=count, **params)

    def _weights(self, y: Array, sample_weight: Any, *, partial: bool = False) -> Array | None:
        """A weight for each image, or None if all are equal."""
        if partial and self.class_weight == "balanced":
            raise ValueError('class_weight "balanced" needs all labels, and partial_fit has not got them')
        weights: Array = _check_sample_weight(sample_weight, y, dtype=np.float64)
        if self.class_weight is not None:
            weights = weights * compute_sample_weight(self.class_weight, y)
        low, high = weights.min(), weights.max()
        if low < 0 or high == 0:
            raise ValueError(f"weights must be from 0, and not all 0, found {low:g} to {high:g}")
        return None if low == high else weights

    def _images(self, X: Array) -> NDArray[np.float32]:
        """Images as the network takes them. Raises: ConfigError if they have another shape."""
        x = arrange(X, self._image_shape(X))
        if x.shape[1:] != self._shape:
            raise ConfigError(f"X has images {x.shape[1:]}, but CNNClassifier was fitted to {self._shape}")
        if x.dtype == np.uint8:
            x = np.divide(x, np.float32(255), dtype=np.float32)
        return np.array(x, np.float32, order="C")

    def _image_shape(self, X: Array) -> Any:
        if self.image_shape is not None or X.ndim != 2:
            return self.image_shape
        side = math.isqrt(X.shape[1])
        return (side, side) if side**2 == X.shape[1] else (1, X.shape[1])


def _validated(estimator: Any, X: Any, y: Any = "no_validation", *, reset: bool) -> Any:
    options = {"reset": reset, "allow_nd": True, "dtype": "numeric"}
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:  # before 1.6
        return estimator._validate_data(X, y, **options)
    return validate_data(estimator, X, y, **options)


def _deal(weights: Array, seed: int, epoch: int) -> NDArray[np.int64]:
    """As many images as there are, each as often as it weighs: the whole number below or above.

    Systematic sampling: image i gets floor(e[i] - u) - floor(e[i - 1] - u), e the summed weights, u uniform.
    Source: Kish, "Survey Sampling" (1965), chapter 4.
    """
    edges = np.concatenate([[0.0], np.cumsum(weights)])
    edges *= len(weights) / edges[-1]
    edges[-1] = len(weights)
    offset = np.random.default_rng([seed, _WEIGH, epoch]).random()
    return np.repeat(np.arange(len(weights)), np.diff(np.floor(edges - offset)).astype(np.int64))


def _signature() -> inspect.Signature:
    known = [(field.name, field.default) for field in HYPERPARAMETERS]
    more = [("image_shape", None), ("class_weight", None)]
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(inspect.Parameter(name, kind, default=default) for name, default in (*known, *more)),
        ]
    )


CNNClassifier.__doc__ = (
    f"{inspect.cleandoc(CNNClassifier.__doc__ or '')}\n\n"
    f"Parameters:\n\n{table(without=(*OF_DATASETS, 'metrics'))}"
)
CNNClassifier.__init__.__signature__ = _signature()  # type: ignore[attr-defined]
