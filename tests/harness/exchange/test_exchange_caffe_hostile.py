"""Caffe files that are cut, damaged or made to harm: refused in one line, without memory taken on their word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import caffe_bytes as made
import numpy as np
import pytest
from caffe_bytes import inside, number

from harness.exchange import caffe_file, caffe_wire
from harness.exchange.foreign import FormatError

CONV, DENSE = 0, 3  # places among the steps


def refusal(folder: Path, data: bytes) -> str:
    path = folder / "net.caffemodel"
    path.unlink(missing_ok=True)  # cutting an old file short is slow
    path.write_bytes(data)
    with pytest.raises(FormatError) as caught:
        caffe_file.read(path)
    assert "\n" not in str(caught.value)
    assert repr(str(path)) in str(caught.value)
    return str(caught.value)


def changed(place: int, **changes: object) -> bytes:
    steps = made.steps(made.arrays())
    steps[place] = steps[place]._replace(**changes)
    return made.net(steps, made.INPUT, is_old=False)


def with_blob(place: int, body: bytes) -> bytes:
    return changed(place, blobs=(body, made.steps(made.arrays())[place].blobs[1]))


@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])
def test_a_file_cut_short_is_refused_wherever_it_is_cut(tmp_path, is_old):
    """Between two layers a cut leaves a whole file of a shorter network, which is then no network of the catalog."""
    steps = made.steps(made.arrays())[:-1]
    data = made.net(steps, made.INPUT, is_old=is_old)
    between = {len(made.net(steps[:count], made.INPUT, is_old=is_old)) for count in range(1, len(steps))}
    path = tmp_path / "net.caffemodel"
    for end in sorted({*range(0, len(data), 3), *between}):
        if end in between:
            path.unlink(missing_ok=True)
            path.write_bytes(data[:end])
            assert len(caffe_file.read(path).layers) == 1
        else:
            refusal(tmp_path, data[:end])
    assert "cut short" in refusal(tmp_path, data[: len(data) // 2])


BAD_SHAPES = {
    "too-few": (4, 3, 3, 2),
    "too-many": (4, 3, 3, 4),
    "hundred-gigabytes": (5_000, 5_000, 1_000, 1),
    "overflowing": (2**62, 2**62, 3, 3),
    "product-wraps-to-its-count": (2**32, 2**32, 108, 1),
    "negative": (-4, -3, 3, 3),
    "zero": (0, 3, 3, 3),
    "five-sides": (4, 3, 3, 3, 1),
    "none": (),
}


@pytest.mark.parametrize("shape", BAD_SHAPES.values(), ids=list(BAD_SHAPES))
def test_a_shape_that_is_not_that_of_the_numbers_is_refused_by_the_layers_name(tmp_path, shape):
    said = refusal(tmp_path, with_blob(CONV, made.blob(made.arrays().conv, shape)))
    assert "conv1" in said


@pytest.mark.parametrize("shape", [(1, 2, 5, 32), (5, 65), (64, 5, 1), (-5, -64)], ids=str)
def test_a_dense_layers_shape_that_is_none_is_refused(tmp_path, shape):
    assert "fc2" in refusal(tmp_path, with_blob(DENSE, made.blob(made.arrays().dense, shape)))


def test_negative_legacy_sides_are_refused(tmp_path):
    sides = b"".join(number(field, side) for field, side in enumerate((-4, -3, 3, 3), 1))
    assert "conv1" in refusal(tmp_path, with_blob(CONV, made.floats(5, made.arrays().conv) + sides))


REFUSED = {
    "an empty file": (b"", "no layers"),
    "text": (b'name: "AlexNet"\nlayer {\n}\n', "no file of Caffe"),
    "noise": (np.random.default_rng(0).bytes(3_000), "no file of Caffe"),
    "no layers": (inside(1, "AlexNet"), "no layers"),
    "nothing learned": (made.net(made.steps(made.arrays())[1:2], made.INPUT, is_old=False), "no convolutions"),
    "a learned layer without blobs": (changed(CONV, blobs=()), "'conv1' has 0 blobs"),
    "three blobs": (changed(CONV, blobs=made.steps(made.arrays())[CONV].blobs * 2), "'conv1' has 4 blobs"),
    "a scale layer": (changed(1, kind="Scale", blobs=(made.blob(np.ones(4)),)), "'relu1' of type 'Scale' has weights"),
    "a type without a name": (changed(CONV, kind=""), "'conv1' of type ''"),
    "a layer twice": (changed(DENSE, name="conv1"), "two learned layers called 'conv1'"),
    "a blob without numbers": (with_blob(CONV, inside(7, made.blob_shape((4, 3, 3, 3)))), "the file holds 0"),
    "half a number": (with_blob(CONV, inside(5, b"\0" * 433)), "no whole count"),
    "biases of other length": (
        changed(CONV, blobs=(made.blob(made.arrays().conv), made.blob(np.ones(5)))), "biases of shape (5,)"
    ),
    "both layer formats": (made.tiny() + inside(2, number(5, 18)), "both `layer` and `layers`"),
    "an unknown old type": (
        inside(2, inside(4, "odd") + number(5, 77) + inside(6, made.blob(np.ones(3)))), "'odd' of type ''"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "says"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_taken_in_is_refused_with_its_reason(tmp_path, data, says):
    assert says in refusal(tmp_path, data)


@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])
def test_layers_that_share_a_parameter_are_refused_by_name(tmp_path, is_old):
    name = inside(1001, "same") if is_old else inside(6, inside(1, "same"))
    field, layer = (2, made.old_layer) if is_old else (100, made.layer)
    steps = [step for step in made.steps(made.arrays()) if step.blobs]
    data = b"".join(inside(field, layer(step) + name) for step in steps)
    assert "'conv1' and 'fc2' share 'same'" in refusal(tmp_path, data)


def test_what_is_no_regular_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent", Path("/dev/zero")):
        with pytest.raises(FormatError):
            caffe_file.read(path)


def test_a_file_beyond_what_protobuf_holds_is_refused_unread(tmp_path):
    path = tmp_path / "net.caffemodel"
    with path.open("wb") as file:
        file.truncate(caffe_wire.MOST_BYTES + 1)  # a hole, which takes no room
    with pytest.raises(FormatError, match=r"2,147,483,648 bytes"):
        caffe_file.read(path)


SWELLING = {
    "empty-layers": (inside(100, b"") * 200_000, "over 20,000 layers"),
    "empty-blobs": (inside(100, inside(7, b"") * 200_000), "over 20,000 blobs"),
    "empty-pieces": (inside(100, inside(7, inside(5, b"") * 200_000)), "over 20,000 pieces of numbers"),
    "empty-rules": (inside(100, inside(8, b"") * 200_000), "100,000 fields beside"),
    "long-names": (inside(1, b"a" * 2_000_000), "over 1,000,000 bytes"),
    "changing-tags": (inside(100, inside(7, (made.single(5, 1) + made.single(6, 1)) * 100_000)), "pieces of numbers"),
    "a-group": (b"\x0b" * 100_000, "no field of a message here"),
}


@pytest.mark.parametrize(("data", "says"), SWELLING.values(), ids=list(SWELLING))
def test_small_things_in_great_numbers_are_refused_before_they_are_held(tmp_path, data, says):
    assert says in refusal(tmp_path, data)


MEASURED = """
import resource, sys
from pathlib import Path
from harness.exchange import caffe_file
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = caffe_file.read(Path(sys.argv[1]))
print(found.layers[0].weight.shape, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_reading_a_large_files_structure_takes_no_memory_for_its_numbers(tmp_path):
    weight = np.zeros((1_000, 64_000), np.float32)  # 256 MB
    path = tmp_path / "net.caffemodel"
    head = made.inside(7, made.blob_shape(weight.shape)) + made.varint(5 << 3 | 2) + made.varint(weight.nbytes)
    bias = inside(7, made.blob(np.zeros(1_000)))
    body = inside(1, "fc1") + inside(2, "InnerProduct") + bias[:0] + made.varint(7 << 3 | 2)
    body += made.varint(len(head) + weight.nbytes) + head
    with path.open("wb") as file:
        file.write(made.varint(100 << 3 | 2) + made.varint(len(body) + weight.nbytes + len(bias)) + body)
        file.seek(weight.nbytes, 1)  # a hole of zeros
        file.write(bias)
    found = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True)
    shape, _, megabytes = found.stdout.rpartition(" ")
    assert shape == "(1000, 64000)"
    assert int(megabytes) < 40  # the protobuf library itself is some of it
