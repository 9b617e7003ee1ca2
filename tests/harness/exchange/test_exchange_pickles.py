"""Pickles: what may be in one comes out; what would run, hash for ever or fill the memory does not."""

from __future__ import annotations

import collections
import pickle
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import made_python2
import numpy as np
import pytest
from made_python2 import OldClass, OldInstance
from pickled_values import PROTOCOLS, VALUES

from harness.exchange import pickle_machine
from harness.exchange.pickles import BadPickle, Inert, Name, PickledArray, load


def plain(value: Any) -> Any:
    """Stand-ins and NumPy's own objects as lists, so that both sides can be compared."""
    match value:
        case PickledArray():
            return "array", value.shape, value.dtype.str[1:], value.values().tolist()
        case np.ndarray():
            return "array", value.shape, value.dtype.str[1:], value.tolist()
        case np.generic():
            return value.item()
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(map(plain, value))
        case bytearray() | memoryview():
            return bytes(value)
    return value


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", VALUES)
def test_numbers_text_containers_and_arrays_come_out_as_they_went_in(name, protocol):
    data = pickle.dumps(VALUES[name], protocol)
    found = load(b"before" + data + b"behind", "test", start=6)
    assert plain(found.value) == plain(VALUES[name])
    assert found.end == 6 + len(data)


def test_the_order_of_a_dictionary_is_kept():
    found = load(pickle.dumps(collections.OrderedDict(b=1, c=2, a=3), 2), "test").value
    assert list(found) == ["b", "c", "a"]


@pytest.mark.parametrize("protocol", [0, 2])
def test_pickles_of_python_2(protocol):
    array = np.asfortranarray(np.arange(6, dtype="<f4").reshape(2, 3))
    value = {"weights": [array], "name": "conv1", 3: (1, -2.5, None, True), "raw": b"\x00\xff\\'"}
    found = load(made_python2.dumps(value, protocol), "test").value
    assert found["name"] == "conv1"
    assert found["raw"] == "\x00\xff\\'"
    assert found[3] == (1, -2.5, None, True)
    assert found["weights"][0].values().tolist() == array.tolist()


def test_strings_of_python_2_stay_bytes_where_that_is_asked_for():
    assert load(made_python2.dumps(["a\xff"], 2), "test", old_text="bytes").value == [b"a\xff"]


def test_a_long_array_is_a_view_of_the_data():
    data = memoryview(pickle.dumps(np.arange(1 << 20, dtype="<f4"), 4))
    tracemalloc.start()
    values = load(data, "test").value.values()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values[-1] == (1 << 20) - 1
    assert peak < 100_000


