"""The textbook: a file a layer, formula first, plain forward and backward in NumPy.

Letters, the same in every file, for axes and for how long they are:

    N  images of a batch         H, W  rows and columns of an image, C its channels
    K  filters, or outputs       R, S  rows and columns of a kernel
    D  features of a vector      P, Q  rows and columns of an output

Small letters are indices: x[n,c,h,w]. Arrays are x and y for input and output; weight, bias, gamma and beta
for parameters; dx for the gradient of the loss with respect to x. Images are (N, C, H, W).

To add a layer, write its file and its line in LAYERS; the tests drive what is in tests/cnn_core/cases.py.
`cnn_core.kernels` has the fast form of some of them, and is held to what stands here.
"""

from cnn_core.layers.avg_pool2d import AvgPool2d
from cnn_core.layers.batch_norm2d import BatchNorm2d
from cnn_core.layers.conv2d import Conv2d
from cnn_core.layers.cross_entropy import CrossEntropy
from cnn_core.layers.dropout import Dropout
from cnn_core.layers.flatten import Flatten
from cnn_core.layers.gelu import GELU
from cnn_core.layers.global_avg_pool2d import GlobalAvgPool2d
from cnn_core.layers.group_norm import GroupNorm
from cnn_core.layers.instance_norm2d import InstanceNorm2d
from cnn_core.layers.layer import Layer
from cnn_core.layers.layer_norm import LayerNorm
from cnn_core.layers.leaky_relu import LeakyReLU
from cnn_core.layers.linear import Linear
from cnn_core.layers.max_pool2d import MaxPool2d
from cnn_core.layers.relu import ReLU
from cnn_core.layers.silu import SiLU
from cnn_core.layers.spatial_dropout import SpatialDropout
from cnn_core.layers.tanh import Tanh

LAYERS: dict[str, type[Layer]] = {
    "avg_pool2d": AvgPool2d,
    "batch_norm2d": BatchNorm2d,
    "conv2d": Conv2d,
    "dropout": Dropout,
    "flatten": Flatten,
    "gelu": GELU,
    "global_avg_pool2d": GlobalAvgPool2d,
    "group_norm": GroupNorm,
    "instance_norm2d": InstanceNorm2d,
    "layer_norm": LayerNorm,
    "leaky_relu": LeakyReLU,
    "linear": Linear,
    "max_pool2d": MaxPool2d,
    "relu": ReLU,
    "silu": SiLU,
    "spatial_dropout": SpatialDropout,
    "tanh": Tanh,
}
"""Every layer that may stand in a network, by its file. The loss, `CrossEntropy`, follows the last one."""

__all__ = [
    "GELU",
    "LAYERS",
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropy",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "GroupNorm",
    "InstanceNorm2d",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "SiLU",
    "SpatialDropout",
    "Tanh",
]
