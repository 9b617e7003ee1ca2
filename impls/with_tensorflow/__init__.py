"""The network in TensorFlow. Importing this package imports nothing; `framework.FRAMEWORK` is the entry point.

The three `with_*` packages hold the same files with the same definitions in the same order:
    framework.py  what the harness sees: describe, operators, build, works to be timed
    tuning.py     what `stock` and `tuned` are, as data
    arrays.py     device and precision; canonical NumPy arrays to native ones and back
    operators.py  every layer as native functions, and which of them `stock` and `tuned` use
    single.py     one layer at a time, NumPy in and out
    network.py    the module built from a `Network`
    sgd.py        one step of SGD in the paper's form
    training.py   activations, loss, gradients and training steps
    loop.py       a phase run again and again on data that stay on the device
    timed.py      one layer, and what the device can do, to be timed
    engine.py     devices, processes, and what they exchange
    split.py      the network on several devices
    engine.py     several devices and processes, and what they exchange
    split.py      the network on several devices; split_network.py: its shares and what is computed with them
"""
