"""Every reader of others' files, and what is a good end of one that is damaged: runs in a confined child.

A mutant is told by its reader, its seed and its number; `made` makes the same one again.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import shutil
import signal
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mutant_originals as originals
import mutator
import numpy as np
import onnx_parts

from harness.data.sources import cifar_pickle, devkit, tar_members
from harness.errors import UsageError
from harness.exchange import (
    caffe_file,
    convnet_file,
    flax_file,
    hdf5_datasets,
    keras_contents,
    keras_file,
    mean_file,
    numpy_file,
    onnx_file,
    opening,
    orbax_arrays,
    orbax_folder,
    pickles,
    safetensors_file,
    torch_file,
)  # fmt: skip
from harness.exchange.foreign import ForeignWeights, FormatError
from harness.exchange.zip_members import Archive
from harness.reading import caffe_network
from impls.derive import InvalidNetwork
from impls.keras_model import config as keras_config
from impls.keras_model.graph import NotAModel

MIB = 1 << 20
MOST_MORE = 256 * MIB  # of address space that a mutant of a few kilobytes may take
MOST_SAID = 4_000  # characters of a refusal


class Reader(NamedTuple):
    """How one format is read to the last value."""

    read: Callable[[Path], Any]  # raises one of `refusals`, AssertionError where what it gives is not as it says
    originals: Callable[[], list[bytes]]
    kinds: Sequence[mutator.Kind]
    least: tuple[int, int]  # of 10,000 mutants: so many can be read, so many are refused
    refusals: tuple[type[Exception], ...] = (FormatError,)
    library: str = "numpy"  # without which the originals cannot be made
    is_native: bool = False  # read by a library that may die of a file, and has a confined child for that
    seconds: float = 2.0  # of the processor, for one mutant
    name: str = "net"  # of the file


def whole(read: Callable[[Path], ForeignWeights]) -> Callable[[Path], None]:
    """The reader, and every tensor it has found, to its shape."""

    def all_of(path: Path) -> None:
        found = read(path)
        assert found.layers
        for layer in found.layers:
            for tensor in (layer.weight, layer.bias):
                assert tensor is None or tensor.read().shape == tensor.shape
            assert all(side >= 0 for side in layer.canonical_shape)
        assert all("\n" not in note for note in found.notes)
        if found.reading is not None:
            with contextlib.suppress(InvalidNetwork):
                found.reading.network()

    return all_of


def caffe_definition(path: Path) -> None:
    assert caffe_network.read(path).layers


def mean(path: Path) -> None:
    found = mean_file.read_mean(path)
    assert found.ndim == 3 and found.shape[2] == 3 and np.isfinite(found).all()


def zip_archive(path: Path) -> None:
    with Archive(path) as found:
        for name in found.names:
            assert len(found.read(name, 100_000)) == found.size(name)


def pickled(path: Path) -> None:
    found = pickles.load(path.read_bytes(), "test").value
    for value in found.values() if isinstance(found, dict) else ():
        if isinstance(value, pickles.PickledArray):
            assert value.values().shape == value.shape


def hdf5(path: Path) -> None:
    """The listing, every tensor in it, and what our own part makes of it."""
    found = hdf5_datasets.listing(path)
    names = [name for name, (_, dtype) in found["datasets"].items() if dtype.startswith("float")]
    out = path.parent / "out"
    out.mkdir()
    try:
        hdf5_datasets.dump(path, str(out), names)
    finally:
        shutil.rmtree(out)
    assert keras_file.of_contents(path, _contents(path, None, found)).layers


def keras_weights_of(path: Path) -> None:
    """A configuration with weights that fit the original."""
    config = keras_contents.parsed(path, path.read_bytes())
    shapes = {"conv2d": [3, 3, 3, 4], "dense": [36, 3]}
    listing = {"datasets": {f"layers/{name}/vars/0": [shape, "float32"] for name, shape in shapes.items()}}
    assert keras_file.of_contents(path, _contents(path, config, {**listing, "attributes": {}})).layers


def _contents(path: Path, config: dict[str, Any] | None, listing: dict[str, Any]) -> keras_contents.Contents:
    return keras_contents.Contents(config, path, listing, keras_contents.Carried(), None)


def keras_structure(path: Path) -> None:
    config = keras_contents.parsed(path, path.read_bytes())
    found = keras_config.of_config(config, "name", "source")
    keras_config.learned(config)
    json.dumps([each.name for each in found.layers])


def orbax_tree(path: Path) -> None:
    tree = orbax_folder.tree_of(path.parent)
    assert not any("/" in name or name.strip(".") == "" for name in tree.arrays.values())


def orbax_store(path: Path) -> None:
    """The array of a packed folder, whose name says how it is kept."""
    folder, out = path.parent / "store", path.parent / "out"
    out.mkdir()
    try:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            archive.extractall(folder)
            name = archive.namelist()[0].partition("/")[0]
        how = {"ocdbt": name.endswith("-ocdbt"), "zarr3": name.startswith("zarr3"), "whole": True}
        ((shape, dtype),) = orbax_arrays.listing(folder / name, ["kernel"], **how)
        orbax_arrays.dump(folder / name, str(out), ["kernel"], **how)
        size = 4 if dtype == "bfloat16" else orbax_arrays.FLOAT_BYTES[dtype]
        assert (out / "0").stat().st_size == np.prod(shape) * size
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(out)


def cifar_batch(path: Path) -> None:
    found = cifar_pickle.read_batch(path.read_bytes())
    assert found.pixels.shape == (len(found.labels), cifar_pickle.PIXELS) and len(found.names) == len(found.labels)


def tar(path: Path) -> None:
    """As an archive of images, as one of archives of images, and as one of small files."""
    size, refused = path.stat().st_size, []
    for read in (tar_members.images_in, tar_members.images_in_tars_in, _small_files):
        try:
            for found in read(path):
                member = found[1] if isinstance(found, tuple) and len(found) == 2 else found
                if isinstance(member, tar_members.Member):
                    assert 0 <= member.start <= member.start + member.size <= size
        except UsageError as error:
            refused.append(error)
    if len(refused) == 3:
        raise refused[0]


def _small_files(path: Path) -> Iterator[object]:
    for name, data in tar_members.files_in(path, lambda name: True, 1 << 16):
        assert len(data) <= 1 << 16
        yield name


def synset_table(path: Path) -> None:
    edition, leaves = devkit.leaves(path)
    assert edition.startswith("ILSVRC") and all(type(number) is int for number, *_ in leaves)


def format_of(path: Path) -> None:
    assert opening.format_of(path) in opening.READERS


BYTES, WORDS, JSON = mutator.by_bytes, mutator.by_words, mutator.by_json
TEXT = (BYTES, WORDS, JSON)
IN_ZIP = (BYTES, mutator.by_members)
PICKLE = (BYTES, WORDS, mutator.by_pickle)
READERS: dict[str, Reader] = {
    "ONNX": Reader(whole(onnx_file.read), originals.onnx, (BYTES, onnx_parts.by_parts), (1000, 4000), library="onnx"),
    "Caffe": Reader(whole(caffe_file.read), originals.caffe, (BYTES,), (500, 4000), library="google.protobuf"),
    "Caffe's text": Reader(caffe_definition, originals.caffe_text, TEXT[:2], (800, 4000), library="google.protobuf"),
    "means": Reader(mean, originals.means, (BYTES, BYTES, WORDS), (700, 4000), library="google.protobuf"),
    "PyTorch": Reader(whole(torch_file.read), originals.torch, (BYTES, WORDS), (300, 4000)),
    "PyTorch's archive": Reader(whole(torch_file.read), lambda: originals.torch()[:1], IN_ZIP, (1000, 4000)),
    "safetensors": Reader(
        whole(safetensors_file.read),
        originals.safetensors,
        (BYTES, mutator.by_safetensors_header),
        (300, 4000),
        library="safetensors",
    ),
    "NumPy's archives": Reader(whole(numpy_file.read), originals.numpy, IN_ZIP, (600, 4000)),
    "NumPy's dictionaries": Reader(
        whole(numpy_file.read), originals.numpy_dictionaries, (BYTES, BYTES, mutator.by_npy_dictionary), (300, 4000)
    ),
    "zip": Reader(zip_archive, originals.zips, IN_ZIP, (2500, 2500)),
    "pickles": Reader(pickled, originals.pickles, PICKLE, (2000, 3000), (pickles.BadPickle,)),
    "Python 2's pickles": Reader(pickled, originals.old_pickles, PICKLE, (2000, 3000), (pickles.BadPickle,)),
    "cuda-convnet": Reader(whole(convnet_file.read), originals.convnet, (BYTES, WORDS), (500, 4000)),
    "Flax": Reader(whole(flax_file.read), originals.flax, (BYTES, mutator.by_msgpack), (1400, 3500), library="msgpack"),
    "HDF5": Reader(hdf5, originals.hdf5, (BYTES,), (1100, 4000), library="h5py", is_native=True, seconds=0.5),
    "Keras' weights": Reader(keras_weights_of, originals.keras_configurations, TEXT, (2500, 2500)),
    "Keras' structure": Reader(
        keras_structure, originals.keras_configurations, TEXT, (1000, 4000), (FormatError, NotAModel)
    ),
    "Orbax' tree": Reader(orbax_tree, originals.orbax_trees, TEXT, (2000, 3000), name="_METADATA"),
    "Orbax' stores": Reader(
        orbax_store, originals.orbax_stores, (mutator.by_members,), (800, 4000), library="tensorstore", is_native=True
    ),
    "formats told apart": Reader(format_of, originals.told_by_their_heads, (BYTES,), (4000, 1000), library="h5py"),
    "CIFAR's batches": Reader(cifar_batch, originals.cifar_batches, PICKLE, (600, 4000), (cifar_pickle.NotABatch,)),
    "tar": Reader(tar, originals.tars, (BYTES,), (3000, 1800), (UsageError,)),
    "ImageNet's synsets": Reader(synset_table, originals.synsets, (BYTES,), (600, 4000), is_native=True),
}


@functools.cache
def originals_of(name: str) -> list[bytes]:
    """Made once in a process."""
    return READERS[name].originals()


def made(name: str, seed: int, number: int) -> bytes:
    """One mutant."""
    return mutator.mutant(originals_of(name), READERS[name].kinds, f"{name} {seed} {number}")


def tried(folder: Path, name: str, seed: int, number: int | None) -> list[str]:
    """Runs in the child: "read", "refused" or "wrong", and what was said. Without a number: of the originals, all."""
    reader = READERS[name]
    for left in folder.iterdir():  # by a child before this one that has died
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    if number is None:
        ends = [end(folder, reader, data) for data in originals_of(name)]
        return next((["wrong", f"an original is {how}: {said}"] for how, said in ends if how != "read"), ["read", ""])
    data = made(name, seed, number)
    signal.setitimer(signal.ITIMER_PROF, reader.seconds)  # ends the process by SIGPROF, whatever holds it up
    try:
        return end(folder, reader, data)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def end(folder: Path, reader: Reader, data: bytes) -> list[str]:
    """One reading's end. A native library's own exceptions pass: the confined child makes one line of them."""
    path = folder / reader.name
    path.write_bytes(data)
    try:
        with little_memory() if not reader.is_native else contextlib.nullcontext():
            reader.read(path)
    except reader.refusals as error:
        return ["wrong", f"refused by {str(error)!r}"] if not is_a_line(str(error)) else ["refused", str(error)]
    except Exception as error:
        if reader.is_native and not isinstance(error, AssertionError):
            raise
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return ["wrong", f"{type(error).__name__}: {str(error)[:200]!r} in {Path(frame.filename).name}:{frame.lineno}"]
    finally:
        path.unlink()  # a file that is cut short and written anew costs milliseconds, and may be mapped
    left = [entry.name for entry in folder.iterdir()]
    return ["wrong", f"left behind: {left}"] if left else ["read", ""]


def is_a_line(said: str) -> bool:
    return said.isprintable() and 0 < len(said) < MOST_SAID


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Little more than the process has, where the system says how much that is."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = int(statm.read_text().split()[0]) * resource.getpagesize() + MOST_MORE
    resource.setrlimit(resource.RLIMIT_AS, (min(most, soft) if soft != resource.RLIM_INFINITY else most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
