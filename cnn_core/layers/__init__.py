"""The layers, one a file: the forward pass beside its backward, compiled with numba.

Axes: N images of a batch, H rows, W columns, C channels, K filters, R rows (and columns) of a kernel, P and Q
rows and columns of a convolution's output, D features of a linear layer. Channels come last, so that what a
kernel covers in one row of an image lies together: R C numbers.

A kernel gets flat arrays and writes into flat arrays, all of one floating type: float32 in training, float64
where a test holds it against finite differences. `dx` stands for the gradient of the loss with respect to
`x`. None of them allocates. A gradient that a pooling routes to one position in four is handed on as such
(max_pool2d.py), not filled up with zeros. The products are written here too, on the vectors of
`cnn_core.simd`: at these sizes a call of BLAS costs as much as its arithmetic.
"""
