"""Small whole files of each format, for mutants: by the format's own library, or by its definition byte by byte.

Small, so that the damage falls on what says something. The same bytes in each process, so that a mutant is found again.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from mutator import zipped

CAFFE_TEXT = b"""name: "s" input: "d" input_dim: [1, 3, 4, 4]
layer { name: "c" type: "Convolution" bottom: "d" top: "c"
 convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "p" type: "Pooling" bottom: "c" top: "c" pooling_param { pool: MAX kernel_size: 2 } }
layer { name: "f" type: "InnerProduct" bottom: "c" top: "f" inner_product_param { num_output: 2 } }
"""
OLD_CAFFE_TEXT = b"""layers { type: DATA top: "d" include { phase: TRAIN }
 transform_param { crop_size: 4 mean_value: 9 } }
layers { type: LRN bottom: "d" top: "n" lrn_param { alpha: 1e-4 norm_region: WITHIN_CHANNEL } }
layers { type: INNER_PRODUCT bottom: "n" top: "f" inner_product_param { num_output: 2 } }
"""


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def onnx() -> list[bytes]:
    import onnx_models

    return [onnx_models.made(metadata={"alexbench": '{"network": "tiny"}'}).SerializeToString(deterministic=True)]


def caffe() -> list[bytes]:
    return [_caffe(is_old=is_old, unpacked=unpacked) for is_old in (False, True) for unpacked in (False, True)]


def _caffe(*, is_old: bool, unpacked: bool) -> bytes:
    """2x2 images, one kernel of 1x1, two classes."""
    import caffe_bytes as made

    conv = (made.blob(drawn(1, 3, 1, 1), unpacked=unpacked), made.blob(np.zeros(1), legacy=is_old))
    dense = (made.blob(drawn(2, 4), legacy=is_old), made.blob(np.ones(2), unpacked=unpacked))
    convolution = made.number(1, 1) + made.number(4, 1)
    steps = [
        made.Step("c", "data", "c", "Convolution", 4, convolution, 106, 10, conv),
        made.Step("r", "c", "c", "ReLU", 18),
        made.Step("n", "c", "n", "LRN", 15, made.number(1, 3) + made.single(2, 0.5), 118, 18),
        made.Step("f", "n", "f", "InnerProduct", 14, made.number(1, 2), 117, 17, dense),
    ]
    return made.net(steps, (1, 3, 2, 2), is_old=is_old, name="s")


def caffe_text() -> list[bytes]:
    return [CAFFE_TEXT, OLD_CAFFE_TEXT]


def means() -> list[bytes]:
    import caffe_bytes as made

    bgr = np.arange(3 * 2 * 2, dtype=np.float32).reshape(3, 2, 2) * 2
    array = io.BytesIO()
    np.save(array, bgr)
    return [made.blob(bgr[None]), made.blob(bgr[None], legacy=True, unpacked=True), array.getvalue()]


def torch() -> list[bytes]:
    """The three forms of a state dict; torch's own loader is not asked, for it would load PyTorch."""
    import made_state_dict as made

    shapes = {"conv1.weight": (2, 3, 2, 2), "conv1.bias": (2,), "fc2.weight": (3, 2), "fc2.bias": (3,)}
    storages = {str(place): drawn(*shape) for place, shape in enumerate(shapes.values())}
    entries = {name: made.of_array(key, array) for name, (key, array) in zip(shapes, storages.items(), strict=True)}
    whole = made.pickled(entries)
    raw = {key: array.tobytes() for key, array in storages.items()}
    return [made.zipped(whole, raw), made.stream(made.pickled(entries, legacy=True), storages)]


def safetensors() -> list[bytes]:
    import safetensors.numpy

    shapes = {"features.0.weight": (2, 1, 5, 5), "features.0.bias": (2,), "classifier.1.weight": (2, 1)}
    kinds = ("float32", "float16")
    return [safetensors.numpy.save({key: drawn(*s).astype(kind) for key, s in shapes.items()}) for kind in kinds]


def numpy() -> list[bytes]:
    arrays: dict[str, Any] = {"conv1_W": drawn(1, 1, 2, 2), "conv1_b": drawn(2), "fc6_W": drawn(2, 2)}
    return [_saved(np.savez, **arrays), _saved(np.savez_compressed, **arrays)]


