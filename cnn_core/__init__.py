"""Train one configuration of a convolutional image classifier.

    for metrics in cnn_core.train(learning_rate=0.05, epochs=5): ...
    model = cnn_core.fit(learning_rate=0.05, epochs=5)
    model.save("weights.npz")
    cnn_core.load("weights.npz").predict(images)

Importing this is light: numba and SciPy are loaded when the first training starts.
"""

from cnn_core import blas as _blas

_blas.choose_core_type()  # before anything loads SciPy's OpenBLAS

from cnn_core.config import Config, ConfigError  # noqa: E402
from cnn_core.train import Model, fit, load, train  # noqa: E402

__all__ = ["Config", "ConfigError", "Model", "fit", "load", "train"]
