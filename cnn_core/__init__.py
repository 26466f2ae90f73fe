"""Train one configuration of a convolutional image classifier.

    for metrics in cnn_core.train(learning_rate=0.05, epochs=5): ...
    model = cnn_core.fit(learning_rate=0.05, epochs=5)
    model.save("weights.npz")
    cnn_core.load("weights.npz").predict(images)

Importing this is light: numba is loaded when the first training starts.
"""

from cnn_core.config import Config, ConfigError
from cnn_core.train import Model, fit, load, train

__all__ = ["Config", "ConfigError", "Model", "fit", "load", "train"]
