"""A trained network: what it answers, and how it is kept in a file."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core import checkpoint
from cnn_core.architecture import build_layers, initial_parameters, initial_statistics
from cnn_core.arrays import as_pixels, matching
from cnn_core.checkpoint import Metrics
from cnn_core.config import Config, ConfigError
from cnn_core.ensemble import predict
from cnn_core.evaluation import Evaluation, compare
from cnn_core.layers import LAYERS, Layer
from cnn_core.network import Network
from cnn_core.scores import softmax

VERSION = "3"
"""Raised whenever the same configuration gives other results."""

READABLE = ("2", VERSION)
"""Versions whose weights mean the same. From 2 to 3 the default of `init` changed."""


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network: its configuration, weights and running statistics (float32, flat).

    Of an ensemble those of one member after the other.
    """

    config: Config
    shape: tuple[int, int, int]
    classes: int
    parameters: NDArray[np.float32]
    statistics: NDArray[np.float32]
    history: tuple[Metrics, ...] = ()
    """The metrics of each epoch, of a network that `fit` has trained."""

    def predict(self, images: NDArray[Any]) -> NDArray[np.int64]:
        """The class of each image.

        Shapes: images (N, C, H, W), (N, H, W, C) or, of one channel, (N, H, W); result (N,).
        Units: floats in [0, 1], or bytes. Raises: ConfigError.
        """
        found: NDArray[np.int64] = self.logits(images).argmax(axis=1)
        return found

    def logits(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """The scores before softmax.

        Shapes: images (N, C, H, W), (N, H, W, C) or, of one channel, (N, H, W); result (N, classes).
        Units: floats in [0, 1], or bytes. Raises: ConfigError.
        """
        return self.scores(as_pixels(matching(images, self.shape)))

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The scores before softmax of images as they are given to the network: nothing is scaled or refused.

        Shapes: images (N, C, H, W), C-contiguous; result (N, classes).
        """
        layers = build_layers(self.config, self.shape, self.classes)
        members = self.config.members
        return predict(layers, self.shape, members, self.parameters, self.statistics, images)

    def predict_proba(self, images: NDArray[Any]) -> NDArray[np.float64]:
        """The probability of each class. Shapes: as `logits`. Raises: ConfigError."""
        return softmax(self.logits(images))

    def evaluate(self, images: NDArray[Any], labels: Any) -> Evaluation:
        """How the answers compare with the labels (N,), whole numbers from 0. Raises: ConfigError."""
        y, logits = np.asarray(labels), self.logits(images)
        if y.shape != logits.shape[:1] or not y.size or not np.issubdtype(y.dtype, np.integer):
            raise ConfigError(f"labels must be {len(logits)} whole numbers, found {y.dtype} {y.shape}")
        if y.min() < 0 or y.max() >= self.classes:
            raise ConfigError(f"labels must be from 0 to {self.classes - 1}, found {y.min()} to {y.max()}")
        return compare(logits, y)

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers by name, in order: conv2d_1, batch_norm2d_1, relu_1, ..."""
        found: dict[str, Layer] = {}
        for layer in build_layers(self.config, self.shape, self.classes):
            (kind,) = (name for name, known in LAYERS.items() if type(layer) is known)
            found[f"{kind}_{1 + sum(name.rsplit('_', 1)[0] == kind for name in found)}"] = layer
        return found

    def network(self, *, member: int = 0) -> Network:
        """The textbook's network, with copies of what was learned; of an ensemble one member's."""
        if not 0 <= member < self.config.members:
            raise ConfigError(f"member must be from 0 to {self.config.members - 1}, found {member!r}")
        network = Network([*self.layers.values()], self.shape)
        members = self.config.members
        network.take(np.split(self.parameters, members)[member], np.split(self.statistics, members)[member])
        return network

    def parameters_of(self, name: str, *, member: int = 0) -> dict[str, NDArray[np.float32]]:
        """What a layer has learned, by name: {"weight": (K, C, R, S), "bias": (K,)}. Raises: ConfigError."""
        return self.network(member=member).parameters[self._place(name)]

    def activations(self, images: NDArray[Any], name: str, *, member: int = 0) -> NDArray[np.float32]:
        """What a layer gives, in evaluation. Shapes: images as `predict`, result (N, *).

        Raises: ConfigError.
        """
        network, last = self.network(member=member), self._place(name)
        x: NDArray[np.float32] = as_pixels(matching(images, self.shape))
        for layer, own, running in zip(
            network.layers[: last + 1], network.parameters, network.statistics, strict=False
        ):
            x = layer.evaluate(x, *own.values(), *running.values())
        return x

    def _place(self, name: str) -> int:
        names = [*self.layers]
        if name not in names:
            raise ConfigError(f"layer must be one of {', '.join(names)}, found {name!r}")
        return names.index(name)

    def save(self, path: str | Path) -> None:
        """Write an .npz that `cnn_core.load` gives back bit for bit. Raises: OSError."""
        config = dataclasses.asdict(self.config)
        meta = {"version": VERSION, "config": config, "shape": self.shape, "classes": self.classes}
        checkpoint.write(Path(path), json.dumps(meta), self.parameters, self.statistics)


def load(path: str | Path) -> Model:
    """Read what `Model.save` wrote.

    Raises: ConfigError if the file is missing, is no such checkpoint, or holds numbers that no network has.
    """
    meta_text, parameters, statistics = checkpoint.read(Path(path))
    try:
        meta = json.loads(meta_text)
        if (found := meta.get("version", "1")) not in READABLE:  # the same numbers would mean other weights
            raise ValueError(f"it was written by version {found} of the layers, here is {VERSION}")
        if meta["config"].get("init") == "xavier":  # until version 3
            meta["config"]["init"] = "report"
        config, shape, classes = Config(**meta["config"]), tuple(meta["shape"]), meta["classes"]
        if len(shape) != 3 or any(type(side) is not int or side < 1 for side in (*shape, classes)):
            raise ValueError(f"shape {shape} and classes {classes} are no whole numbers from 1")
        layers = build_layers(config, shape, classes)
        needed = {
            "parameters": config.members
            * initial_parameters(layers, shape, config.init, np.random.default_rng(0)).size,
            "statistics": config.members * initial_statistics(layers, shape).size,
        }
    except Exception as error:  # whatever damage makes of JSON and of a configuration
        words = checkpoint.in_words(error)
        raise ConfigError(f"{path}: is no checkpoint of this version ({words}); write it again") from None
    for name, array in (("parameters", parameters), ("statistics", statistics)):
        if array.size != needed[name]:
            raise ConfigError(f"{path}: holds {array.size} {name}, its configuration needs {needed[name]}")
        if not np.isfinite(array).all():
            raise ConfigError(
                f"{path}: {name} must be finite numbers, found {array[~np.isfinite(array)][0]}: the training"
                " diverged, or the file is damaged; train again, with a smaller learning_rate"
            )
    model = Model(config, shape, classes, parameters, statistics)
    for member in range(config.members):
        for running in model.network(member=member).statistics:
            if "var" in running and running["var"].min() < 0:
                raise ConfigError(f"{path}: statistics has a variance below 0: it is damaged; write it again")
    return model
