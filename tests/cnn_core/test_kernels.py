"""The kernels, from one table of small networks: outputs, gradients, statistics as the textbook has them.

The table crosses what the layout depends on: filters above and below a vector and its half, odd sizes that
fill no window, strides, padding, one convolution and several, with and without normalisation and dropout.
"""

import contextlib
import signal
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numba import njit
from scipy.signal import correlate

from cnn_core import engine
from cnn_core.architecture import build_layers, initial_parameters, initial_statistics
from cnn_core.config import Config, ConfigError
from cnn_core.fuse import CONV, Program, fuse
from cnn_core.kernels import layout
from cnn_core.kernels.cross_entropy import backward_cross_entropy, forward_cross_entropy
from cnn_core.kernels.paired import SIZES
from cnn_core.layers import CrossEntropy
from tests.cnn_core.fused import Fused, Step, mix

Array = np.ndarray[Any, np.dtype[Any]]
LABELS = np.array([0, 3, 1, 2, 2], np.int32)
KEY = 12345678901234567890


@dataclass(frozen=True)
class Case:
    name: str
    shape: tuple[int, int, int]
    channels: tuple[int, ...]
    size: int = 3
    stride: int = 1
    padding: int = 0
    norm: str = "batch"
    dropout: float = 0.4

    def network(self) -> Program:
        config = Config(
            conv_channels=self.channels, kernel_size=self.size, stride=self.stride, padding=self.padding,
            norm=self.norm, dropout_rate=self.dropout,
        )  # fmt: skip
        program = fuse(build_layers(config, self.shape, 4), self.shape)
        assert program
        return program


CASES = [
    Case("study", (1, 28, 28), (6, 16), size=5),
    Case("study-one", (1, 28, 28), (6,), size=5),
    Case("colour", (3, 16, 15), (5, 7)),
    Case("eight", (1, 9, 26), (8,)),
    Case("eight-of-four-vectors", (2, 6, 30), (8,)),
    Case("few-of-four-vectors", (1, 6, 30), (4,)),
    Case("no-norm", (3, 11, 13), (2, 3), norm="none"),
    Case("no-norm-no-dropout", (2, 12, 12), (4, 3), norm="none", dropout=0),
    Case("wide-first", (1, 12, 12), (20, 9)),
    Case("vector-and-one", (2, 13, 12), (17, 16), dropout=0),
    Case("wide", (1, 14, 14), (32, 33)),
    Case("padding", (3, 9, 10), (3, 4), padding=1),
    Case("padding-no-norm", (2, 8, 9), (9, 17), padding=2, norm="none"),
    Case("stride", (2, 19, 18), (3,), stride=2),
    Case("stride-no-norm", (1, 26, 25), (4, 5), stride=2, padding=1, norm="none"),
    Case("large-stride", (1, 30, 30), (4,), size=2, stride=3),
    Case("one-tap", (3, 8, 8), (4, 4), size=1),
    Case("few-rows", (1, 4, 9), (3,), padding=0),
    Case("five-rows", (2, 7, 7), (2,), size=3),
    Case("three", (1, 24, 24), (4, 5, 6), padding=1),
]


def parts(case: Case, seed: int = 0) -> tuple[Program, Array, Array, Array]:
    """The network, parameters and running statistics away from where they start, and a batch of images."""
    rng = np.random.default_rng(seed)
    network = case.network()
    parameters = initial_parameters(network.layers, network.shape, "he", rng).astype(float)
    parameters += 0.1 * rng.standard_normal(parameters.size)
    statistics = initial_statistics(network.layers, network.shape).astype(float) + 0.5 * rng.random(
        network.statistics
    )
    return network, parameters, statistics, rng.random((len(LABELS), *case.shape))


def step(
    case: Case, dtype: Any, parameters: Array, statistics: Array, images: Array
) -> tuple[layout.State, float]:
    """One step of the engine that changes no parameter; returns its state and the mean loss."""
    state = layout.allocate(case.network(), parameters, statistics, len(images), dtype)
    order = np.arange(len(images))
    images = images.astype(dtype)
    loss = engine.train_epoch(state, images, LABELS, order, len(images), 0.0, case.dropout, KEY)
    return state, loss


