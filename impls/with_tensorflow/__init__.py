"""The network in TensorFlow. Importing this package imports nothing; `framework.FRAMEWORK` is the entry point.

The three `with_*` packages hold the same files with the same definitions in the same order:
    framework.py  what the harness sees: describe, operators, build
    arrays.py     device and precision; canonical NumPy arrays to native ones and back
    operators.py  every layer as native functions, and which of them `stock` and `tuned` use
    single.py     one layer at a time, NumPy in and out
    network.py    the module built from a `Network`
    training.py   activations, loss, gradients and SGD in the paper's form
"""
