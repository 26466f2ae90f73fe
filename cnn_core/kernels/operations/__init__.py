"""A layer's compiled passes, a file each or a family: what runs where no fused block takes it.

To give a layer kernels, write them as operation.py says and add the layer's line to OPERATIONS. What each
computes stands in `cnn_core.layers`; tests/cnn_core/test_operations.py holds the two to each other.
"""

from collections.abc import Sequence

from cnn_core import layers
from cnn_core.fuse import is_wide
from cnn_core.kernels.operations.activations import GELU, LEAKY_RELU, RELU, SILU, TANH
from cnn_core.kernels.operations.batch_norm2d import BATCH_NORM2D
from cnn_core.kernels.operations.channel_norms import GROUP_NORM
from cnn_core.kernels.operations.conv2d import CONV2D
from cnn_core.kernels.operations.dropout import DROPOUT, SPATIAL_DROPOUT
from cnn_core.kernels.operations.layer_norm import LAYER_NORM
from cnn_core.kernels.operations.linear import LINEAR
from cnn_core.kernels.operations.operation import OPERATION, Operation, State, Table
from cnn_core.kernels.operations.own import own_operation
from cnn_core.kernels.operations.paired_conv2d import PAIRED_CONV2D
from cnn_core.kernels.operations.pooled_block import NORMALISED_POOLED_BLOCK, POOLED_BLOCK
from cnn_core.kernels.operations.pools import AVG_POOL2D, GLOBAL_AVG_POOL2D, max_pool2d
from cnn_core.kernels.operations.winograd_conv2d import WINOGRAD_CONV2D
from cnn_core.kernels.simd import HALF, LANES

Block = tuple[layers.Layer, ...]

__all__ = ["OPERATION", "OPERATIONS", "Operation", "State", "blocks_of", "has_kernels"]

OPERATIONS: Table = {
    layers.AvgPool2d: AVG_POOL2D,
    layers.BatchNorm2d: BATCH_NORM2D,
    layers.Conv2d: lambda layer, before: _conv2d(layer, before),
    layers.Dropout: DROPOUT,
    layers.Flatten: Operation(()),  # channels last, it is how images lie already
    layers.GELU: GELU,
    layers.GlobalAvgPool2d: GLOBAL_AVG_POOL2D,
    layers.GroupNorm: GROUP_NORM,
    layers.InstanceNorm2d: GROUP_NORM,
    layers.LayerNorm: LAYER_NORM,
    layers.LeakyReLU: LEAKY_RELU,
    layers.Linear: LINEAR,
    layers.MaxPool2d: max_pool2d,
    layers.ReLU: RELU,
    layers.SiLU: SILU,
    layers.SpatialDropout: SPATIAL_DROPOUT,
    layers.Tanh: TANH,
}
"""By layer: its operation, or a function that finds it."""


def operation_of(layer: layers.Layer, before: tuple[int, ...]) -> Operation:
    """The operation of a layer whose input has the shape `before`, (C, H, W) or (D,).

    Raises: KeyError for one of a user's own that is not compiled (`has_kernels`).
    """
    if type(layer) not in OPERATIONS:
        if (own := own_operation(layer, before)) is not None:
            return own
        raise KeyError(layer)
    found = OPERATIONS[type(layer)]
    return found if isinstance(found, Operation) else found(layer, before)


def has_kernels(layer: layers.Layer, before: tuple[int, ...]) -> bool:
    """Whether the loop runs this layer: the textbook's, and a user's own if numba compiles it."""
    return type(layer) in OPERATIONS or own_operation(layer, before) is not None


def blocks_of(layers_: Sequence[layers.Layer], shape: tuple[int, ...]) -> list[tuple[Block, Operation]]:
    """What runs these layers: each by its own operation, or several, one after another, by one.

    Shapes: `shape` is that of an image. Raises: KeyError as `operation_of`.
    """
    found, before, at = list[tuple[Block, Operation]](), shape, 0
    while at < len(layers_):
        block = _pooled_block(layers_[at:], before)
        if block:
            normalised = isinstance(block[0], layers.BatchNorm2d)
            own = NORMALISED_POOLED_BLOCK if normalised else POOLED_BLOCK
        else:
            block = (layers_[at],)
            own = operation_of(block[0], before)
        found.append((block, own))
        at += len(block)
        for layer in block:
            before = layer.output_shape(before)
    return found


def _pooled_block(following: Sequence[layers.Layer], before: tuple[int, ...]) -> Block:
    """The layers from the first on that pooled_block.py takes together, none if it does not."""
    kinds = [type(layer) for layer in following[:4]]
    norm = kinds[:1] == [layers.BatchNorm2d]
    dropout = kinds[norm + 1 : norm + 2] == [layers.Dropout]
    end = norm + dropout + 1
    fits = len(before) == 3 and before[0] % LANES == 0 and kinds[norm : norm + 1] == [layers.ReLU]
    if fits and len(following) > end and following[end] == layers.MaxPool2d(2):
        return tuple(following[: end + 1])
    return ()


def _conv2d(layer: layers.Conv2d, before: tuple[int, ...]) -> Operation:
    if is_wide(layer, before[0]):
        return WINOGRAD_CONV2D
    return PAIRED_CONV2D if layer.filters <= HALF else CONV2D