def expected(case: Case, parameters: Array, statistics: Array, images: Array) -> Step:
    """The same step, as the textbook has it."""
    fused = Fused(case.network(), parameters, statistics, case.dropout)
    return fused.step(images, LABELS, mix(KEY, 0))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 2e-3)], ids=["64", "32"])
def test_a_step_equals_the_textbook(case: Case, dtype: Any, tolerance: float) -> None:
    network, parameters, statistics, images = parts(case)
    parameters, statistics, images = (a.astype(dtype).astype(float) for a in (parameters, statistics, images))
    found, loss = step(case, dtype, parameters, statistics, images)
    wanted = expected(case, parameters, statistics, images)
    assert loss == pytest.approx(wanted.loss, rel=tolerance)
    gradient = found.memory[found.gradient : found.gradient + network.parameters]
    assert gradient.dtype == dtype
    scale = np.abs(wanted.gradient).max()
    np.testing.assert_allclose(gradient / scale, wanted.gradient / scale, atol=tolerance)
    _, running = engine.trained(found, network)
    np.testing.assert_allclose(running, wanted.statistics, rtol=max(tolerance, 1e-8))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradient_equals_finite_differences(case: Case) -> None:
    network, parameters, statistics, images = parts(case, seed=1)
    state, _ = step(case, np.float64, parameters, statistics, images)
    gradient = state.memory[state.gradient : state.gradient + network.parameters]
    rng = np.random.default_rng(2)
    for op in network.operations:
        for place in rng.choice(np.arange(op.weight, op.end), min(6, op.end - op.weight), replace=False):
            moved = []
            for sign in (1e-6, -1e-6):
                shifted = parameters.copy()
                shifted[place] += sign
                moved.append(step(case, np.float64, shifted, statistics, images)[1])
            assert gradient[place] == pytest.approx((moved[0] - moved[1]) / 2e-6, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_evaluation_uses_running_statistics_and_drops_nothing(case: Case) -> None:
    network, parameters, statistics, images = parts(case)
    state = layout.allocate(network, parameters, statistics, 1, np.float64)
    logits = Fused(network, parameters, statistics, case.dropout).textbook.logits(images)
    np.testing.assert_allclose(engine.predict(state, images), logits, rtol=1e-9, atol=1e-9)
    loss, right = engine.evaluate(state, images, LABELS)
    assert loss == pytest.approx(CrossEntropy().forward(logits, LABELS))
    np.testing.assert_array_equal(right, logits.argmax(1) == LABELS)
    _, running = engine.trained(state, network)
    np.testing.assert_array_equal(running, statistics)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_convolution_equals_scipy_correlate(case: Case) -> None:
    network, parameters, statistics, images = parts(case)
    state, _ = step(case, np.float64, parameters, statistics, images)
    op, row = network.operations[0], state.table[0]
    p, q, k = op.after
    weight = parameters[op.weight : op.bias].reshape(k, op.size, op.size, -1).transpose(0, 3, 1, 2)
    pad = ((0, 0), (0, 0), (op.padding, op.padding), (op.padding, op.padding))
    padded = np.pad(images, pad)
    size, width, paired = row["y_size"], row["width"], row["paired"]
    for n, image in enumerate(padded):
        at = row["y"] + n * size
        y = state.memory[at : at + row["rows"] * q * width].reshape(-1, q, width)
        if paired:  # even lanes are the upper half of the rows, odd ones the lower
            y = np.concatenate([y[:, :, 0::2], y[:, :, 1::2]])
        for f in range(k):
            whole = correlate(image, weight[f], mode="valid")[0, :: op.stride, :: op.stride]
            np.testing.assert_allclose(y[:p, :, f], whole + parameters[op.bias + f], rtol=1e-9, atol=1e-9)


FILTERS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 33)


