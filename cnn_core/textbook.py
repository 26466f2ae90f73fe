"""How a network learns, in plain NumPy: made to be read. `Network.train` is the same, faster.

The two draw dropout apart; without any they differ by rounding only (tests/cnn_core/test_composed.py).
"""

from collections.abc import Iterator, Sequence

import numpy as np

from cnn_core.network import Array, Network
from cnn_core.optimisers import Optimiser, Regulariser


def train(
    network: Network, images: Array, labels: Array, optimiser: Optimiser, *, rate: float, epochs: int = 1,
    batch_size: int = 10, regularisers: Sequence[Regulariser] = (), seed: int = 0,
) -> Iterator[float]:  # fmt: skip
    """Train, and yield the mean loss of each epoch's batches as they were met.

    Fewer epochs are the beginning of more. Shapes: images (N, *shape), labels (N,).
    """
    kept = [
        {name: [np.zeros_like(array) for _ in optimiser.keeps] for name, array in own.items()}
        for own in network.parameters
    ]
    step = 0
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, epoch])
        order, total = rng.permutation(len(images)), 0.0
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            loss, gradients = network.gradients(images[batch], labels[batch], network.noise(len(batch), rng))
            step, total = step + 1, total + loss * len(batch)

            weights = [
                (own["weight"], gradient["weight"])
                for own, gradient in zip(network.parameters, gradients, strict=True)
                if "weight" in own
            ]
            for regulariser in regularisers:
                regulariser.clip([array for gradient in gradients for array in gradient.values()])
            for regulariser in regularisers:
                for weight, gradient in weights:
                    regulariser.penalise(rate, weight, gradient)
            for own, slopes, memory in zip(network.parameters, gradients, kept, strict=True):
                for name, parameter in own.items():
                    optimiser.update(rate, step, parameter, slopes[name], *memory[name])
            for regulariser in regularisers:
                for weight, _ in weights:
                    regulariser.project(weight)
        yield total / len(order)
