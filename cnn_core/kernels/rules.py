"""Optimisers and regularisers, compiled: what `Rule.apply` does, part by part, in the loop.

    kernel(rule, memory, kept, rate, step)

does one part of a step: parameters begin at 0 of the memory, their gradient at `rule.gradient`; what the
optimiser keeps is in `kept`, `rule.pitch` numbers each. The formulas stand in `cnn_core.optimisers`. Plain
loops: LLVM makes vectors of them.
"""

import functools
from dataclasses import fields
from typing import Any

import numpy as np
from numba import from_dtype, typeof, types
from numpy.typing import NDArray

from cnn_core.kernels.cache import kernel
from cnn_core.kernels.pointer import address
from cnn_core.kernels.simd import LANES, part
from cnn_core.optimisers import (
    L1,
    L2,
    SGD,
    Adam,
    AdamW,
    ClipNorm,
    MaxNorm,
    Momentum,
    Nesterov,
    RMSprop,
    Rule,
    WeightDecay,
)

f = np.float32

RULE = np.dtype(
    # The kernel's address; where its numbers begin among the parameters, in `outputs` rows of `size`.
    [(name, np.int64) for name in ("place", "gradient", "pitch", "first", "outputs", "size")]
    # Its hyperparameters, by the names that they have in `cnn_core.optimisers`.
    + [(name, np.float64) for name in ("momentum", "beta1", "beta2", "epsilon", "factor", "limit")]
)

compiled = functools.partial(kernel, error_model="numpy", fastmath={"contract", "reassoc"})


@compiled
def sgd(rule, memory, kept, rate, step):  # type: ignore[no-untyped-def]
    parameter, gradient, rate = memory, part(memory, rule.gradient), f(rate)
    for i in range(rule.size):
        parameter[i] -= rate * gradient[i]


@compiled
def momentum(rule, memory, kept, rate, step):  # type: ignore[no-untyped-def]
    parameter, gradient, velocity = memory, part(memory, rule.gradient), kept
    rate, share = f(rate), f(rule.momentum)
    for i in range(rule.size):
        velocity[i] = share * velocity[i] + gradient[i]
        parameter[i] -= rate * velocity[i]


@compiled
def nesterov(rule, memory, kept, rate, step):  # type: ignore[no-untyped-def]
    parameter, gradient, velocity = memory, part(memory, rule.gradient), kept
    rate, share = f(rate), f(rule.momentum)
    for i in range(rule.size):
        velocity[i] = share * velocity[i] + gradient[i]
        parameter[i] -= rate * (gradient[i] + share * velocity[i])


@compiled
def rmsprop(rule, memory, kept, rate, step):  # type: ignore[no-untyped-def]
    parameter, gradient, square = memory, part(memory, rule.gradient), kept
    rate, beta2, fresh, epsilon = f(rate), f(rule.beta2), f(1 - rule.beta2), f(rule.epsilon)
    for i in range(rule.size):
        square[i] = beta2 * square[i] + fresh * gradient[i] * gradient[i]
        parameter[i] -= rate * gradient[i] / (np.sqrt(square[i]) + epsilon)


@compiled
def adam(rule, memory, kept, rate, step):  # type: ignore[no-untyped-def]
    """With `factor`, AdamW's decay of all parameters comes first."""
    parameter, gradient, mean, square = memory, part(memory, rule.gradient), kept, part(kept, rule.pitch)
    decay, length = f(rate * rule.factor), f(rate / (1 - rule.beta1**step))
    beta1, fresh1 = f(rule.beta1), f(1 - rule.beta1)
    beta2, fresh2 = f(rule.beta2), f(1 - rule.beta2)
    share, epsilon = f(1 / np.sqrt(1 - rule.beta2**step)), f(rule.epsilon)
    for i in range(rule.size):
        mean[i] = beta1 * mean[i] + fresh1 * gradient[i]
        square[i] = beta2 * square[i] + fresh2 * gradient[i] * gradient[i]
        shift = length * mean[i] / (np.sqrt(square[i]) * share + epsilon)
        parameter[i] = parameter[i] - decay * parameter[i] - shift


@compiled
def clip_norm(rule, memory, kept, rate, step):  # type: ignore[no-untyped-def]
    gradient, total = part(memory, rule.gradient), 0.0
    for first in range(0, rule.size, 4096):  # in float32 a long sum would lose digits
        some = f(0)
        for i in range(first, min(first + 4096, rule.size)):
            some += gradient[i] * gradient[i]
        total += float(some)
    length = np.sqrt(total)
    if length > rule.limit:
        share = f(rule.limit / length)
        for i in range(rule.size):
            gradient[i] *= share


