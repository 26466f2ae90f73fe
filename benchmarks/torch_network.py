"""The study's network in PyTorch, eager, one thread: what `make bench` holds cnn_core against.

The same layers, data, batch order and number of steps, written as its users write it, with what is known to
cost nothing left in: no DataLoader, batches picked by index, gradients set to None, `fused` SGD.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def build(
    shape: tuple[int, int, int],
    classes: int,
    conv_channels: Sequence[int] = (6, 16),
    kernel_size: int = 5,
    dropout_rate: float = 0.3,
) -> nn.Sequential:
    """Return the network that `cnn_core.architecture.build_layers` lays out."""
    channels, height, width = shape
    layers: list[nn.Module] = []
    for number, filters in enumerate(conv_channels):
        layers.append(nn.Conv2d(channels, filters, kernel_size))
        if number == 0:
            layers.append(nn.BatchNorm2d(filters))
        layers.append(nn.ReLU())
        if number == 0:
            layers.append(nn.Dropout(dropout_rate))
        layers.append(nn.MaxPool2d(2))
        channels, height, width = filters, (height - kernel_size + 1) // 2, (width - kernel_size + 1) // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, classes))


class Trainer:
    """A network, its optimiser and its images as tensors."""

    def __init__(
        self, network: nn.Sequential, images: NDArray[np.float32], labels: NDArray[np.int32], rate: float
    ) -> None:
        torch.set_num_threads(1)
        self.network = network
        self.optimiser = torch.optim.SGD(network.parameters(), lr=rate)
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
