"""The kernels of one fused block, compiled with numba: the forward pass beside its backward.

A block is a convolution (conv2d.py), a normalisation (batch_norm.py) in the first block if asked for, then
ReLU, dropout and maximum in one pass (activate_pool.py, with relu.py and dropout.py). A linear layer and the
loss follow the last block: `cnn_core.fuse` says which networks are such. Layers of any other run one at a
time (single.py, with patches.py, dense.py and gelu.py). What each computes stands in `cnn_core.layers`, and
the tests hold the two to each other (tests/cnn_core/test_kernels.py, test_composed.py).

Axes: N images of a batch, H rows, W columns, C channels, K filters, R rows (and columns) of a kernel, P and Q
rows and columns of a convolution's output, D features of a linear layer. Channels come last, so that what a
kernel covers in one row of an image lies together: R C numbers.

A kernel gets flat arrays and writes into flat arrays, all of one floating type: float32 in training, float64
where a test holds it against finite differences. `dx` stands for the gradient of the loss with respect to
`x`. None of them allocates. A gradient that a pooling routes to one position in four is handed on as such
(activate_pool.py), not filled up with zeros. The products are written here too, on the vectors of
simd.py: at these sizes a call of BLAS costs as much as its arithmetic.

layout.py places a network's operations in memory, cache.py keeps what is compiled.
"""