@pytest.mark.parametrize("seed", range(6))
def test_any_network_equals_the_textbook_and_writes_nothing_beyond_its_memory(seed: int) -> None:
    """Kernels check no bounds, so each buffer lies between two fields that must stay as they are."""
    rng = np.random.default_rng(seed)
    done = 0
    while done < 10:
        channels = tuple(int(c) for c in rng.choice(FILTERS, rng.integers(1, 4)))
        size, stride, padding = (int(rng.integers(*range_)) for range_ in ((1, 6), (1, 4), (0, 4)))
        shape = int(rng.integers(1, 5)), int(rng.integers(2, 24)), int(rng.integers(2, 24))
        norm, dropout = str(rng.choice(["batch", "none"])), float(rng.choice([0, 0.3, 0.9]))
        case = Case("random", shape, channels, size, stride, padding, norm, dropout)
        with contextlib.suppress(ConfigError):  # a kernel larger than its image
            network, parameters, statistics, images = parts(case, seed=done)
            state = layout.allocate(network, parameters, statistics, len(images), np.float64)
            fields = {name: fence(getattr(state, name)) for name in ("memory", "codes", "sums", "lists")}
            state = state._replace(**{name: inner for name, (_, inner) in fields.items()})
            order = np.arange(len(images))
            loss = engine.train_epoch(state, images, LABELS, order, len(order), 0.0, dropout, KEY)
            wanted = expected(case, parameters, statistics, images)
            assert loss == pytest.approx(wanted.loss, rel=1e-9), case
            gradient = state.memory[state.gradient : state.gradient + network.parameters]
            scale = np.abs(wanted.gradient).max()
            np.testing.assert_allclose(
                gradient / scale, wanted.gradient / scale, atol=1e-9, err_msg=str(case)
            )
            for whole, _ in fields.values():
                assert (whole[:MARGIN] == FENCE).all(), case
                assert (whole[-MARGIN:] == FENCE).all(), case
            done += 1


FENCE, MARGIN = 77, 4096


def fence(inner: Array) -> tuple[Array, Array]:
    """A copy of a buffer with a field of FENCE on either side of it, and the buffer in there."""
    whole = np.full(inner.size + 2 * MARGIN, FENCE, inner.dtype)
    whole[MARGIN:-MARGIN] = inner
    return whole, whole[MARGIN:-MARGIN]


def test_the_table_reaches_every_way_through_the_layout() -> None:
    tables = [layout.allocate(*parts(case)[:3], 1).table for case in CASES]
    rows = [row for table in tables for row in table if row["kind"] == CONV]
    ways = {(bool(row["paired"]), bool(row["dense"])) for row in rows}
    assert ways == {(True, True), (False, True), (False, False)}
    columns = {(bool(row["few"]), bool(row["wide"])) for row in rows if row["beside"]}
    assert columns == (
        {(False, False), (False, True), (True, False), (True, True)} if layout.LANES == 16 else {(True, True)}
    )
    assert any(row["paired"] and not row["beside"] for row in rows)
    assert {row["size"] for row in rows if row["beside_back"]} == set(SIZES)
    assert any(row["whole"] < row["rows"] for row in rows)
    assert any(row["width"] > layout.LANES for row in rows)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    """Of activations that are all 1, through a network whose convolution copies its image."""
    config = Config(conv_channels=(1,), kernel_size=1, norm="none", dropout_rate=0.3)
    network = fuse(build_layers(config, (1, 64, 64), 2), (1, 64, 64))
    assert network
    parameters = np.zeros(network.parameters)
    parameters[0] = 1
    state = layout.allocate(network, parameters, np.empty(0), 40)
    images = np.ones((40, 1, 64, 64), np.float32)
    engine.train_epoch(state, images, np.zeros(40, np.int32), np.arange(40), 40, 0.0, 0.3, 7)
    row = state.table[1]
    y = np.stack([state.memory[at : at + 32 * 32] for at in row["y"] + np.arange(40) * row["y_size"]])
    # A maximum is 0 only if all four were dropped.
    assert abs((y == 0).mean() - 0.3**4) < 0.002
    np.testing.assert_allclose(y[y > 0], 1 / 0.7, rtol=1e-4)


