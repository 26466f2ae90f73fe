"""The one table of layers that the tests are driven from: a layer, the shape of an image before it."""

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

Case = tuple[Layer, tuple[int, ...]]

CASES: list[Case] = [
    (Conv2d(3, 3), (2, 5, 6)),
    (Conv2d(1, 1), (1, 1, 1)),
    (Conv2d(2, 3, stride=2, padding=1), (3, 6, 5)),
    (Conv2d(2, 2, stride=3), (1, 7, 8)),
    (Conv2d(2, 4, padding=3), (2, 2, 3)),
    (Linear(4), (7,)),
    (Linear(1), (1,)),
    (BatchNorm2d(), (3, 4, 5)),
    (LayerNorm(), (3, 4, 5)),
    (LayerNorm(), (6,)),
    (InstanceNorm2d(), (3, 4, 5)),
    (GroupNorm(1), (4, 3, 2)),
    (GroupNorm(2), (4, 3, 2)),
    (GroupNorm(4), (4, 3, 2)),
    (ReLU(), (2, 3, 4)),
    (ReLU(), (5,)),
    (LeakyReLU(), (2, 3, 4)),
    (LeakyReLU(0.3), (5,)),
    (Tanh(), (2, 3, 4)),
    (GELU(), (2, 3, 4)),
    (SiLU(), (2, 3, 4)),
    (Dropout(0.4), (2, 3, 4)),
    (Dropout(0.0), (5,)),
    (SpatialDropout(0.4), (5, 3, 2)),
    (MaxPool2d(), (2, 4, 6)),
    (MaxPool2d(2), (2, 5, 7)),
    (MaxPool2d(3, stride=2, padding=1), (2, 6, 5)),
    (MaxPool2d(2, stride=1), (1, 4, 4)),
    (MaxPool2d(2, stride=3), (1, 6, 8)),
    (AvgPool2d(), (2, 4, 6)),
    (AvgPool2d(3, stride=2, padding=1), (2, 6, 5)),
    (AvgPool2d(2, stride=3), (1, 6, 8)),
    (GlobalAvgPool2d(), (3, 4, 5)),
    (Flatten(), (2, 3, 4)),
    (Flatten(), (5,)),
]


def name(case: Case) -> str:
    layer, shape = case
    return f"{layer} of {'x'.join(map(str, shape))}"
