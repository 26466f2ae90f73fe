"""Linear layer: y = x weight^T + bias."""

from cnn_core.kernels.cache import kernel
from cnn_core.kernels.simd import LANES, fill, fma, load, part, splat, store, total


@kernel
def forward_linear(op, state, n):  # type: ignore[no-untyped-def]
    """Fill y. Shapes: x (N, x_size), the first D of them; weight (K, D); bias (K,); y (N, y_size)."""
    memory, features, outputs, x_size, y_size = state.memory, op.features, op.k, op.x_size, op.y_size
    x, y, weight, bias = (
        part(memory, op.x), part(memory, op.y), part(memory, op.weight), part(memory, op.bias)
    )  # fmt: skip
    whole = features - features % LANES
    for image in range(n):
        for k in range(outputs):
            sums = fill(load(x, 0), x.dtype.type(0))
            for d in range(0, whole, LANES):
                sums = fma(load(x, image * x_size + d), load(weight, k * features + d), sums)
            rest = bias[k] + total(sums)
            for d in range(whole, features):
                rest += x[image * x_size + d] * weight[k * features + d]
            y[image * y_size + k] = rest


@kernel
def backward_linear(op, state, n):  # type: ignore[no-untyped-def]
    """dweight = dy^T x; dbias = sum over n of dy; dx = dy weight. Shapes: as in the forward pass."""
    memory, features, outputs, x_size, dy_size = state.memory, op.features, op.k, op.x_size, op.y_size
    x, dx, dy = part(memory, op.x), part(memory, op.dx), part(memory, op.dy)
    weight, dweight, dbias = part(memory, op.weight), part(memory, op.dweight), part(memory, op.dbias)
    whole = features - features % LANES
    zero = fill(load(x, 0), x.dtype.type(0))
    for k in range(outputs):
        dbias[k] = 0
        for image in range(n):
            dbias[k] += dy[image * dy_size + k]
        for d in range(0, whole, LANES):
            sums = zero
            for image in range(n):
                sums = fma(splat(dy, image * dy_size + k), load(x, image * x_size + d), sums)
            store(dweight, k * features + d, sums)
        for d in range(whole, features):
            rest = x.dtype.type(0)
            for image in range(n):
                rest += dy[image * dy_size + k] * x[image * x_size + d]
            dweight[k * features + d] = rest
    for image in range(n):
        for d in range(0, whole, LANES):
            sums = zero
            for k in range(outputs):
                sums = fma(splat(dy, image * dy_size + k), load(weight, k * features + d), sums)
            store(dx, image * x_size + d, sums)
        for d in range(whole, features):
            rest = x.dtype.type(0)
            for k in range(outputs):
                rest += dy[image * dy_size + k] * weight[k * features + d]
            dx[image * x_size + d] = rest