def numpy_dictionaries() -> list[bytes]:
    pairs = {"a": [drawn(1, 1, 2, 2), drawn(2)]}
    named = {"a": {"weights": drawn(2, 2)}, "scope": {"b": {"weights": drawn(2, 2), "biases": drawn(2)}}}
    return [_saved(np.save, value) for value in (pairs, named)]


def _saved(save: Any, *values: Any, **arrays: Any) -> bytes:
    made = io.BytesIO()
    save(made, *values, **arrays)
    return made.getvalue()


def zips() -> list[bytes]:
    members = {"a/first": b"one" * 50, "second.txt": bytes(range(256)) * 4, "empty": b""}
    return [zipped(members, packing) for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)]


def pickles() -> list[bytes]:
    from pickled_values import PROTOCOLS, VALUES

    return [pickle.dumps(VALUES[name], protocol) for name in VALUES if name != "long" for protocol in PROTOCOLS]


def old_pickles() -> list[bytes]:
    import made_python2

    return [made_python2.dumps({"w": np.arange(4, dtype="<f4"), "op": [1, 2.5, "x"]}, protocol) for protocol in (0, 2)]


def convnet() -> list[bytes]:
    from made_convnet import DATA, checkpoint, conv, dense

    used = ("name", "type", "inputs", "filterSize", "groups", "channels", "weights", "biases")
    towers = [conv("conv1a", ["data"], [1], 1, 1), conv("conv1b", ["data"], [1], 1, 1)]
    layers = [DATA[0], *towers, dense("fc8", ["conv1a", "conv1b"], [1, 1], 2)]
    small = [{key: value for key, value in layer.items() if key in used} for layer in layers]
    return [checkpoint(small, form, protocol) for form in ("by name", "listed") for protocol in (0, 2)]


def flax() -> list[bytes]:
    """What flax.serialization.to_bytes makes of a tree: arrays are msgpack in msgpack, large ones in chunks."""
    import msgpack

    def array(values: np.ndarray) -> Any:
        return msgpack.ExtType(1, msgpack.packb((values.shape, values.dtype.name, values.tobytes())))

    half = array(drawn(2, 1))
    chunked = {"__msgpack_chunked_array__": True, "shape": {"0": 2, "1": 2}, "chunks": {"0": half, "1": half}}
    layers = {"Conv_0": {"kernel": array(drawn(1, 1, 2, 3)), "bias": array(drawn(3))}, "Dense_0": {"kernel": chunked}}
    return [msgpack.packb({"params": layers, "step": 3})]


def hdf5() -> list[bytes]:
    """Weights as Keras 3 and Keras 2 lay them out, in the newest and the oldest form of HDF5."""
    found = []
    for keras, version in ((3, "latest"), (2, "earliest"), (3, "earliest")):
        found.append(_hdf5(keras, version))
    return found


def _hdf5(keras: int, version: str) -> bytes:
    import h5py

    made = io.BytesIO()
    with h5py.File(made, "w", libver=version) as file:
        if keras == 3:
            file["layers/conv2d/vars/0"], file["layers/conv2d/vars/1"] = drawn(2, 2, 3, 2), drawn(2)
            file["layers/dense/vars/0"], file["layers/dense/vars/1"] = drawn(8, 2), drawn(2)
        else:
            file.attrs["layer_names"] = [b"c"]
            group = file.create_group("c")
            group.attrs["weight_names"] = [b"kernel:0", b"bias:0"]
            group["kernel:0"], group["bias:0"] = drawn(2, 2, 3, 2), drawn(2)
    return made.getvalue()


def keras_configurations() -> list[bytes]:
    return [_keras_2(), _keras_3()]


def _keras_3() -> bytes:
    relu = {"class_name": "function", "config": "relu"}
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("InputLayer", {"batch_shape": [None, 9, 9, 3]}),
        ("Rescaling", {"scale": 1 / 255, "offset": 0}),
        ("ZeroPadding2D", {"padding": [[0, 1], [0, 1]]}),
        ("Conv2D", {"filters": 4, "kernel_size": [3, 3], "groups": 1, "activation": relu}),
        ("BatchNormalization", {"axis": 3}),
        ("MaxPooling2D", {"pool_size": [3, 3], "strides": 2}),
        ("AveragePooling2D", {"pool_size": [2, 2]}),
        ("Reshape", {"target_shape": [-1]}),
        ("Dropout", {"rate": 0.5}),
        ("Dense", {"units": 3}),
    ]
    layers = [{"class_name": kind, "config": {"name": kind.lower(), **config}} for kind, config in kinds]
    return json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": layers}}).encode()


