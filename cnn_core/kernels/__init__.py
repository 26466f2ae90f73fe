"""Compiled with numba: the kernels of one fused block, and those of single layers in operations/.

A block is a convolution (conv2d.py), a normalisation (batch_norm.py) in the first block if asked for, then
ReLU, dropout and maximum in one pass (activate_pool.py, with relu.py and dropout.py). A linear layer and the
loss follow the last block: `cnn_core.fuse` says which networks are such, and layout.py places their
operations in memory. Any other network has an operation for each layer (operations/, functions.py), placed
by plan.py. rules.py has optimisers and regularisers, pointer.py calls what a table says, cache.py keeps what
is compiled. Beside a layer of the user's own, others run one at a time from Python (single.py, with
patches.py, dense.py and gelu.py). What each computes stands in `cnn_core.layers`, and the tests hold the two
to each other (tests/cnn_core/test_kernels.py, test_operations.py, test_composed.py).

Axes: N images of a batch, H rows, W columns, C channels, K filters, R rows (and columns) of a kernel, P and Q
rows and columns of a convolution's output, D features of a linear layer. Channels come last, so that what a
kernel covers in one row of an image lies together: R C numbers.

A kernel gets flat arrays and writes into flat arrays, all of one floating type: float32 in training, float64
where a test holds it against finite differences. `dx` stands for the gradient of the loss with respect to
`x`. None of them allocates. A gradient that a pooling routes to one position in four is handed on as such
(activate_pool.py), not filled up with zeros. The products are written here too, on the vectors of
simd.py: at these sizes a call of BLAS costs as much as its arithmetic.
"""
