"""The lines of Python that load an export in its own framework, as `weights export` prints them."""

from __future__ import annotations

from pathlib import Path

from impls.spec import Network

TORCHVISION = "torchvision"


def loading_lines(form: str, path: Path, network: Network) -> str:
    """A few lines; `model` is the reader's own module where the format holds weights alone."""
    lines = {"torch": _torch, "keras": _keras, "flax": _flax, "onnx": _onnx, "npz": _npz}[form](path, network)
    return "\n".join(lines)


def _torch(path: Path, network: Network) -> list[str]:
    if path.suffix.lower() == ".safetensors":
        lines = ["from safetensors.torch import load_file", "", f"state = load_file({str(path)!r})"]
    else:
        lines = ["import torch", "", f'state = torch.load({str(path)!r}, weights_only=True)["state_dict"]']
    if network.name == TORCHVISION:
        lines[1:1] = ["import torchvision"]
        return [*lines, "model = torchvision.models.alexnet()", "model.load_state_dict(state)"]
    first = network.layers[0].name
    return [*lines, f"model.load_state_dict(state)  # a module of yours with {first}, …, {network.logits}"]


def _keras(path: Path, network: Network) -> list[str]:
    return [
        "import keras",
        "",
        f"model = keras.saving.load_model({str(path)!r})",
        f"logits = model(images)  # [N, {network.height}, {network.width}, {network.channels}]",
    ]


def _flax(path: Path, network: Network) -> list[str]:
    return [
        "from pathlib import Path",
        "from flax import serialization",
        "",
        f"params = serialization.msgpack_restore(Path({str(path)!r}).read_bytes())['params']",
        f"kernel = params[{network.layers[0].name!r}]['kernel']  # [h, w, in / groups, out]; dense ones [in, out]",
    ]


def _onnx(path: Path, network: Network) -> list[str]:
    shape = f"[N, {network.channels}, {network.height}, {network.width}]"
    return [
        "import onnxruntime",
        "",
        f"session = onnxruntime.InferenceSession({str(path)!r})",
        f"(logits,) = session.run(['logits'], {{'images': images}})  # {shape} float32",
    ]


def _npz(path: Path, network: Network) -> list[str]:
    return [
        "import numpy",
        "",
        f"weights = numpy.load({str(path)!r})",
        f"kernel = weights['{network.layers[0].name}/weight']  # [h, w, in / groups, out]; dense ones [in, out]",
    ]
