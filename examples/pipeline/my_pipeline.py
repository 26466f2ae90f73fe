"""Somebody's pipeline and data, as they were before gridrun."""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler


def make():
    return Pipeline(
        [("scaler", StandardScaler()), ("classifier", HistGradientBoostingClassifier(max_leaf_nodes=8))]
    )


def load():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    patients = np.arange(len(y)) // 3  # three images of each
    return X, y, patients
