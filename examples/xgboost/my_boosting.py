"""Somebody's boosting, as it was before gridrun, and the one line that returns its history."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from xgboost import XGBClassifier


def train(**params):
    X, y = load_digits(return_X_y=True)
    X_train, X_valid, y_train, y_valid = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    model = XGBClassifier(
        **params, n_jobs=1, subsample=0.8, eval_metric=["mlogloss", "merror"], early_stopping_rounds=5
    )
    model.fit(X_train, y_train, eval_set=[(X_valid, y_valid)], verbose=False)
    return model.evals_result()["validation_0"]  # lists, one entry a round