@compiled
def l1(rule, memory, kept, rate, step):  # type: ignore[no-untyped-def]
    weight, gradient = part(memory, rule.first), part(memory, rule.gradient + rule.first)
    factor = f(rule.factor)
    for i in range(rule.outputs * rule.size):
        gradient[i] += factor if weight[i] > 0 else (-factor if weight[i] < 0 else f(0))


@compiled
def l2(rule, memory, kept, rate, step):  # type: ignore[no-untyped-def]
    weight, gradient = part(memory, rule.first), part(memory, rule.gradient + rule.first)
    factor = f(rule.factor)
    for i in range(rule.outputs * rule.size):
        gradient[i] += factor * weight[i]


@compiled
def weight_decay(rule, memory, kept, rate, step):  # type: ignore[no-untyped-def]
    weight, share = part(memory, rule.first), f(rate * rule.factor)
    for i in range(rule.outputs * rule.size):
        weight[i] -= share * weight[i]


@compiled
def max_norm(rule, memory, kept, rate, step):  # type: ignore[no-untyped-def]
    for k in range(rule.outputs):
        weight, total = part(memory, rule.first + k * rule.size), f(0)
        for i in range(rule.size):
            total += weight[i] * weight[i]
        length = np.sqrt(total)
        if length > rule.limit:
            share = f(rule.limit / length)
            for i in range(rule.size):
                weight[i] *= share


RULES: dict[type, Any] = {
    L1: l1, L2: l2, SGD: sgd, Adam: adam, AdamW: adam, ClipNorm: clip_norm, MaxNorm: max_norm,
    Momentum: momentum, Nesterov: nesterov, RMSprop: rmsprop, WeightDecay: weight_decay,
}  # fmt: skip


NO_RULE = np.zeros(0, RULE)


class Running:
    """A rule as a loop takes it, for one epoch: its `table`, what it has `kept`, the steps `before`.

    The loop changes `kept` in place; `end` hands it back.
    """

    def __init__(self, rule: Rule, memory: NDArray[Any], parameters: int, gradient: int) -> None:
        self.table = lay_out(rule, memory, parameters, gradient)
        self.kept = np.zeros((max(1, len(rule.kept)), pitch_of(parameters)), memory.dtype)
        self._rule, self._own = rule, self.kept[: len(rule.kept), :parameters]
        self._own[...] = rule.kept

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.table, self.kept.ravel(), self._rule.step

    def end(self, steps: int) -> None:
        self._rule.kept[...] = self._own
        self._rule.step += steps


def no_rule(memory: NDArray[Any]) -> tuple[Any, ...]:
    """The arguments of a loop without one."""
    return NO_RULE, np.zeros(0, memory.dtype), 0


def has_kernels(rule: Rule) -> bool:
    """Whether all its parts are the textbook's."""
    return all(type(own) in RULES for own in (rule.optimiser, *rule.regularisers))


def lay_out(rule: Rule, memory: NDArray[Any], parameters: int, gradient: int) -> NDArray[Any]:
    """What `rule.apply` does, in the same order; compiled, if it was not."""
    whole, parts = ((0, 1, parameters),), list[tuple[Any, tuple[int, int, int]]]()
    stages = ("clip", whole), ("penalise", rule.weights), ("update", whole), ("project", rule.weights)
    for method, over in stages:
        for own in (rule.optimiser, *rule.regularisers):
            if method in vars(type(own)):
                parts += [(own, at) for at in over]
    table, flat = np.zeros(len(parts), RULE), typeof(memory)
    for number, (own, at) in enumerate(parts):
        row: dict[str, Any] = dict(zip(("first", "outputs", "size"), at, strict=True))
        row |= {field.name: getattr(own, field.name) for field in fields(own)}
        row |= {"gradient": gradient, "pitch": pitch_of(parameters)}
        row["place"] = address(RULES[type(own)], from_dtype(RULE), flat, flat, types.float64, types.int64)
        for name, value in row.items():
            table[name][number] = value
    return table


def pitch_of(parameters: int) -> int:
    """How far apart the arrays are that an optimiser keeps."""
    return -(-parameters // LANES) * LANES + LANES
