"""A trained network as an ONNX file, for whatever runs one. Written with the package `onnx` (gridrun[onnx]).

Input `images` (N, C, H, W), float32 in [0, 1]; outputs `probabilities` (N, classes), of an ensemble the mean
of its members', and `logits`, of a network that is no ensemble.

A new layer is one function here and its line in NODES; a layer without one is refused by name.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import ConfigError
from cnn_core.layers import (
    GELU,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    InstanceNorm2d,
    Layer,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    SiLU,
    SpatialDropout,
    Tanh,
)
from cnn_core.layers.batch_norm2d import EPSILON
from cnn_core.model import Model

OPSET = 21
"""The first in which GroupNormalization has a number for each channel, as here."""
IR_VERSION = 10

Arrays = dict[str, NDArray[np.float32]]


class Graph:
    """Nodes and the numbers that they use, named as they come."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.numbers: list[Any] = []

    def add(
        self, kind: str, x: str, *arrays: NDArray[Any], more: tuple[str, ...] = (), **options: Any
    ) -> str:
        """Add a node whose inputs are x, `more`, and arrays of its own; return the name of its output."""
        from onnx import helper, numpy_helper

        place, given = len(self.nodes), [x, *more]
        for number, array in enumerate(arrays):
            given.append(f"n{place}_{number}")
            self.numbers.append(numpy_helper.from_array(np.ascontiguousarray(array), given[-1]))
        self.nodes.append(helper.make_node(kind, given, [f"y{place}"], **options))
        return f"y{place}"


def _conv(graph: Graph, x: str, layer: Any, own: Arrays) -> str:
    pads, strides = [layer.padding] * 4, [layer.stride] * 2
    return graph.add("Conv", x, own["weight"], own["bias"], pads=pads, strides=strides)


def _linear(graph: Graph, x: str, layer: Any, own: Arrays) -> str:  # noqa: ARG001
    return graph.add("Gemm", x, own["weight"], own["bias"], transB=1)


def _batch_norm(graph: Graph, x: str, layer: Any, own: Arrays) -> str:  # noqa: ARG001
    return graph.add(
        "BatchNormalization", x, own["gamma"], own["beta"], own["mean"], own["var"], epsilon=EPSILON
    )


def _layer_norm(graph: Graph, x: str, layer: Any, own: Arrays) -> str:  # noqa: ARG001
    return graph.add("LayerNormalization", x, own["gamma"], own["beta"], axis=1, epsilon=EPSILON)


def _instance_norm(graph: Graph, x: str, layer: Any, own: Arrays) -> str:  # noqa: ARG001
    return graph.add("InstanceNormalization", x, own["gamma"], own["beta"], epsilon=EPSILON)


def _group_norm(graph: Graph, x: str, layer: Any, own: Arrays) -> str:
    return graph.add(
        "GroupNormalization", x, own["gamma"], own["beta"], num_groups=layer.groups, epsilon=EPSILON
    )


def _leaky_relu(graph: Graph, x: str, layer: Any, own: Arrays) -> str:  # noqa: ARG001
    return graph.add("LeakyRelu", x, alpha=layer.slope)


def _silu(graph: Graph, x: str, layer: Any, own: Arrays) -> str:  # noqa: ARG001
    return graph.add("Mul", x, more=(graph.add("Sigmoid", x),))


def _pool(kind: str, **options: Any) -> "Node":
    def add(graph: Graph, x: str, layer: Any, own: Arrays) -> str:  # noqa: ARG001
        sides, pads = [layer.size] * 2, [layer.padding] * 4
        return graph.add(kind, x, kernel_shape=sides, strides=[layer.stride] * 2, pads=pads, **options)

    return add


def _global_pool(graph: Graph, x: str, layer: Any, own: Arrays) -> str:  # noqa: ARG001
    return graph.add("Flatten", graph.add("GlobalAveragePool", x))


def _plain(kind: str) -> "Node":
    return lambda graph, x, layer, own: graph.add(kind, x)  # noqa: ARG005


def _nothing(graph: Graph, x: str, layer: Any, own: Arrays) -> str:  # noqa: ARG001
    return x


Node = Callable[[Graph, str, Any, Arrays], str]
NODES: dict[type[Layer], Node] = {
    Conv2d: _conv,
    Linear: _linear,
    BatchNorm2d: _batch_norm,
    LayerNorm: _layer_norm,
    InstanceNorm2d: _instance_norm,
    GroupNorm: _group_norm,
    ReLU: _plain("Relu"),
    LeakyReLU: _leaky_relu,
    Tanh: _plain("Tanh"),
    GELU: _plain("Gelu"),
    SiLU: _silu,
    MaxPool2d: _pool("MaxPool"),
    AvgPool2d: _pool("AveragePool", count_include_pad=1),
    GlobalAvgPool2d: _global_pool,
    Flatten: _plain("Flatten"),
    Dropout: _nothing,
    SpatialDropout: _nothing,
}


def export(model: Model, path: str | Path) -> None:
    """Write the network as ONNX, checked by the package. Raises: ConfigError without it; OSError."""
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError as error:
        raise ConfigError("ONNX is written by onnx, which is not installed; pip install onnx") from error
    graph = Graph()
    logits = [*_members(graph, model)]
    found = [graph.add("Softmax", name, axis=1) for name in logits]
    probabilities = graph.add("Mean", found[0], more=tuple(found[1:]))
    results = {"probabilities": probabilities} | ({"logits": logits[0]} if len(logits) == 1 else {})
    for name, place in results.items():
        graph.nodes.append(helper.make_node("Identity", [place], [name]))
    shape: list[str | int | None] = ["N", *model.shape]
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "cnn_core",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", model.classes]) for n in results],
            graph.numbers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="cnn_core",
    )
    onnx.checker.check_model(made, full_check=True)
    Path(path).write_bytes(made.SerializeToString())


def _members(graph: Graph, model: Model) -> Iterator[str]:
    """The name of each member's logits."""
    for member in range(model.config.members):
        network, x = model.network(member=member), "images"
        for layer, own, running in zip(network.layers, network.parameters, network.statistics, strict=True):
            node = NODES.get(type(layer))
            if node is None:
                raise ConfigError(f"layer {layer} has no form in ONNX here; write one in onnx_export.py")
            x = node(graph, x, layer, {**own, **running})
        yield x
