"""Train one configuration of a convolutional image classifier.

    for metrics in cnn_core.train(learning_rate=0.05, epochs=5): ...
    model = cnn_core.fit(learning_rate=0.05, epochs=5)
    model.save("weights.npz")
    cnn_core.load("weights.npz").predict(images)
    cnn_core.fit(images=cnn_core.from_arrays(x, y, held_x, held_y))      # your own arrays
    cnn_core.CNNClassifier(epochs=5).fit(x, y)                           # scikit-learn's interface

    from cnn_core.layers import Conv2d, Flatten, Linear, ReLU            # the textbook: any layers, any order
    network = cnn_core.Network([Conv2d(6, 5), ReLU(), Flatten(), Linear(10)], (1, 28, 28))

Importing this is light: numba is loaded when the first training starts.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if find_spec("numba") is None:  # or the first training would find out, in as many processes as train
    raise ImportError("cnn_core needs numba, which is not installed; pip install 'gridrun[cnn]'")

from cnn_core.arrays import from_arrays
from cnn_core.config import Config, ConfigError
from cnn_core.model import Model, load
from cnn_core.network import Network
from cnn_core.train import fit, train

if TYPE_CHECKING:
    from cnn_core.estimator import CNNClassifier

__all__ = [
    "CNNClassifier",
    "Config",
    "ConfigError",
    "Model",
    "Network",
    "fit",
    "from_arrays",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    """CNNClassifier, imported when it is asked for: it brings scikit-learn, which takes a second."""
    if name == "CNNClassifier":
        from cnn_core.estimator import CNNClassifier

        return CNNClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
