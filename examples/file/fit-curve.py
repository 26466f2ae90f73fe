"""Fit a sum of cosines to noisy data; return what each round left over, as Keras keeps its history."""

import math
import random


def fit(terms, step, rounds):
    rng = random.Random(0)
    x = [i / 200 for i in range(200)]
    y = [math.exp(-3 * t) + rng.gauss(0, 0.02) for t in x]
    basis = [[math.cos(math.pi * k * t) for k in range(terms)] for t in x]
    weights = [0.0] * terms
    history = {"train": [], "test": []}
    for _ in range(rounds):
        rest = [y[i] - sum(w * b for w, b in zip(weights, basis[i])) for i in range(200)]
        for i in range(0, 200, 2):
            weights = [w + step * rest[i] * b / 100 for w, b in zip(weights, basis[i])]
        history["train"].append(sum(r * r for r in rest[::2]) / 100)
        history["test"].append(sum(r * r for r in rest[1::2]) / 100)
    return history
