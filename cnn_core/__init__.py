"""Train one configuration of a convolutional image classifier."""
