"""How parameters follow their gradients: a file a rule, formula first, plain NumPy.

To add one, write its file and its line in a table; tests/cnn_core/test_optimisers.py holds each to numbers
worked out apart from it.
"""

from cnn_core.optimisers.adam import Adam
from cnn_core.optimisers.adamw import AdamW
from cnn_core.optimisers.clip_norm import ClipNorm
from cnn_core.optimisers.l1 import L1
from cnn_core.optimisers.l2 import L2
from cnn_core.optimisers.max_norm import MaxNorm
from cnn_core.optimisers.momentum import Momentum
from cnn_core.optimisers.nesterov import Nesterov
from cnn_core.optimisers.optimiser import Optimiser, Regulariser
from cnn_core.optimisers.rmsprop import RMSprop
from cnn_core.optimisers.rule import Rule
from cnn_core.optimisers.sgd import SGD
from cnn_core.optimisers.weight_decay import WeightDecay

OPTIMISERS: dict[str, type[Optimiser]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}
"""Update rules, by file."""

REGULARISERS: dict[str, type[Regulariser]] = {
    "l1": L1,
    "l2": L2,
    "weight_decay": WeightDecay,
    "max_norm": MaxNorm,
    "clip_norm": ClipNorm,
}
"""What may be done to weights and gradients at each step, by file; any number of them."""

__all__ = [
    "L1",
    "L2",
    "OPTIMISERS",
    "REGULARISERS",
    "SGD",
    "Adam",
    "AdamW",
    "ClipNorm",
    "MaxNorm",
    "Momentum",
    "Nesterov",
    "Optimiser",
    "RMSprop",
    "Regulariser",
    "Rule",
    "WeightDecay",
]
