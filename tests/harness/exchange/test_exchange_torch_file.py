"""PyTorch's files read without it: made by torch.save itself, and made by hand with one figure wrong."""

from __future__ import annotations

import collections
import json
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import made_state_dict as made
import numpy as np
import pytest
from made_state_dict import Entry

from harness.exchange.foreign import ForeignWeights, FormatError
from harness.exchange.torch_file import read
from impls import catalog, derive

MADE_BY_TORCH = """
import collections, sys, warnings
from pathlib import Path
import numpy, torch
warnings.simplefilter("ignore")
out, torch_version = Path(sys.argv[1]), torch.__version__
torch.manual_seed(0)
model = torch.nn.Sequential(collections.OrderedDict(
    conv1=torch.nn.Conv2d(3, 4, 5), conv2=torch.nn.Conv2d(4, 6, 3, groups=2), fc6=torch.nn.Linear(54, 7)))
state = model.state_dict()
numpy.savez(out / "expected.npz", **{name: value.numpy() for name, value in state.items()})
torch.save(state, out / "new.pt")
torch.save(state, out / "old.pth", _use_new_zipfile_serialization=False)
parallel = {"module." + name: value for name, value in state.items()}
checkpoint = {"epoch": 3, "state_dict": parallel, "best": torch.tensor(1.0),
              "optimizer": torch.optim.SGD(model.parameters(), 0.1, momentum=0.9).state_dict()}
torch.save(checkpoint, out / "checkpoint.pth")
optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60])
lightning = {
    "epoch": 3, "global_step": 100, "pytorch-lightning_version": "2.2.0", "hparams_name": "kwargs",
    "state_dict": {"model." + name: value for name, value in state.items()},
    "loops": {"fit_loop": {"state_dict": {}, "progress": {"total": {"ready": 3}}}},
    "callbacks": {"ModelCheckpoint{'monitor': 'loss'}": {"best_model_score": torch.tensor(0.5), "dirpath": Path("a")}},
    "optimizer_states": [optimizer.state_dict()], "lr_schedulers": [schedule.state_dict()],
    "hyper_parameters": {"lr": 0.1, "path": Path("a"), "device": torch.device("cpu"), "dtype": torch.bfloat16},
}
torch.save(lightning, out / "lightning.ckpt.pt")
torch.save({"model": dict(model.named_parameters())}, out / "parameters.pth")
for name, kind in (("half", torch.float16), ("bfloat16", torch.bfloat16), ("double", torch.float64)):
    kinds = {key: value.to(kind) for key, value in state.items()}
    torch.save(kinds, out / f"{name}.pt")
    numpy.savez(out / f"{name}.npz", **{key: value.to(torch.float64).numpy() for key, value in kinds.items()})
base = torch.arange(1000.0)
views = collections.OrderedDict()
views["fc1.weight"] = base[100:142].reshape(6, 7).t()
views["fc1.bias"] = base[500:514:2]
views["fc2.weight"] = base.reshape(10, 100)[2:4, 10:17]
views["fc2.bias"] = base[-2:]
for form in (True, False):
    torch.save(views, out / f"views-{form}.pt", _use_new_zipfile_serialization=form)
numpy.savez(out / "views.npz", **{name: value.numpy() for name, value in views.items()})
torch.save(model, out / "module.pt")
torch.save(model, out / "module-old.pt", _use_new_zipfile_serialization=False)
torch.jit.script(model).save(out / "script.pt")
batch_norm = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
torch.save(batch_norm.state_dict(), out / "norm.pt")
counted = dict(state, steps=torch.tensor(5))
torch.save(counted, out / "counted.pt")
torch.save([state], out / "list.pt")
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("torch")
    subprocess.run([sys.executable, "-c", MADE_BY_TORCH, str(folder)], check=True, capture_output=True)
    return folder


def values(found: ForeignWeights) -> dict[str, np.ndarray]:
    tensors = [tensor for layer in found.layers for tensor in (layer.weight, layer.bias) if tensor is not None]
    return {tensor.name: tensor.read() for tensor in tensors}


def assert_same(found: ForeignWeights, expected: Path) -> None:
    read_back = values(found)
    with np.load(expected) as wanted:
        assert set(read_back) == set(wanted.files)
        for name in wanted.files:
            np.testing.assert_array_equal(read_back[name], wanted[name])


@pytest.mark.needs("torch")
@pytest.mark.parametrize("name", ["new.pt", "old.pth", "checkpoint.pth", "parameters.pth", "lightning.ckpt.pt"])
def test_both_forms_of_torch_save(files, name):
    found = read(files / name)
    assert_same(found, files / "expected.npz")
    assert [layer.name for layer in found.layers] == ["conv1", "conv2", "fc6"]
    assert [layer.axes for layer in found.layers] == ["oihw", "oihw", "oi"]
    assert [layer.canonical_shape for layer in found.layers] == [(5, 5, 3, 4), (3, 3, 2, 6), (54, 7)]
    assert (found.format, found.flatten, found.colours, found.inputs) == ("PyTorch", "chw", "rgb", None)
    prefix = {"checkpoint.pth": "module.", "lightning.ckpt.pt": "model."}.get(name)
    assert found.notes == ((f'every name begins with "{prefix}", which is left out',) if prefix else ())


@pytest.mark.needs("torch")
@pytest.mark.parametrize("kind", ["half", "bfloat16", "double"])
def test_other_floats_are_read_exactly(files, kind):
    found = read(files / f"{kind}.pt")
    assert {layer.weight.dtype for layer in found.layers} == {
        {"half": "float16", "bfloat16": "bfloat16", "double": "float64"}[kind]
    }
    assert_same(found, files / f"{kind}.npz")


@pytest.mark.needs("torch")
@pytest.mark.parametrize("form", [True, False])
def test_views_of_one_storage(files, form):
    """Transposed, strided and offset."""
    assert_same(read(files / f"views-{form}.pt"), files / "views.npz")


@pytest.mark.needs("torch")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("module.pt", r"asks for torch\.nn\.modules\.container\.Sequential, .* save its state_dict\(\) instead"),
        ("module-old.pt", r"save its state_dict\(\) instead"),
        ("script.pt", "is a TorchScript archive"),
        ("norm.pt", r"'1\.running_mean' \(4,\)"),
        ("list.pt", "holds a list, expected a dictionary of tensors"),
    ],
)
def test_what_is_no_state_dict_of_such_a_network(files, name, message):
    with pytest.raises(FormatError, match=message) as caught:
        read(files / name)
    assert "\n" not in str(caught.value)


@pytest.mark.needs("torch")
def test_whole_numbers_are_left_out_with_a_note(files):
    found = read(files / "counted.pt")
    assert_same(found, files / "expected.npz")
    assert found.notes == ("left out, since they are no weights: 'steps'",)


ARRAYS = {
    "conv1.weight": np.arange(2 * 3 * 2 * 2, dtype=np.float32).reshape(2, 3, 2, 2),
    "conv1.bias": np.arange(2, dtype=np.float32),
    "fc2.weight": np.arange(6, dtype=np.float32).reshape(3, 2),
    "fc2.bias": np.arange(3, dtype=np.float32),
}
ENTRIES = {name: made.of_array(str(place), array) for place, (name, array) in enumerate(ARRAYS.items())}
STORAGES = {str(place): array for place, array in enumerate(ARRAYS.values())}
RAW = {key: array.tobytes() for key, array in STORAGES.items()}


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def written(folder: Path, data: bytes) -> Path:
    path = folder / "net.pth"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("form", ["stored", "deflated", "stream"])
def test_a_file_made_by_the_formats_definition(tmp_path, form):
    if form == "stream":
        data = made.stream(made.pickled(ENTRIES, legacy=True), STORAGES)
    else:
        data = made.zipped(
            made.pickled(ENTRIES), RAW, compression=zipfile.ZIP_STORED if form == "stored" else zipfile.ZIP_DEFLATED
        )
    found = values(read(written(tmp_path, data)))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


def test_big_endian_values(tmp_path):
    data = made.zipped(made.pickled(ENTRIES), {key: array.astype(">f4").tobytes() for key, array in STORAGES.items()})
    data = data.replace(b"little", b"bigbig")
    made_again = zipfile.ZipFile(written(tmp_path, data))
    assert "archive/byteorder" in made_again.namelist()
    with pytest.raises(FormatError, match="damaged member 'archive/byteorder'"):
        read(tmp_path / "net.pth")
    path = tmp_path / "big.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("big/data.pkl", made.pickled(ENTRIES))
        archive.writestr("big/byteorder", "big")
        for key, array in STORAGES.items():
            archive.writestr(f"big/data/{key}", array.astype(">f4").tobytes())
    np.testing.assert_array_equal(values(read(path))["conv1.weight"], ARRAYS["conv1.weight"])


def test_what_our_own_export_says_of_itself(tmp_path):
    carried = json.dumps({"network": "torchvision", "preprocessing": "some text"})
    inner = made.pickled(ENTRIES)[2:-1]
    data = b"\x80\x02}(" + text("state_dict") + inner + text("alexbench") + text(carried) + b"u."
    found = read(written(tmp_path, made.zipped(data, RAW)))
    assert (found.network, found.preprocessing) == ("torchvision", "some text")


@pytest.mark.parametrize("said", ["[1]", "nothing", '{"network": 3}', '{"preprocessing": [1]}', "[" * 10_000])
def test_a_damaged_account_of_itself(tmp_path, said):
    data = b"\x80\x02}(" + text("state_dict") + made.pickled(ENTRIES)[2:-1] + text("alexbench") + text(said) + b"u."
    with pytest.raises(FormatError, match="its entry 'alexbench' is no JSON object with"):
        read(written(tmp_path, made.zipped(data, RAW)))


def test_torchvisions_names_tell_its_preprocessing(tmp_path):
    network = catalog.get("torchvision")
    places = iter(("features.0", "features.3", "features.6", "features.8", "features.10"))
    entries: dict[str, Entry] = {}
    names = [*places, "classifier.1", "classifier.4", "classifier.6"]
    rows = [row for row in derive.facts(network) if row.parameters]
    for name, row in zip(names, rows, strict=True):
        weight, bias = row.parameters.values()
        shape = (weight[3], weight[2], weight[0], weight[1]) if len(weight) == 4 else weight[::-1]
        strides = tuple(int(np.prod(shape[place + 1 :])) for place in range(len(shape)))
        entries[f"{name}.weight"] = Entry("0", 40_000_000, shape, strides)
        entries[f"{name}.bias"] = Entry("0", 40_000_000, bias, (1,))
    path = tmp_path / "alexnet.pth"
    # One storage for all, of zeros that take no room on the disk: names and shapes are what is looked at.
    data = made.pickled(entries, legacy=True)
    head = (
        made.MAGIC
        + made.PROTOCOL
        + made.SYSTEM
        + data
        + b"\x80\x02]"
        + text("0")
        + b"a."
        + struct.pack("<q", 40_000_000)
    )
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + 160_000_000)
    tracemalloc.start()
    found = read(path)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()
    assert found.inputs == "torchvision"
    assert found.layers[5].canonical_shape == (9216, 4096)


def changed(name: str, **changes: Any) -> bytes:
    entry = Entry(**{**ENTRIES[name].__dict__, **changes})
    return made.zipped(made.pickled({**ENTRIES, name: entry}), RAW)


HUGE = 25_000_000_000
HOSTILE = {
    "100 GB that are not there": (changed("fc2.weight", count=HUGE, shape=(HUGE,), strides=(1,)), "should be"),
    "100 GB by a stride of 0": (changed("fc2.weight", shape=(HUGE, 1), strides=(0, 0)), "in a storage of 6"),
    "a view that ends outside": (changed("fc2.weight", offset=1), "in a storage of 6"),
    "strides that lead outside": (changed("fc2.weight", strides=(3, 1)), "in a storage of 6"),
    "a view that begins before": (changed("fc2.weight", offset=-1), "no whole numbers"),
    "strides that lead back": (changed("fc2.weight", strides=(-2, 1)), "no whole numbers"),
    "more sides than strides": (changed("fc2.weight", strides=(1,)), "no whole numbers"),
    "sides without end": (changed("fc2.weight", shape=(1,) * 40, strides=(1,) * 40), "no whole numbers"),
    "no numbers at all": (changed("fc2.weight", shape=(0, 2)), r"has shape \(0, 2\)"),
    "a storage smaller than it says": (changed("fc2.bias", count=4), "should be 16 bytes, the archive has 12"),
    "a storage of another kind": (changed("fc2.bias", kind="DoubleStorage"), "should be 24 bytes, the archive has 12"),
    "a kind nobody knows": (changed("fc2.bias", kind="EvilStorage"), r"asks for torch\.EvilStorage"),
    "a storage elsewhere": (changed("fc2.bias", key="../../etc/passwd"), "should be 12 bytes, the archive has nothing"),
    "one storage of two sizes": (changed("fc2.bias", key="0"), "two storages called '0'"),
    "a bias of another size": (changed("fc2.bias", shape=(2,)), r"wants \(3,\)"),
    "a layer of five sides": (changed("conv1.weight", shape=(2, 3, 2, 2, 1), strides=(12, 4, 2, 1, 1)), "no convol"),
    "a name twice": (
        made.zipped(made.pickled(ENTRIES, extra=text("fc2.bias") + b"N"), RAW), "two entries called 'fc2.bias'"
    ),
    "a name that is a number": (made.zipped(made.pickled(ENTRIES, extra=b"K\x01N"), RAW), "keys .* are no names"),
    "something else among them": (made.zipped(made.pickled(ENTRIES, extra=text("x") + b"N"), RAW), "it has 'x'"),
    "lines in a name": (
        made.zipped(made.pickled({"a\nb.weight": ENTRIES["fc2.weight"]}), RAW), "no name of a tensor"
    ),
    "a shell": (
        made.zipped(made.pickled(ENTRIES, extra=text("x") + b"cos\nsystem\n" + text("touch x") + b"\x85R"), RAW),
        r"asks for os\.system, which no state dict does",
    ),
    "no pickle": (made.zipped(b"", RAW), "no whole pickle"),
    "no data.pkl": (made.zipped(b"", {}).replace(b"data.pkl", b"data.pk1"), "it has 0 members data.pkl"),
    "a bomb for a pickle": (
        made.zipped(bytes(100_000_000), {}, compression=zipfile.ZIP_DEFLATED), "would unpack to 100,000,000 bytes"
    ),
    "another magic number": (b"\x80\x02K\x01.", "its magic number is not"),
    "the oldest form": (bytes(257) + b"ustar" + bytes(100), "a tar archive"),
    "nothing": (b"", "no whole pickle"),
    "half of it": (made.zipped(made.pickled(ENTRIES), RAW)[:900], "no whole zip"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_or_damaged_is_refused(tmp_path, name):
    data, message = HOSTILE[name]
    path = written(tmp_path, data)
    tracemalloc.start()
    with pytest.raises(FormatError, match=message) as caught:
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < 4_000_000


@pytest.mark.parametrize("cut", [-1, -30, -70])
def test_an_old_file_that_is_cut_short(tmp_path, cut):
    data = made.stream(made.pickled(ENTRIES, legacy=True), STORAGES)
    with pytest.raises(FormatError, match="is truncated or damaged: storage"):
        read(written(tmp_path, data[:cut]))


def test_storages_that_are_not_listed(tmp_path):
    fewer = dict(list(STORAGES.items())[:-1])
    with pytest.raises(FormatError, match="list of storages is not that of its tensors"):
        read(written(tmp_path, made.stream(made.pickled(ENTRIES, legacy=True), fewer)))


def test_the_order_of_the_file_is_that_of_the_layers(tmp_path):
    entries = collections.OrderedDict((name, ENTRIES[name]) for name in reversed(ENTRIES))
    found = read(written(tmp_path, made.zipped(made.pickled(entries), RAW)))
    assert [layer.name for layer in found.layers] == ["fc2", "conv1"]
