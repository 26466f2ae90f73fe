"""The layers, one a file: the forward pass beside its backward, compiled with numba.

Axes: N images of a batch, C channels, H rows, W columns, K filters, R and S rows and columns of a
kernel, P and Q rows and columns of a convolution's output, D features of a linear layer.

A kernel gets arrays and writes into arrays, all of one floating type: float32 in training, float64
where a test holds it against finite differences. `dx` stands for the gradient of the loss with
respect to `x`. None of them allocates, and none knows what layer comes before or after.
"""