def _keras_2() -> bytes:
    """Not in the order of the connections."""
    nodes: list[tuple[str, str, list[str], dict[str, Any]]] = [
        ("Dense", "dense", ["flat"], {"units": 3}),
        ("InputLayer", "in", [], {"batch_input_shape": [None, 8, 9, 3]}),
        ("Conv2D", "conv2d", ["in"], {"filters": 4, "kernel_size": [3, 3]}),
        ("Flatten", "flat", ["conv2d"], {}),
    ]
    layers = [
        {"class_name": kind, "name": name, "config": {"name": name, **config},
         "inbound_nodes": [[[source, 0, 0, {}] for source in inputs]] if inputs else []}
        for kind, name, inputs, config in nodes
    ]  # fmt: skip
    ends = {"input_layers": [["in", 0, 0]], "output_layers": [["dense", 0, 0]]}
    return json.dumps({"class_name": "Functional", "config": {"layers": layers, **ends}}).encode()


def orbax_trees() -> list[bytes]:
    keys = [{"key": key, "key_type": 2} for key in ("params", "Dense_0", "kernel")]
    entry = {"key_metadata": keys, "value_metadata": {"value_type": "jax.Array"}}
    tree = {"tree_metadata": {"('params', 'Dense_0', 'kernel')": entry}, "use_ocdbt": True, "use_zarr3": False}
    return [json.dumps(tree).encode()]


def orbax_stores() -> list[bytes]:
    """Folders that TensorStore made, packed: an array each, in a folder of its own or in a key-value store.

    What Orbax says of them in its _METADATA is the name of the folder here.
    """
    return [_store(driver, ocdbt=ocdbt) for driver in ("zarr", "zarr3") for ocdbt in (False, True)]


def _store(driver: str, *, ocdbt: bool) -> bytes:
    import tensorstore

    metadata = {"shape": [3, 2], **({"dtype": "<f4"} if driver == "zarr" else {"data_type": "float32"})}
    with tempfile.TemporaryDirectory() as folder:
        store: dict[str, Any] = {"driver": "file", "path": f"{folder}/kernel/"}
        if ocdbt:
            store = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{folder}/"}, "path": "kernel/"}
        array = tensorstore.open({"driver": driver, "kvstore": store, "metadata": metadata}, create=True).result()
        array[...] = drawn(3, 2)
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        name = f"{driver}-ocdbt" if ocdbt else driver
        return zipped({f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in files})


def cifar_batches() -> list[bytes]:
    entries = {"data": np.zeros((1, 3072), np.uint8), "labels": [3], "filenames": ["image.png"]}
    return [pickle.dumps({key.encode(): value for key, value in entries.items()}, protocol) for protocol in (0, 2)]


def tars() -> list[bytes]:
    inner = _tar({"n01.JPEG": b"pixels", "n02.JPEG": bytes(600)})
    return [_tar({"n01440764.tar": inner, "n01443537.tar": inner}), gzip.compress(inner, mtime=0), inner]


def _tar(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as file:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def synsets() -> list[bytes]:
    """meta.mat of ImageNet's development kit: two leaves and an inner synset."""
    import scipy.io

    rows = [(1.0, "n01440764", "tench", 0.0), (2.0, "n01443537", "goldfish", 0.0), (3.0, "n00001740", "entity", 2.0)]
    table = np.empty((3, 1), [(key, object) for key in ("ILSVRC2012_ID", "WNID", "words", "num_children")])
    table[:, 0] = rows
    found = []
    for is_packed in (True, False):
        made = io.BytesIO()
        scipy.io.savemat(made, {"synsets": table}, do_compression=is_packed)
        found.append(b"MATLAB 5.0 MAT-file".ljust(116) + made.getvalue()[116:])  # without the time of writing
    return found


def told_by_their_heads() -> list[bytes]:
    """Formats that are known whatever the file is called."""
    makers = (numpy, numpy_dictionaries, convnet, hdf5)
    return [torch()[0], *(data for make in makers for data in make())]
