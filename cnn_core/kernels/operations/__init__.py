"""A layer's compiled passes, a file each or a family: what runs where no fused block takes it.

To give a layer kernels, write them as operation.py says and add the layer's line to OPERATIONS. What each
computes stands in `cnn_core.layers`; tests/cnn_core/test_operations.py holds the two to each other.
"""

from cnn_core import layers
from cnn_core.kernels.operations.activations import GELU, LEAKY_RELU, RELU, SILU, TANH
from cnn_core.kernels.operations.batch_norm2d import BATCH_NORM2D
from cnn_core.kernels.operations.channel_norms import GROUP_NORM
from cnn_core.kernels.operations.conv2d import CONV2D
from cnn_core.kernels.operations.dropout import DROPOUT, SPATIAL_DROPOUT
from cnn_core.kernels.operations.layer_norm import LAYER_NORM
from cnn_core.kernels.operations.linear import LINEAR
from cnn_core.kernels.operations.operation import OPERATION, Operation, State, Table
from cnn_core.kernels.operations.paired_conv2d import PAIRED_CONV2D
from cnn_core.kernels.operations.pools import AVG_POOL2D, GLOBAL_AVG_POOL2D, max_pool2d
from cnn_core.kernels.simd import HALF

__all__ = ["OPERATION", "OPERATIONS", "Operation", "State", "operation_of"]

OPERATIONS: Table = {
    layers.AvgPool2d: AVG_POOL2D,
    layers.BatchNorm2d: BATCH_NORM2D,
    layers.Conv2d: lambda layer: PAIRED_CONV2D if layer.filters <= HALF else CONV2D,
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


def operation_of(layer: layers.Layer) -> Operation:
    found = OPERATIONS[type(layer)]
    return found if isinstance(found, Operation) else found(layer)
