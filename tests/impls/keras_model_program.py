"""Exports to Keras and readings of somebody's models, in a process of TensorFlow's own: `FOLDER` its argument.

The folder has networks as JSON and their weights; what Keras makes of them is left beside them.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np

from impls import reading, tensor_file
from impls.keras_model import config as keras_config
from impls.spec_json import network_from_json
from impls.with_tensorflow import exporting
from impls.with_tensorflow import reading as keras_reading

folder = Path(sys.argv[1])


def exported(name: str) -> dict[str, object]:
    """The network in a file, loaded again by Keras alone: its outputs, its members, its structure."""
    network = network_from_json(json.loads((folder / f"{name}.json").read_text()))
    arrays = tensor_file.read(folder / f"{name}.safetensors").arrays
    file = folder / f"{name}.keras"
    ours = json.dumps({"network": network.name, "preprocessing": "text"})
    exporting.write(network, arrays, str(file), {"alexbench": ours})
    exporting.write(network, arrays, str(folder / f"{name}.weights.h5"), {})
    model = keras.saving.load_model(file)
    images = np.load(folder / f"{name}-images.npy")
    np.save(folder / f"{name}-logits.npy", model.predict(images, verbose=0))
    again = exporting.model(network)
    again.load_weights(folder / f"{name}.weights.h5")
    np.save(folder / f"{name}-again.npy", again.predict(images, verbose=0))
    with zipfile.ZipFile(file) as archive:
        members = sorted(archive.namelist())
    return {"members": members, "layers": [layer.name for layer in model.layers]}


def structure(name: str) -> dict[str, object]:
    """What our own reader says of the model that we export."""
    network = network_from_json(json.loads((folder / f"{name}.json").read_text()))
    model = exporting.model(network)
    return reading.to_json(keras_config.of_config(json.loads(model.to_json()), name, "source"))


def dropped(rate: float) -> list[float]:
    """Means of a dropout of the paper's kind: in training and at test, for ones."""
    from impls.spec import Dense, Dropout, Network

    layers = (Dropout(name="drop1", rate=rate), Dense(name="fc1", units=1))
    network = Network(name="d", summary="", source="", height=20, width=20, channels=25, classes=1, layers=layers)
    model = exporting.model(network)
    model.get_layer("fc1").set_weights([np.full((10_000, 1), 1e-4, "f4"), np.zeros(1, "f4")])
    ones = np.ones((1, 20, 20, 25), "f4")
    return [float(np.asarray(model(ones, training=training))[0, 0]) for training in (True, False)]


def told(target: str, side: int) -> dict[str, object]:
    """A reading, or what was raised."""
    try:
        return reading.to_json(keras_reading.read(target, side))
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}


def main() -> None:
    """Everything that was asked for, into answers.json."""
    asked = json.loads((folder / "asked.json").read_text())
    answers = {
        "exported": {name: exported(name) for name in asked["export"]},
        "structure": {name: structure(name) for name in asked["structure"]},
        "dropped": dropped(0.4),
        "read": {name: told(f"{folder / 'listing.py'}:{name}", side) for name, side in asked["read"].items()},
    }
    (folder / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
