"""Every format that images are read from: a function of a folder and a dataset's name, and a line in FORMATS.

A format returns what it has found and measured, or None if nothing in the folder is of its kind. What is of
its kind and damaged is refused, not passed over: the next format may hold other images.
"""

from collections.abc import Callable
from pathlib import Path

from cnn_core.datasets.cifar import find_cifar
from cnn_core.datasets.class_folders import find_class_folders
from cnn_core.datasets.idx import find_idx_files
from cnn_core.datasets.mat import find_mat_file
from cnn_core.datasets.npz import find_npz_file
from cnn_core.datasets.source import Source
from cnn_core.datasets.svhn import find_svhn
from cnn_core.datasets.table import find_table

Format = Callable[[Path, str], Source | None]

FORMATS: dict[str, Format] = {
    "mat": find_mat_file,  # data and label, as mldata.org served MNIST
    "idx": find_idx_files,  # MNIST, Fashion-MNIST, KMNIST, EMNIST
    "npz": find_npz_file,
    "cifar": find_cifar,
    "svhn": find_svhn,
    "csv": find_table,
    "images": find_class_folders,
}
"""In the order in which they are looked for."""
