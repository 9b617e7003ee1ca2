"""The network in PyTorch. Importing this package imports nothing; `framework.FRAMEWORK` is the entry point.

The three `with_*` packages hold the same files with the same definitions in the same order:
    framework.py  what the harness sees: describe, operators, build
    tuning.py     the choices of `stock` and `tuned` as plain data, and what each gains
    arrays.py     device and precision; canonical NumPy arrays to native ones and back
    operators.py  every layer as native functions, and the choice of them by a tuning's names
    single.py     one layer at a time, NumPy in and out
    network.py    the module built from a `Network`
    sgd.py        the update in the paper's form
    training.py   activations, loss, gradients and training
    loop.py       a phase of the network, to be timed or to be trained by
    compilation.py  torch.compile, where the machine can
    timed.py      single layers and probes, to be timed
    engine.py     several devices and what they exchange
    processes.py  the processes that drive them
    split_network.py, split.py  the network on several devices, and what `build` returns for it
    reading.py    somebody's module as a reading: tracing.py, calls.py, initial.py
    exporting.py  weights as a file of PyTorch's own
"""
