"""Texts that are no network definition, or are one made to harm: refused in one line and in seconds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from mutant_originals import CAFFE_TEXT as SMALL

from harness.exchange.foreign import FormatError
from harness.reading import caffe_network, caffe_schema

BOMBS = {
    "deep-unknown": "x{" * 4_000,
    "deep-on-lines": "x{\n" * 100_000,
    "deep-lists": "x: [" * 2_000,
    "one-long-line": "a" * 900_000,
    "ten-megabytes-in-a-line": "a" * 10_000_000,
    "ten-megabytes-of-lines": "a: 1\n" * 2_000_000,
    "an-open-string": 'name: "' + "a" * 5_000,
    "no-text": "\0" * 5_000,
    "a-huge-number": "input_dim: " + "9" * 9_000,
    "a-huge-exponent": "input_dim: 1e999999999",
    "too-many-layers": 'layer { type: "ReLU" }\n' * 20_000,
    "an-enum-of-no-value": "layer { include { phase: LEARN } }",
    "an-enum-of-no-number": "layer { include { phase: 7 } }",
    "an-old-type-of-no-value": "layers { type: CONVOLVE }",
    "an-extension": "[caffe.extra] { }",
    "any": "[type.googleapis.com/caffe.NetParameter] { }",
    "a-string-for-a-message": 'layer: "conv"',
    "a-negative-size": "layer { pooling_param { kernel_size: -3 } }",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=list(BOMBS))
def test_a_bomb_is_refused_in_one_line_and_soon(tmp_path, text):
    path = tmp_path / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    start = time.process_time()
    with pytest.raises(FormatError) as caught:
        caffe_network.read(path)
    assert time.process_time() - start < 10
    assert repr(str(path)) in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_comments_in_any_encoding_are_passed_over(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes("# \u5377\u79ef\n".encode("gbk") + SMALL)
    assert len(caffe_network.read(path).layers) == 3


def test_unknown_fields_are_passed_over(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(
        b"quantized { bits: 8 scheme: LINEAR }\n" + SMALL.replace(b'name: "p"', b'name: "p" engine: CUDNN')
    )
    assert len(caffe_network.read(path).layers) == 3


def test_names_are_shown_without_control_characters(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(SMALL.replace(b'name: "c"', b'name: "c\\033[2J\\n"'))
    assert caffe_network.read(path).layers[0].source == "c?[2J?"


def test_a_pipe_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path, Path("/dev/zero"), tmp_path / "absent"):
        with pytest.raises(FormatError):
            caffe_network.read(path)


def test_a_long_definition_within_the_limits_is_read(tmp_path):
    path = tmp_path / "net.prototxt"
    chain = [b'layer { name: "t%d" type: "TanH" bottom: "d" top: "d" }\n' % place for place in range(1_000)]
    lines = SMALL.splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], *chain, *lines[1:]]))
    assert path.stat().st_size < caffe_schema.MOST_TEXT
    assert len(caffe_network.read(path).layers) == 1_003
