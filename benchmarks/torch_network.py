"""A network of cnn_core's layers in PyTorch, eager, one thread: what `make bench` holds cnn_core against.

The same layers, data, batch order and number of steps, written as its users write it, with what is known to
cost nothing left in: no DataLoader, batches picked by index, gradients set to None, `fused` optimisers.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cnn_core import layers as ours
from cnn_core.architecture import shapes_before
from cnn_core.layers import Layer
from cnn_core.optimisers import SGD, Adam, Momentum, Optimiser

MODULES: dict[type[Layer], Callable[[Any, tuple[int, ...]], nn.Module]] = {
    ours.Conv2d: lambda o, s: nn.Conv2d(s[0], o.filters, o.size, o.stride, o.padding),
    ours.Linear: lambda o, s: nn.Linear(s[0], o.outputs),
    ours.BatchNorm2d: lambda _, s: nn.BatchNorm2d(s[0]),
    ours.GroupNorm: lambda o, s: nn.GroupNorm(o.groups, s[0]),
    ours.ReLU: lambda _, __: nn.ReLU(),
    ours.GELU: lambda _, __: nn.GELU(),
    ours.Tanh: lambda _, __: nn.Tanh(),
    ours.Dropout: lambda o, _: nn.Dropout(o.rate),
    ours.MaxPool2d: lambda o, _: nn.MaxPool2d(o.size, o.stride, o.padding),
    ours.Flatten: lambda _, __: nn.Flatten(),
}

OPTIMISERS: dict[type[Optimiser], Callable[[Any, Any, float], torch.optim.Optimizer]] = {
    SGD: lambda _, p, rate: torch.optim.SGD(p, lr=rate, fused=True),
    Momentum: lambda o, p, rate: torch.optim.SGD(p, lr=rate, momentum=o.momentum, fused=True),
    Adam: lambda o, p, rate: torch.optim.Adam(p, rate, (o.beta1, o.beta2), o.epsilon, fused=True),
}


def build(layers: Sequence[Layer], shape: tuple[int, ...]) -> nn.Sequential:
    """The same layers as PyTorch's."""
    pairs = zip(layers, shapes_before(layers, shape), strict=True)
    return nn.Sequential(*(MODULES[type(layer)](layer, before) for layer, before in pairs))


class Trainer:
    """A network, its optimiser and its images as tensors."""

    def __init__(
        self, network: nn.Sequential, images: NDArray[np.float32], labels: NDArray[np.int32],
        optimiser: Optimiser, rate: float,
    ) -> None:  # fmt: skip
        torch.set_num_threads(1)
        self.network = network
        self.optimiser = OPTIMISERS[type(optimiser)](optimiser, network.parameters(), rate)
        self.loss = nn.CrossEntropyLoss()
        self.images = torch.from_numpy(np.array(images))
        self.labels = torch.from_numpy(labels.astype(np.int64))

    def train_epoch(self, order: NDArray[np.int64], batch_size: int) -> float:
        """Train on the images in that order; return the last batch's loss."""
        self.network.train()
        picked = torch.from_numpy(order)
        loss: Any = None
        for first in range(0, len(order), batch_size):
            batch = picked[first : first + batch_size]
            self.optimiser.zero_grad(set_to_none=True)
            loss = self.loss(self.network(self.images[batch]), self.labels[batch])
            loss.backward()
            self.optimiser.step()
        return float(loss.detach())

    def evaluate(
        self, images: NDArray[np.float32], labels: NDArray[np.int32], batch_size: int
    ) -> tuple[float, float]:
        """Return (mean loss, accuracy)."""
        self.network.eval()
        x, y = torch.from_numpy(np.array(images)), torch.from_numpy(labels.astype(np.int64))
        total, right = 0.0, 0
        with torch.inference_mode():
            for first in range(0, len(x), batch_size):
                logits = self.network(x[first : first + batch_size])
                target = y[first : first + batch_size]
                total += float(nn.functional.cross_entropy(logits, target, reduction="sum"))
                right += int((logits.argmax(1) == target).sum())
        return total / len(x), right / len(x)
