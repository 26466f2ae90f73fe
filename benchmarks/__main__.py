"""`make bench`: the engine beside the course report's loops, measured side by side in one run.

Prints microseconds a training image on one core, evaluation excluded, and their ratio.
"""

import platform
import statistics
import time

import numpy as np

from benchmarks.report_loops import seconds_per_image
from cnn_core.compilation import load_engine
from cnn_core.config import Config
from cnn_core.datasets import load
from cnn_core.network import build_network, initial_parameters, initial_statistics

BATCH_SIZES = (1, 3, 5, 10, 30)
REPETITIONS = 7
LOOP_IMAGES = 30


def engine_seconds_per_image(batch_size: int) -> float:
    """Median time of an epoch over 600 images, by the number of images."""
    engine = load_engine()
    config = Config(batch_size=batch_size)
    images = load(
        "digits",
        data_dir=None,
        train_size=600,
        test_size=1000,
        data_seed=0,
        split="test",
        validation_size=None,
    )
    network = build_network(config, (1, 28, 28), 10)
    parameters = initial_parameters(network, "xavier", np.random.default_rng(0))
    buffers = engine.Buffers.allocate(network, batch_size).arrays()
    state = (network.table, parameters, initial_statistics(network), buffers)
    order = np.arange(600)
    times = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        engine.run_epoch(*state, images.train_x, images.train_y, order, np.float32(0.01), 0.3, np.uint64(1))
        times.append(time.perf_counter() - began)
    return statistics.median(times) / 600


def main() -> None:
    """Print the table."""
    print(f"{platform.machine()}, Python {platform.python_version()}, one core, us a training image")
    print(f"{'batch':>5}  {'report loops':>12}  {'cnn_core':>8}  {'ratio':>6}")
    for batch_size in BATCH_SIZES:
        loops = seconds_per_image(batch_size, LOOP_IMAGES)
        ours = engine_seconds_per_image(batch_size)
        print(f"{batch_size:>5}  {loops * 1e6:>12.0f}  {ours * 1e6:>8.1f}  {loops / ours:>6.0f}")
    print(f"report loops timed on {LOOP_IMAGES} images of each batch size, cnn_core on 600")


if __name__ == "__main__":
    main()
