"""The network in ONNX Runtime, forward only: the graph that `alexbench weights export --to onnx` writes, as it runs.

Importing this package imports nothing; `framework.FRAMEWORK` is the entry point. The files are those of the other
`with_*` packages, as far as there is a counterpart; the operators are the nodes of `impls.onnx_graph`:
    framework.py  what the harness sees: describe, operators, build
    tuning.py     the choices of `stock` and `tuned` as plain data
    arrays.py     device, precision and session; canonical NumPy arrays to native ones and back
    single.py     one layer at a time, NumPy in and out
    network.py    the network's activations at test time
"""
