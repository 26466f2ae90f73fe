"""Train a small classifier on two interleaved half moons, and print the accuracy after each epoch."""

import argparse
import json

import numpy as np


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--hidden", type=int, nargs="+", default=[8], help="the widths of the hidden layers")
    parser.add_argument("--nesterov", action="store_true")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def half_moons(rng, count):
    angle = rng.uniform(0, np.pi, count)
    label = rng.integers(0, 2, count)
    x = np.where(label, 1 - np.cos(angle), np.cos(angle))
    y = np.where(label, 0.5 - np.sin(angle), np.sin(angle))
    return np.stack([x, y], axis=1) + rng.normal(0, 0.2, (count, 2)), label


def forward(weights, x):
    layers = [x]
    for weight in weights:
        x = np.concatenate([x, np.ones((len(x), 1))], axis=1) @ weight
        x = np.tanh(x) if weight is not weights[-1] else 1 / (1 + np.exp(-x))
        layers.append(x)
    return layers


def gradients(weights, x, label):
    layers = forward(weights, x)
    delta = (layers[-1] - label[:, None]) / len(x)
    found = []
    for weight, below in zip(reversed(weights), reversed(layers[:-1])):
        found.append(np.concatenate([below, np.ones((len(below), 1))], axis=1).T @ delta)
        delta = (delta @ weight[:-1].T) * (1 - below**2)
    return found[::-1]


def main():
    args = parse_args()
    rng = np.random.default_rng(args.seed)
    (x, label), (x_test, label_test) = half_moons(rng, 500), half_moons(rng, 500)
    widths = [2, *args.hidden, 1]
    weights = [rng.normal(0, 1 / np.sqrt(n + 1), (n + 1, m)) for n, m in zip(widths, widths[1:])]
    speeds = [np.zeros_like(weight) for weight in weights]
    print(f"{sum(weight.size for weight in weights)} weights")
    for _ in range(args.epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), args.batch_size):
            batch = order[start : start + args.batch_size]
            ahead = [w + 0.9 * v for w, v in zip(weights, speeds)] if args.nesterov else weights
            for weight, speed, gradient in zip(weights, speeds, gradients(ahead, x[batch], label[batch])):
                speed *= 0.9
                speed -= args.learning_rate * gradient
                weight += speed
        correct = (forward(weights, x_test)[-1][:, 0] > 0.5) == label_test
        print(json.dumps({"accuracy": correct.mean()}))


if __name__ == "__main__":
    main()