CALL = b"cos\nsystem\n"
TOUCH = b"<touch>"  # stands for the opcodes of a shell's command
ATTACKS = {
    "reduce": CALL + TOUCH + b"\x85R.",
    "reduce by stack": b"\x80\x04\x8c\x02os\x8c\x06system\x93" + TOUCH + b"\x85R.",
    "new": b"\x80\x02" + CALL + TOUCH + b"\x85\x81.",
    "new with keywords": b"\x80\x04" + CALL + TOUCH + b"\x85}\x92.",
    "object": b"(" + CALL + TOUCH + b"o.",
    "instance": b"(" + TOUCH + b"ios\nsystem\n.",
    "by another name": b"cposix\nsystem\n" + TOUCH + b"\x85R.",
    "built-in": b"c__builtin__\neval\nX\x0a\x00\x00\x00__import__\x85R.",
    "attribute": b"cbuiltins\ngetattr\ncos\nerror\nX\x06\x00\x00\x00system\x86R.",
    "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0ef2py.os.system\x93" + TOUCH + b"\x85R.",
    "state": b"ccollections\nCounter\n)R}X\x0c\x00\x00\x00__setstate__cos\nsystem\nsb.",
    "in a tuple for a key": b"}(" + CALL + TOUCH + b"\x85R\x85K\x01u.",
    "NumPy's own": b"cnumpy\nload\n" + TOUCH + b"\x85R.",
    "a module's attribute": b"\x80\x04\x8c\x1enumpy._core.multiarray.os.path\x8c\x06exists\x93" + TOUCH + b"\x85R.",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_that_a_pickle_names_is_called(name, tmp_path):
    mark = tmp_path / "mark"
    text = f"touch {mark}".encode()
    command = b"X" + struct.pack("<I", len(text)) + text
    with pytest.raises(BadPickle, match=r"^it asks for [\w.]+, which no checkpoint does$") as caught:
        load(ATTACKS[name].replace(TOUCH, command), "checkpoint")
    assert caught.value.asked
    assert not mark.exists()


class Mischief:
    """Unpickled by the ordinary unpickler, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_does_something_elsewhere_does_nothing_here(tmp_path, protocol):
    data = pickle.dumps({"a": [Mischief(tmp_path / "mark")]}, protocol)
    with pytest.raises(BadPickle, match="it asks for "):
        load(data, "checkpoint")
    assert not (tmp_path / "mark").exists()
    pickle.loads(data)
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("protocol", [0, 2])
def test_objects_of_permitted_modules_pass_without_a_meaning(protocol):
    option = OldInstance("options", "Option", value=OldClass("options", "StringOptionParser"), name="gpu")
    data = made_python2.dumps({"op": option, "epoch": 3}, protocol)
    found = load(data, "checkpoint", inert=lambda name: name.module == "options").value
    assert found["epoch"] == 3
    assert isinstance(found["op"], Inert)
    assert found["op"].state["value"] == Name("options", "StringOptionParser")
    with pytest.raises(BadPickle, match=r"it asks for options\.\w+, which no checkpoint does"):
        load(data, "checkpoint", inert=lambda name: name.module == "option")


def test_objects_as_protocol_1_made_them_pass_too():
    data = b"ccopy_reg\n_reconstructor\n(coptions\nOption\nc__builtin__\nobject\nNtR(dS'a'\nI1\nsb."
    found = load(data, "checkpoint", inert=lambda name: name.module == "options").value
    assert isinstance(found, Inert)
    assert (found.name, found.state) == (Name("options", "Option"), {"a": 1})
    with pytest.raises(BadPickle, match=r"asks for options\.Option"):
        load(data, "checkpoint")


def of_array(shape: bytes, dtype: bytes = b"(X\x02\x00\x00\x00f4I0\nI1\nt", raw: bytes = b"C\x08" + bytes(8)) -> bytes:
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR"
    return b"\x80\x03" + made + b"(I1\n" + shape + b"cnumpy\ndtype\n" + dtype + b"R\x89" + raw + b"tb."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (of_array(b"(I1\nI3\nt"), r"array of shape \(1, 3\) and float32 in 8 bytes"),
        (of_array(b"(I25000000000\nt"), r"array of shape \(25000000000,\) and float32 in 8 bytes"),
        (of_array(b"(I-1\nI-2\nt"), "whose shape is no row of whole numbers"),
        (of_array(b"(I2\nX\x01\x00\x00\x002t"), "whose shape is no row of whole numbers"),
        (of_array(b"(" + b"I1\n" * 40 + b"t"), "an array without a shape"),
        (of_array(b"(I2\nt", b"(X\x02\x00\x00\x00O8I0\nI1\nt"), "array of 'O8', expected numbers"),
        (of_array(b"(I2\nt", b"(X\x03\x00\x00\x00V99I0\nI1\nt"), "array of 'V99', expected numbers"),
        (of_array(b"(I2\nt", raw=b"](K\x01K\x02e"), "in no bytes"),
        (of_array(b"(I2\nt")[:-2] + b"0)b.", "gives a state to|array without"),
    ],
)
def test_an_array_is_checked_before_numpy_sees_it(data, message):
    with pytest.raises(BadPickle, match=message):
        load(data, "test").value.values()


TALL = b")" + b"2\x86" * 200  # a tuple of twice itself, 200 times: 2 ** 200 empty tuples to whoever walks them
TOWER = b")\x94" + b"".join(b"h" + bytes([place]) + b"2\x86\x94" for place in range(200))
HOSTILE = {
    "a key that takes for ever to hash": (b"\x80\x04}(" + TALL + b"K\x01u.", "has a key of type tuple"),
    "a member that does": (b"\x80\x04\x8f(" + TALL + b"\x90.", "has a key of type tuple"),
    "a key by way of the memo": (b"\x80\x04}(" + TOWER + b"K\x01u.", "has a key of type tuple|no whole pickle"),
    "places of one hash": (
        b"N" + b"".join(b"p%d\n" % (place * ((1 << 61) - 1)) for place in range(30_000)) + b".",
        "at no place",
    ),
    "keys of one hash": (
        b"}(" + b"".join(b"L%dL\nN" % (place * ((1 << 61) - 1)) for place in range(30_000)) + b"u.",
        "has a key of type int",
    ),
    "a tuple for a key": (b"}(K\x01\x85Nu.", "has a key of type tuple"),
    "a list for a key": (b"}(]K\x01u.", "has a key of type list"),
    "a number of two gigabytes": (b"\x80\x02\x8b\xff\xff\xff\x7f.", "a whole number of 2,147,483,647 bytes"),
    "a negative length": (b"\x80\x02\x8b\xff\xff\xff\xff.", "a whole number of 4,294,967,295 bytes"),
    "a string of minus one": (b"T\xff\xff\xff\xff.", "no whole pickle"),
    "bytes beyond the end": (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.", "it ends at byte"),
    "text beyond the end": (b"\x80\x04\x8d" + b"\x00" * 5 + b"\x01\x00\x00abc", "it ends at byte"),
    "a frame of everything": (b"\x80\x04\x95" + b"\xff" * 8 + b"N", "it ends at byte"),
    "a line without an end": (b"I" + b"1" * 100_000, "it ends at byte"),
    "a number of a million digits": (b"I" + b"1" * 1_000_000 + b"\n.", "a number of 1,000,000 characters"),
    "an extension": (b"\x80\x02\x82\x01.", "byte 2 is 0x82"),
    "a buffer from elsewhere": (b"\x80\x05\x97.", "byte 2 is 0x97"),
    "an object from elsewhere": (b"Pkey\n.", "refers to objects outside itself"),
    "the same by the stack": (b"X\x03\x00\x00\x00keyQ.", "refers to objects outside itself"),
    "a later protocol": (b"\x80\x06N.", "of protocol 6"),
    "two entries of one name": (b"}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00aK\x02u.", "two entries called 'a'"),
    "a key without a value": (b"}(X\x01\x00\x00\x00au.", "no whole pickle"),
    "nothing": (b"", "it ends at byte 0"),
    "a stop at once": (b".", "no whole pickle"),
    "a place that was never filled": (b"\x80\x04h\x05.", "no whole pickle"),
    "appending to a tuple": (b")K\x01a.", "appends to something of type tuple"),
    "entries of a list": (b"]K\x01K\x02s.", "puts entries into something of type list"),
    "members of a list": (b"\x80\x04](K\x01\x90.", "adds to something of type list"),
    "calling a number": (b"K\x01)R.", "calls something of type int"),
    "state of a number": (b"K\x01}b.", "gives a state to something of type int"),
    "a name that is a list": (b"\x80\x04]]\x93.", "asks for something without a name"),
    "lines in a name": (b"\x80\x04\x8c\x03a\nb\x8c\x01c\x93.", r"it asks for a\?b\.c, which"),
    "unpaired quotes": (b"S'abc\n.", "text without quotes"),
    "broken text": (b"X\x02\x00\x00\x00\xff\xfe.", "no whole pickle"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_or_damaged_is_refused_at_once(name):
    data, message = HOSTILE[name]
    tracemalloc.start()
    before = time.process_time()
    with pytest.raises(BadPickle, match=message) as caught:
        load(data, "test")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert time.process_time() - before < 5
    assert peak < 3_000_000 + 4 * len(data)


BOMBS = {
    "dictionaries": b"}" * 1_000_000,
    "sets": b"\x80\x04" + b"\x8f" * 1_000_000,
    "marks": b"(" * 1_000_000,
    "memo": b"\x80\x04N" + b"\x94" * 1_000_000,
    "doubled": b"]" + b"2" * 1_000_000,
    "sets of one list": b"\x80\x02](" + b"K\x01" * 1_000 + b"eq\x00" + b"c__builtin__\nset\nh\x00\x85R" * 100_000,
    "lists of one list": b"\x80\x02](" + b"K\x01" * 1_000 + b"eq\x00" + b"c__builtin__\nlist\nh\x00\x85R" * 100_000,
    "bytes of one text": (
        b"\x80\x02X\x00\x00\x01\x00" + b"a" * 65536 + b"q\x00" + b"c_codecs\nencode\nh\x00\x85R" * 100_000
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_memory_is_bounded_by_what_is_read(name, monkeypatch):
    monkeypatch.setattr(pickle_machine, "BASE_BUDGET", 1 << 20)
    tracemalloc.start()
    with pytest.raises(BadPickle, match="it asks for more memory"):
        load(BOMBS[name], "test")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (1 << 20) + 4 * len(BOMBS[name])


def test_a_large_file_of_small_steps_ends_in_time(monkeypatch):
    """Its budget of memory grows with its size; its time must not."""
    monkeypatch.setattr(pickle_machine, "MOST_OPCODES", 1_000)
    assert load(b"\x80\x02" + b"]" * 998 + b".", "test").value == []
    with pytest.raises(BadPickle, match="it has over 1,000 opcodes"):
        load(b"\x80\x02" + b"]" * 999 + b".", "test")


def test_depth_costs_no_recursion():
    value = load(b"]" * 100_000 + b"a" * 99_999 + b".", "test").value
    depth = 0
    while value:
        value, depth = value[0], depth + 1
    assert depth == 99_999


def test_a_list_that_holds_itself_is_read():
    value = load(b"]q\x00h\x00a.", "test").value
    assert value[0] is value
