"""The reference: every operator, the network and its training in NumPy, float64 unless told otherwise.

rounding      number formats and rounding to them
product       the weight gradient of a dense layer, kept as its two factors
operators     single layers forward and backward; convolution, dense, pooling and normalization hold their arithmetic
gauges        how far a correct computation may lie from each result
network       a whole network: activations and gradients, in float64 or as a low precision would compute them
propagation   the rounding error that accumulates from layer to layer
sgd           training steps
"""