@pytest.mark.parametrize("pixel", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_what_is_not_a_number_passes_every_layer(pixel: tuple[int, int]) -> None:
    """So that a diverged training is seen: wherever in a window it is, it is no smaller than a number."""
    network = Case("one", (1, 4, 4), (2,), size=1, norm="none").network()
    state = layout.allocate(network, np.ones(network.parameters), np.empty(0), 1)
    images = np.zeros((2, 1, 4, 4), np.float32)
    images[0, 0, pixel[0], pixel[1]] = np.nan
    logits = engine.predict(state, images)
    assert np.isnan(logits[0]).all()
    assert np.isfinite(logits[1]).all()
    loss = engine.train_epoch(state, images, LABELS[:2], np.arange(2), 1, 0.1, 0.0, KEY)
    assert np.isnan(loss)


def test_no_images_are_no_logits_and_no_error() -> None:
    network, parameters, statistics, images = parts(CASES[0])
    state = layout.allocate(network, parameters, statistics, 1)
    assert engine.predict(state, images[:0]).shape == (0, 4)


def test_a_batch_larger_than_its_room_is_refused() -> None:
    network, parameters, statistics, images = parts(CASES[0])
    state = layout.allocate(network, parameters, statistics, 4)
    with pytest.raises(ValueError, match="room is for batches of 4"):
        engine.train_epoch(state, images, LABELS, np.arange(5), 5, 0.1, 0.0, KEY)


def train_study(order: Array) -> tuple[float, Array]:
    network, parameters, statistics, images = parts(CASES[0])
    state = layout.allocate(network, parameters, statistics, 2)
    loss = engine.train_epoch(state, images, LABELS, order, 2, 0.01, 0.4, KEY)
    return loss, np.concatenate(engine.trained(state, network))


def test_the_pieces_of_an_epoch_give_the_same_bits_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    order = np.tile(np.arange(len(LABELS)), 5)
    whole = train_study(order)
    monkeypatch.setattr(engine, "PIECE_IMAGES", 1)
    monkeypatch.setattr(engine, "PIECE_S", 0)
    pieces = train_study(order)
    assert whole[0] == pieces[0]
    assert whole[1].tobytes() == pieces[1].tobytes()


def test_an_interrupt_ends_an_epoch_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole would take a minute."""
    last_steps = []

    def recorded(*args: Any) -> float:
        last_steps.append(args[6])
        if len(last_steps) == 3:
            signal.setitimer(signal.ITIMER_REAL, 0.001)  # while compiled code runs
        return float(run(*args))

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    run, order = engine.run, np.tile(np.arange(len(LABELS)), 600_000)
    monkeypatch.setattr(engine, "run", recorded)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            train_study(order)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert last_steps[-1] < len(order) // 2


@njit
def cross_entropy(logits: Array, classes: int, labels: Array, smoothing: float, p: Array, d: Array) -> float:
    loss = forward_cross_entropy(logits, classes, classes, labels, smoothing, p)
    backward_cross_entropy(p, classes, classes, labels, smoothing, d, len(labels))
    return float(loss)


def test_cross_entropy_is_stable() -> None:
    logits = np.array([[1000.0, 0.0, -1000.0], [0.1, 0.2, 0.3]])
    p, d = np.empty(6), np.empty(6)
    loss = cross_entropy(logits.ravel(), 3, np.array([1, 2], np.int32), 0.0, p, d)
    assert loss == pytest.approx(1000 + np.log(np.exp([-0.2, -0.1, 0]).sum()))
    np.testing.assert_allclose(d.reshape(2, 3).sum(axis=1), 0, atol=1e-15)
    np.testing.assert_allclose(d[:3], [0.5, -0.5, 0], atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_equals_the_textbook(smoothing: float) -> None:
    rng = np.random.default_rng(0)
    logits, labels = 5 * rng.standard_normal((6, 4)), rng.integers(4, size=6).astype(np.int32)
    p, d = np.empty(24), np.empty(24)
    loss = cross_entropy(logits.ravel(), 4, labels, smoothing, p, d)
    textbook = CrossEntropy(smoothing)
    assert loss / 6 == pytest.approx(textbook.forward(logits, labels), rel=1e-12)
    np.testing.assert_allclose(d.reshape(6, 4), textbook.backward(logits, labels), atol=1e-15)
