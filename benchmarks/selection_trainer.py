"""What `benchmarks.selection` trains: cnn_core, scored on 1,000 images to choose on, and on others."""

from collections.abc import Iterator
from typing import Any

import numpy as np

import cnn_core

CHOSEN_ON = 1000


def train(
    *, learning_rate: float, dropout_rate: float, batch_size: int, epochs: int, **params: Any
) -> Iterator[dict[str, Any]]:
    """Yield `accuracy` and `correct` on the first 1,000 test images, and `truth`, the accuracy on the others.

    A network does not depend on how many images it is tested on, so one run gives both.
    """
    for metrics in cnn_core.train(
        learning_rate=learning_rate,
        dropout_rate=dropout_rate,
        batch_size=batch_size,
        epochs=epochs,
        **params,
    ):
        correct = np.asarray(metrics.get("correct", np.zeros(params["test_size"], dtype=bool)))
        yield {
            "accuracy": correct[:CHOSEN_ON].mean(),
            "truth": correct[CHOSEN_ON:].mean(),
            "correct": correct[:CHOSEN_ON],
        }


train.version = f"1 of cnn_core {cnn_core.train.version}"  # type: ignore[attr-defined]
train.validate = cnn_core.train.validate  # type: ignore[attr-defined]
train.fingerprint = cnn_core.train.fingerprint  # type: ignore[attr-defined]
