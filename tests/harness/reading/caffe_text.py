"""Caffe's network definitions as text, in both layer formats, and the two published ones called AlexNet.

Reference: BVLC/caffe, models/bvlc_alexnet and models/bvlc_reference_caffenet, train_val.prototxt and deploy.prototxt:
the same layers with the same numbers in the same order. What only a solver reads is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness.reading import caffe_network
from impls.reading import Reading

Part = Literal["train_val", "deploy"]

INPUT = "input_param { shape: { dim: 10 dim: 3 dim: 227 dim: 227 } }"
MEAN = 'mean_file: "data/ilsvrc12/imagenet_mean.binaryproto"'
OLD_TYPES = {
    "Convolution": "CONVOLUTION", "InnerProduct": "INNER_PRODUCT", "ReLU": "RELU", "LRN": "LRN", "Pooling": "POOLING",
    "Dropout": "DROPOUT", "Softmax": "SOFTMAX", "SoftmaxWithLoss": "SOFTMAX_LOSS", "Accuracy": "ACCURACY",
    "Data": "DATA", "TanH": "TANH", "Concat": "CONCAT",
}  # fmt: skip


def layer(name: str, kind: str, bottom: str = "", top: str = "", body: str = "") -> str:
    """A layer; several bottoms or tops are parted by spaces, and without a top it works in place."""
    links = "".join(f' bottom: "{one}"' for one in bottom.split())
    links += "".join(f' top: "{one}"' for one in (top or bottom).split())
    return f'layer {{ name: "{name}" type: "{kind}"{links} {body} }}\n'


def old(text: str) -> str:
    """The same in the older layer format."""
    text = text.replace("layer {", "layers {")
    for new_type, old_type in OLD_TYPES.items():
        text = text.replace(f'type: "{new_type}"', f"type: {old_type}")
    return text


def data(phase: str, mirror: str) -> str:
    body = f"include {{ phase: {phase} }} transform_param {{ mirror: {mirror} crop_size: 227 {MEAN} }}"
    return layer("data", "Data", "", "data label", body)


def fillers(std: float, bias: float, part: Part) -> str:
    if part == "deploy":
        return ""
    return f'weight_filler {{ type: "gaussian" std: {std} }} bias_filler {{ type: "constant" value: {bias} }}'


def conv(number: int, bottom: str, settings: str, filled: str) -> str:
    name = f"conv{number}"
    return layer(name, "Convolution", bottom, name, f"convolution_param {{ {settings} {filled} }}") + layer(
        f"relu{number}", "ReLU", name
    )


def pool(number: int, bottom: str) -> str:
    return layer(
        f"pool{number}", "Pooling", bottom, f"pool{number}", "pooling_param { pool: MAX kernel_size: 3 stride: 2 }"
    )


def norm(number: int, bottom: str) -> str:
    settings = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
    return layer(f"norm{number}", "LRN", bottom, f"norm{number}", settings)


def dense(number: int, bottom: str, outputs: int, filled: str) -> str:
    settings = f"inner_product_param {{ num_output: {outputs} {filled} }}"
    return layer(f"fc{number}", "InnerProduct", bottom, f"fc{number}", settings)


def hidden(number: int, bottom: str, filled: str) -> str:
    name = f"fc{number}"
    dropped = layer(f"drop{number}", "Dropout", name, "", "dropout_param { dropout_ratio: 0.5 }")
    return dense(number, bottom, 4096, filled) + layer(f"relu{number}", "ReLU", name) + dropped


def published(model: Literal["AlexNet", "CaffeNet"], part: Part) -> str:
    """bvlc_alexnet or bvlc_reference_caffenet, whose norms and pools are in the other order and whose biases are 1."""
    is_alexnet = model == "AlexNet"
    bias = 0.1 if is_alexnet else 1
    narrow, wide = fillers(0.01, 0, part), fillers(0.01, bias, part)
    blocks = [f'name: "{model}"\n']
    if part == "deploy":
        blocks.append(layer("data", "Input", "", "data", INPUT))
    else:
        blocks += [data("TRAIN", "true"), data("TEST", "false")]
    before = "data"
    for number, settings, filled in (
        (1, "num_output: 96 kernel_size: 11 stride: 4", narrow),
        (2, "num_output: 256 pad: 2 kernel_size: 5 group: 2", wide),
    ):
        blocks.append(conv(number, before, settings, filled))
        if is_alexnet:
            blocks += [norm(number, f"conv{number}"), pool(number, f"norm{number}")]
        else:
            blocks += [pool(number, f"conv{number}"), norm(number, f"pool{number}")]
        before = f"pool{number}" if is_alexnet else f"norm{number}"
    blocks += [
        conv(3, before, "num_output: 384 pad: 1 kernel_size: 3", narrow),
        conv(4, "conv3", "num_output: 384 pad: 1 kernel_size: 3 group: 2", wide),
        conv(5, "conv4", "num_output: 256 pad: 1 kernel_size: 3 group: 2", wide),
        pool(5, "conv5"),
        hidden(6, "pool5", fillers(0.005, bias, part)),
        hidden(7, "fc6", fillers(0.005, bias, part)),
        dense(8, "fc7", 1000, narrow),
    ]
    if part == "deploy":
        blocks.append(layer("prob", "Softmax", "fc8", "prob"))
    else:
        blocks.append(layer("accuracy", "Accuracy", "fc8 label", "accuracy", "include { phase: TEST }"))
        blocks.append(layer("loss", "SoftmaxWithLoss", "fc8 label", "loss"))
    return "".join(blocks)


def written(folder: Path, text: str, name: str = "net.prototxt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str) -> Reading:
    return caffe_network.read(written(folder, text))


def tiny(*layers: str, sides: tuple[int, int, int] = (3, 8, 8)) -> str:
    """A deploy file: an input of C, H, W called data, and these layers."""
    dims = " ".join(f"dim: {side}" for side in (1, *sides))
    return layer("data", "Input", "", "data", f"input_param {{ shape {{ {dims} }} }}") + "".join(layers)
