"""MNIST's handwritten digits, in whichever of its published forms they are there."""

SHAPE, CLASSES = (70_000, 1, 28, 28), 10
"""Of the whole dataset: 60,000 to train on, then 10,000 to test on."""
TEST_COUNT = 10_000
