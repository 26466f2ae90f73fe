"""Logistic regression on Gaussian clouds, by stochastic gradient descent."""

import numpy as np


def train(*, learning_rate, epochs, seed, penalty=0.01):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, 2000)
    x = rng.normal(0, 1, (2000, 20)) + label[:, None] * 0.4
    weight, bias = np.zeros(20), 0.0
    for _ in range(epochs):
        for i in rng.permutation(1000):
            error = 1 / (1 + np.exp(-(x[i] @ weight + bias))) - label[i]
            weight -= learning_rate * (error * x[i] + penalty * weight)
            bias -= learning_rate * error
        yield {"accuracy": np.mean((x[1000:] @ weight + bias > 0) == label[1000:])}
