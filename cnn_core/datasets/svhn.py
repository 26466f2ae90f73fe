"""Street View House Numbers, cropped: train_32x32.mat, test_32x32.mat and extra_32x32.mat."""

from pathlib import Path

from cnn_core.datasets.mat import find_svhn_mat
from cnn_core.datasets.source import Source, official

PARTS = {"train_32x32.mat": "train", "extra_32x32.mat": "train", "test_32x32.mat": "test"}


def find_svhn(folder: Path, name: str) -> Source | None:  # noqa: ARG001
    """Return the images of the files there are. Class 0 is the digit 0, which the files call 10.

    Source: Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning" (2011).
    """
    return official(
        [(part, find_svhn_mat(folder / file)) for file, part in PARTS.items() if (folder / file).is_file()]
    )
