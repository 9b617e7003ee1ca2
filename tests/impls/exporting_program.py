"""A state dict written and loaded in a process of PyTorch's: `python tests/impls/exporting_program.py FOLDER`.

FOLDER has network.json, weights.safetensors and images.npy; facts.json and logits.npy are left there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch_listings import Torchvision, Written

from impls import registry
from impls.spec_json import network_from_json
from impls.weights import load


class Loaded(Written):
    """`Written` with its layers under the names that an export has."""

    def __init__(self, folder: Path) -> None:
        nn.Module.__init__(self)
        self.network = network_from_json(json.loads((folder / "network.json").read_text()))
        channels = self.network.channels
        for layer in self.network.layers:
            if hasattr(layer, "kernels"):
                made = nn.Conv2d(channels, layer.kernels, layer.size, layer.stride, groups=layer.groups)
                self.add_module(layer.name, made)
                channels = layer.kernels
            elif hasattr(layer, "units"):
                self.add_module(layer.name, nn.LazyLinear(layer.units))

    @property
    def parts(self) -> dict[str, nn.Module]:
        return dict(self.named_children())


def main(folder: Path) -> None:
    """Write, load strictly, run."""
    write = registry.load(registry.WRITERS["torch"])
    model = Loaded(folder).eval()
    path = folder / "exported.pt"
    arrays = load(folder / "weights.safetensors", model.network).arrays
    write(model.network, arrays, str(path), {"alexbench": '{"network":"tiny"}'})
    saved = torch.load(path, weights_only=True)
    images = torch.from_numpy(np.load(folder / "images.npy")).permute(0, 3, 1, 2)
    model.load_state_dict(saved["state_dict"], strict=True)
    with torch.no_grad():
        np.save(folder / "logits.npy", model(images).numpy())
    with torch.device("meta"):
        theirs = {name: list(each.shape) for name, each in Torchvision().state_dict().items()}
    facts = {
        "mark": saved["alexbench"],
        "kinds": sorted({type(each).__name__ for each in saved["state_dict"].values()}),
        "container": type(saved["state_dict"]).__name__,
        "contiguous": all(each.is_contiguous() for each in saved["state_dict"].values()),
        "torchvision": theirs,
    }
    (folder / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
