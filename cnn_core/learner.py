"""One network as it learns: its weights, its optimiser, its own random streams."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.architecture import build_rule, initial_parameters, initial_statistics
from cnn_core.average import Average
from cnn_core.config import Config
from cnn_core.layers import CrossEntropy, Layer
from cnn_core.runner import Runner, choose

Array = NDArray[Any]
Numbers = NDArray[np.float32]

# Purposes of the random streams, each derived from (seed, purpose): none depends on another's use.
INIT, ORDER, DROPOUT, AUGMENT, MIX, MEMBER = range(6)


class Learner:
    """A member of an ensemble; the first one is what there is without an ensemble.

    `parameters` and `statistics` are those after the last of so many `epochs`.
    """

    def __init__(self, config: Config, layers: Sequence[Layer], shape: tuple[int, ...], member: int) -> None:
        self._config, self._layers, self._shape = config, layers, shape
        self._seed = (config.seed, MEMBER, member) if member else (config.seed,)
        self.parameters = initial_parameters(layers, shape, config.init, self._stream(INIT))
        self.statistics = initial_statistics(layers, shape)
        self.epochs = 0
        self._moments: Numbers | None = None
        self._rule = build_rule(config, layers, shape)
        self._average = Average(config.average, self.parameters.size + self.statistics.size)

    @property
    def kept_size(self) -> int:
        """How many numbers the last of `numbers` has."""
        return len(self._rule.optimiser.keeps) * self.parameters.size + self._average.kept.size

    def numbers(self) -> tuple[Numbers, Numbers, Numbers]:
        """What `restore` takes."""
        kept = np.concatenate([self._rule.kept.ravel(), self._average.kept.ravel()])
        return self.parameters, self.statistics, kept

    def restore(self, epochs: int, parameters: Numbers, statistics: Numbers, kept: Numbers) -> None:
        """Be as after so many epochs; `kept` is all else that the next one depends on."""
        self.epochs, self.parameters, self.statistics = epochs, parameters, statistics
        self._moments, average = np.split(kept, [kept.size - self._average.kept.size])
        self._average.kept[...] = average.reshape(self._average.kept.shape)

    def begin(self, images: Array, labels: Array) -> None:
        """Get ready to train. Shapes: images (N, *shape), labels (N,)."""
        self._images, self._labels = images, labels
        self._batch = min(self._config.batch_size, len(labels))
        self._runner = self._choose()
        self._runner.begin(self.parameters, self.statistics, self._batch)
        self._rule.begin(self.parameters, self._moments, self.epochs * -(-len(labels) // self._batch))

    def train_epoch(self, rate: float) -> float:
        """Train on all images once, in batches; return the mean loss."""
        epoch = self.epochs
        order = self._stream(ORDER, epoch).permutation(len(self._labels))
        key = int(self._stream(DROPOUT, epoch).integers(2**64, dtype=np.uint64))
        loss = self._runner.train_epoch(
            self._augmented(epoch), self._labels, order, self._batch, rate, key, self._rule
        )
        self.parameters, self.statistics = self._runner.trained()
        self._average.add(epoch, np.concatenate([self.parameters, self.statistics]))
        self.epochs += 1
        return loss

    def predict(self, images: Array) -> Numbers:
        """The logits of the averaged network. Shapes: images (N, *shape); result (N, classes)."""
        if self._config.average == 1:
            return self._runner.predict(images)
        runner = self._choose()
        runner.begin(*self.averaged(), 1)
        return runner.predict(images)

    def averaged(self) -> tuple[Numbers, Numbers]:
        """The parameters and statistics that stand for the epochs up to the last."""
        latest = self._average.mean(self.epochs, np.concatenate([self.parameters, self.statistics]))
        parameters, statistics = np.split(latest, [self.parameters.size])
        return parameters, statistics

    def _choose(self) -> Runner:
        return choose(self._layers, self._shape, CrossEntropy(self._config.label_smoothing))

    def _augmented(self, epoch: int) -> Array:
        """The training images as this epoch sees them."""
        from cnn_core import augmentation

        config, images = self._config, self._images
        rng = self._stream(AUGMENT, epoch)
        if config.augment_shift or config.augment_rotate or config.augment_scale:
            images = augmentation.warp(
                images, rng,
                shift=config.augment_shift, rotate=config.augment_rotate, scale=config.augment_scale,
            )  # fmt: skip
        if config.augment_noise:
            images = augmentation.add_noise(images, rng, config.augment_noise)
        if config.mixup:
            images = augmentation.mix(images, self._stream(MIX, epoch), config.mixup)
        return images

    def _stream(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([*self._seed, *purpose])
