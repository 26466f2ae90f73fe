"""How a network's answers compare with the labels, class by class."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.scores import SCORES, judge, softmax

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `Model.evaluate` found. `confusion[i, j]` images of class i were taken for j.

    Of class k: precision is the share of right ones among the answers k, recall among the images of k, f1
    their harmonic mean; NaN where there is none to take a share of. `scores` has the metrics of scores.py.

    Shapes: confusion (classes, classes); precision, recall, f1, count (classes,); correct (N,).
    """

    accuracy: float
    loss: float
    scores: dict[str, float]
    confusion: NDArray[np.int64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    count: NDArray[np.int64]
    correct: NDArray[np.bool_]

    def __str__(self) -> str:
        lines = [
            f"accuracy {self.accuracy:.4f}, loss {self.loss:.4f}",
            "class precision recall     f1  count",
        ]
        for number, figures in enumerate(zip(self.precision, self.recall, self.f1, self.count, strict=True)):
            lines.append("{:5d} {:9.4f} {:6.4f} {:6.4f} {:6d}".format(number, *figures))
        return "\n".join(lines)


def compare(logits: Array, labels: Array) -> Evaluation:
    """Shapes: logits (N, classes), labels (N,), whole numbers below classes."""
    classes, answers = logits.shape[1], logits.argmax(axis=1)
    loss, correct = judge(logits, labels)
    confusion = np.bincount(labels * classes + answers, minlength=classes**2).reshape(classes, classes)
    right, count, answered = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: no image, or no answer
        precision, recall, f1 = right / answered, right / count, 2 * right / (answered + count)
    probabilities = softmax(logits)
    scores = {name: score(probabilities, labels) for name, score in SCORES.items()}
    return Evaluation(float(correct.mean()), loss, scores, confusion, precision, recall, f1, count, correct)
