"""What a network has learned, as figures of matplotlib: `pictures.filters(model).savefig("filters.png")`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cnn_core.arrays import as_pixels, matching
from cnn_core.config import ConfigError
from cnn_core.model import Model

Array = NDArray[Any]


def filters(model: Model, name: str = "conv2d_1", *, member: int = 0) -> Figure:
    """The weights of a convolution: a row a filter, a column a channel of its input; red above 0, blue below.

    Raises: ConfigError if there is no such convolution.
    """
    weight = model.parameters_of(name, member=member).get("weight")
    if weight is None or weight.ndim != 4:
        raise ConfigError(f"layer {name} has no filters; write one such as conv2d_1")
    most = float(np.abs(weight).max()) or 1.0
    return _grid(
        weight.reshape(-1, *weight.shape[2:]), weight.shape[1], title=f"filters of {name}",
        cmap="RdBu_r", vmin=-most, vmax=most,
    )  # fmt: skip


def feature_maps(model: Model, image: Array, name: str = "relu_1", *, member: int = 0) -> Figure:
    """What a layer makes of one image, a panel a channel.

    Shapes: image (C, H, W), or what `Model.predict` takes, of one image. Raises: ConfigError.
    """
    given = np.asarray(image)
    batch = given[None] if given.shape in (model.shape, model.shape[1:]) else given
    found = model.activations(batch, name, member=member)[0]
    if found.ndim != 3:
        raise ConfigError(f"layer {name} gives a vector, no maps; write a layer before flatten_1")
    return _grid(found, math.isqrt(len(found) - 1) + 1, title=f"output of {name}", cmap="gray")


def most_wrong(
    model: Model, images: Array, labels: Sequence[int] | Array, count: int = 25, names: Sequence[str] = ()
) -> Figure:
    """The wrongly answered images whose label had the smallest probability, the worst first.

    Above each: its label, and the answer with its probability. `names` are the classes'.

    Raises: ConfigError as `Model.predict`; ValueError if labels are not one an image.
    """
    places, probabilities = most_wrong_places(model, images, labels, count)
    shown = as_pixels(matching(images, model.shape))[places].transpose(0, 2, 3, 1)
    named = [*names] or [str(number) for number in range(model.classes)]
    titles = [
        f"{named[label]}: {named[int(p.argmax())]} {p.max():.0%}"
        for label, p in zip(np.asarray(labels)[places], probabilities, strict=True)
    ]
    if not len(places):
        return _grid(np.zeros((1, 1, 1)), 1, title="no image is wrong", cmap="gray")
    maps = shown[..., 0] if shown.shape[3] == 1 else shown
    return _grid(
        maps, math.isqrt(len(maps) - 1) + 1, title="label: answer, the most wrong first", titles=titles,
        cmap="gray", vmin=0, vmax=1,
    )  # fmt: skip


def most_wrong_places(
    model: Model, images: Array, labels: Sequence[int] | Array, count: int
) -> tuple[NDArray[np.int64], Array]:
    """Where among the images these are, and their probabilities (count, classes)."""
    probabilities, numbers = model.predict_proba(images), np.asarray(labels)
    own = probabilities[np.arange(len(numbers)), numbers]
    places = np.flatnonzero(probabilities.argmax(axis=1) != numbers)
    places = places[np.argsort(own[places], kind="stable")][:count]
    return places, probabilities[places]


def _grid(panels: Array, columns: int, *, title: str, titles: Sequence[str] = (), **options: Any) -> Figure:
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(3, 1.2 * columns), max(2, 1.3 * rows + 0.6)), layout="constrained")
    figure.suptitle(title, fontsize=9)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.imshow(panel, **options)
        axes.set_axis_off()
        if titles:
            axes.set_title(titles[number], fontsize=7)
    return figure
