"""Tasks as a worker performs them: what outside implementations may return, and what a framework is handed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from harness import tasks
from harness.parity.miniature import MINIATURE
from impls import weights
from impls.derive import facts
from impls.oracle import network as oracle
from impls.protocol import Batch, Settings, UpdateRule, Vjp
from impls.spec import Conv, Dense, Dropout, Network, ReLU
from impls.spec_json import layer_to_json, network_to_json

SMALL = Network(
    name="small",
    summary="two learned layers",
    source="this test",
    height=5,
    width=4,
    channels=3,
    classes=7,
    layers=(Conv(name="conv1", kernels=6, size=3), ReLU(name="relu1"), Dense(name="fc2", units=7)),
)
COMMON = {"tuning": "stock", "precision": "float32", "device": "cpu"}


class Desk:
    """A task's files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.weights = weights.generate(SMALL, "scaled", 0)
        self.images = np.random.default_rng(3).normal(0, 50, (2, 5, 4, 3)).astype(np.float32)
        weights.save(folder / "weights.safetensors", SMALL.name, self.weights)

    def task(self, do: str, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
        save_file({name: np.ascontiguousarray(value, np.float32) for name, value in inputs.items()}, self.folder / "in")
        files = {"inputs": str(self.folder / "in"), "output": str(self.folder / "out")}
        network = {"network": network_to_json(SMALL), "weights": str(self.folder / "weights.safetensors")}
        return {"do": do, **COMMON, **files, **network, **more}

    def output(self) -> dict[str, np.ndarray]:
        return load_file(self.folder / "out")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def runner_on(thing: Any) -> tasks.Runner:
    """A runner that has loaded `thing`."""
    runner = tasks.Runner("./mine.py:build")
    runner._object = thing
    return runner


def external(desk: Desk, build: Any) -> dict[str, np.ndarray]:
    """What an outside `build` gives as activations."""
    runner_on(build).run(desk.task("external", {"images": desk.images}))
    return desk.output()


def complaint(desk: Desk, build: Any) -> str:
    """The one line about what an outside `build` returned."""
    with pytest.raises(tasks.BadOutput) as caught:
        external(desk, build)
    message = str(caught.value)
    assert "\n" not in message and len(message) <= 500
    return message


def giving(found: Any) -> Callable[..., Any]:
    return lambda network, arrays: lambda images: found


LOGITS = np.arange(14, dtype=np.float32).reshape(2, 7)


# --- outside implementations ------------------------------------------------------------------------------------------


def test_an_outside_implementation_gets_the_network_the_weights_and_the_images(desk: Desk) -> None:
    def build(network: Network, arrays: dict[str, np.ndarray]) -> Callable[..., Any]:
        assert network == SMALL
        assert {name: value.tolist() for name, value in arrays.items()} == {
            name: value.tolist() for name, value in desk.weights.items()
        }

        def activations(images: np.ndarray) -> dict[str, np.ndarray]:
            np.testing.assert_array_equal(images, desk.images)
            return oracle.forward(network, arrays, images)

        return activations

    found = external(desk, build)
    assert set(found) == {"conv1", "relu1", "fc2"}
    assert all(value.dtype == np.float32 for value in found.values())
    np.testing.assert_allclose(found["fc2"], oracle.forward(SMALL, desk.weights, desk.images)["fc2"], rtol=1e-6)


def test_an_outside_implementation_may_write_to_what_it_is_given(desk: Desk) -> None:
    def build(network: Network, arrays: dict[str, np.ndarray]) -> Callable[..., Any]:
        for array in arrays.values():
            array[...] = 0

        def activations(images: np.ndarray) -> dict[str, np.ndarray]:
            images[...] = 0
            return {"fc2": LOGITS}

        return activations

    before = (desk.folder / "weights.safetensors").read_bytes()
    runner, task = runner_on(build), desk.task("external", {"images": desk.images})
    inputs = (desk.folder / "in").read_bytes()
    runner.run(task)
    assert (desk.folder / "weights.safetensors").read_bytes() == before
    assert (desk.folder / "in").read_bytes() == inputs


def test_the_logits_alone_are_enough(desk: Desk) -> None:
    np.testing.assert_array_equal(external(desk, giving({"fc2": LOGITS}))["fc2"], LOGITS)


@pytest.mark.parametrize(
    "value", [LOGITS.tolist(), LOGITS.astype(np.int16), LOGITS.astype(np.float64), LOGITS[:, ::-1]]
)
def test_anything_that_is_an_array_of_numbers_is_taken(desk: Desk, value: Any) -> None:
    np.testing.assert_array_equal(external(desk, giving({"fc2": value}))["fc2"], np.asarray(value, np.float32))


def test_a_tensor_that_carries_its_graph_is_detached_and_brought_to_the_cpu(desk: Desk) -> None:
    class Tensor:
        """Like PyTorch's: no NumPy array before `detach` and `cpu`."""

        detached = on_cpu = False

        def detach(self) -> Tensor:
            self.detached = True
            return self

        def cpu(self) -> Tensor:
            self.on_cpu = True
            return self

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
            if not (self.detached and self.on_cpu):
                raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy()")
            return LOGITS.astype(dtype or np.float32)

    np.testing.assert_array_equal(external(desk, giving({"fc2": Tensor()}))["fc2"], LOGITS)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, ["nothing (None)", "dict of layer name -> array"]),
        (LOGITS, ["a ndarray", "dict"]),
        ([("fc2", LOGITS)], ["a list", "dict"]),
        ({}, ["lacks the logits 'fc2'", "it has nothing"]),
        ({"relu1": LOGITS, "conv1": LOGITS}, ["lacks the logits 'fc2'", "relu1, conv1"]),
        ({"fc2": LOGITS, "fc3": LOGITS}, ["'fc3'", "no layer of small"]),
        ({"fc2": LOGITS, 3: LOGITS}, ["'3'", "no layer of small"]),
        ({"fc2": "seven"}, ["layer 'fc2'", "a str", "not an array of numbers"]),
        ({"fc2": [[1.0], [2.0, 3.0]]}, ["layer 'fc2'", "a list", "not an array of numbers"]),
        ({"fc2": None}, ["layer 'fc2'", "nothing (None)", "not an array of numbers"]),
        ({"fc2": np.array([{"a": 1}])}, ["layer 'fc2'", "not an array of numbers"]),
        ({"fc2": LOGITS + 1j}, ["layer 'fc2'", "not an array of numbers"]),
        ({"fc2": LOGITS.astype(str)}, ["layer 'fc2'", "not an array of numbers"]),
        ({f"layer{i}" * 20: LOGITS for i in range(50)}, ["lacks the logits"]),
    ],
)
def test_what_is_no_set_of_activations_is_said_in_one_line(desk: Desk, found: Any, words: list[str]) -> None:
    message = complaint(desk, giving(found))
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda network, arrays: None, ["build(...) returned nothing (None)", "activations(images)"]),
        (lambda network, arrays: {"fc2": LOGITS}, ["build(...) returned a dict"]),
        ({"fc2": LOGITS}, ["./mine.py:build is a dict", "expected build(network, weights)"]),
        (None, ["./mine.py:build is a NoneType"]),
    ],
)
def test_what_is_no_build_is_said_in_one_line(desk: Desk, build: Any, words: list[str]) -> None:
    message = complaint(desk, build)
    for word in words:
        assert word in message


def test_nothing_is_written_where_the_output_is_bad(desk: Desk) -> None:
    complaint(desk, giving(None))
    assert not (desk.folder / "out").exists()


def test_what_an_outside_implementation_raises_is_its_own(desk: Desk) -> None:
    def build(network: Network, arrays: dict[str, np.ndarray]) -> Callable[..., Any]:
        raise ZeroDivisionError("theirs")

    with pytest.raises(ZeroDivisionError, match="theirs"):
        external(desk, build)


# --- frameworks -------------------------------------------------------------------------------------------------------


class Witness:
    """A framework that notes how it is called, and computes by the oracle."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def describe(self, device: str = "cpu") -> dict[str, str]:
        return {"version": "1", "device": device}

    def operators(self, settings: Settings) -> Witness:
        self.seen.append(("operators", settings))
        return self

    def forward(self, layer: Any, x: Any, parameters: Any, mask: Any = None) -> np.ndarray:
        self.seen.append(("forward", layer.name, sorted(parameters), None if mask is None else mask.shape))
        return x + 1

    def vjp(self, layer: Any, x: Any, parameters: Any, dy: Any, mask: Any = None) -> Vjp:
        return Vjp(dy * 2, {name: value * 3 for name, value in parameters.items()})

    def cross_entropy(self, logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
        self.seen.append(("cross_entropy", labels.dtype))
        return 2.5, -logits

    def build(self, network: Network, arrays: dict[str, np.ndarray], settings: Settings) -> Witness:
        self.seen.append(("build", network.name, sorted(arrays), settings))
        return self

    def activations(self, images: Any, masks: Any = None) -> dict[str, Any]:
        self.seen.append(("activations", None if masks is None else sorted(masks)))
        return {"fc2": images.reshape(len(images), -1), "conv1": images}

    def gradients(self, batch: Batch) -> tuple[float, dict[str, np.ndarray]]:
        self.seen.append(("gradients", batch.labels.tolist()))
        return 1.25, {"fc2/bias": np.ones(7)}

    def train(self, steps: Any) -> Any:
        for index, (_, rule) in enumerate(steps):
            self.seen.append(("step", index, rule))
            yield float(index)
        self.seen.append(("end of training",))

    def weights(self) -> dict[str, np.ndarray]:
        return {"fc2/bias": np.full(7, 4.0)}


def test_the_settings_of_a_task_reach_the_framework_and_its_operators_are_made_once(desk: Desk) -> None:
    witness = Witness()
    runner = runner_on(witness)
    layer = layer_to_json(SMALL.layers[1])
    more = {"tuning": "tuned", "precision": "float16", "device": "cuda:1"}
    for _ in range(2):
        runner.run(desk.task("layer", {"x": LOGITS}, layer=layer, **more))
    made = [call for call in witness.seen if call[0] == "operators"]
    assert made == [("operators", Settings(tuning="tuned", precision="float16", device="cuda:1"))]


def test_a_layer_without_a_cotangent_gives_its_output_alone(desk: Desk) -> None:
    task = desk.task("layer", {"x": LOGITS}, layer=layer_to_json(SMALL.layers[1]))
    del task["weights"], task["network"]
    runner_on(Witness()).run(task)
    assert set(desk.output()) == {"y"}


def test_a_layer_takes_its_parameters_from_the_file_or_from_the_networks_weights(desk: Desk) -> None:
    witness = Witness()
    layer = layer_to_json(SMALL.layers[0])
    runner_on(witness).run(desk.task("layer", {"x": LOGITS, "dy": LOGITS}, layer=layer))
    np.testing.assert_array_equal(desk.output()["weight"], 3 * desk.weights["conv1/weight"])
    task = desk.task("layer", {"x": LOGITS, "dy": LOGITS, "parameter/bias": np.ones(6, np.float32)}, layer=layer)
    del task["weights"], task["network"]
    runner_on(witness).run(task)
    assert set(desk.output()) == {"y", "dx", "bias"}
    np.testing.assert_array_equal(desk.output()["bias"], np.full(6, 3.0))


def test_a_mask_reaches_a_dropout_layer(desk: Desk) -> None:
    witness = Witness()
    layer = layer_to_json(Dropout(name="drop1", rate=0.5))
    task = desk.task("layer", {"x": LOGITS, "mask": np.ones_like(LOGITS)}, layer=layer)
    del task["weights"], task["network"]
    runner_on(witness).run(task)
    assert ("forward", "drop1", [], (2, 7)) in witness.seen


def test_the_loss_travels_as_one_element_with_its_gradient(desk: Desk) -> None:
    witness = Witness()
    task = desk.task("cross-entropy", {"logits": LOGITS, "labels": np.array([1, 2], np.int64)})
    runner_on(witness).run(task)
    found = desk.output()
    assert found["loss"].tolist() == [2.5]
    np.testing.assert_array_equal(found["dlogits"], -LOGITS)
    assert ("cross_entropy", np.dtype(np.int64)) in witness.seen


def test_activations_of_the_forward_level_are_taken_without_masks(desk: Desk) -> None:
    witness = Witness()
    runner_on(witness).run(desk.task("activations", {"images": desk.images}))
    assert ("activations", None) in witness.seen
    assert set(desk.output()) == {"conv1", "fc2"}


def test_gradients_come_with_the_activations_of_the_same_pass(desk: Desk) -> None:
    witness = Witness()
    inputs = {"images": desk.images, "labels": np.array([3, 1]), "mask/drop1": np.ones((2, 4), np.float32)}
    runner_on(witness).run(desk.task("gradients", inputs))
    assert set(desk.output()) == {"activation/fc2", "activation/conv1", "gradient/fc2/bias", "loss"}
    assert ("activations", ["drop1"]) in witness.seen and ("gradients", [3, 1]) in witness.seen


def test_training_asks_for_the_decisions_before_each_step_and_lets_training_end(desk: Desk) -> None:
    witness = Witness()
    inputs: dict[str, Any] = {}
    for step in range(3):
        inputs |= {f"step{step}/images": desk.images, f"step{step}/labels": np.array([step, 0])}
    rules = [{"learning_rate": rate, "momentum": 0.8, "weight_decay": 0.1} for rate in (1.0, 0.5, 0.25)]
    runner_on(witness).run(desk.task("training", inputs, rules=rules, decisions=["conv1"]))
    found = desk.output()
    assert found["losses"].tolist() == [0, 1, 2]
    assert set(found) == {"losses", "weights/fc2/bias", "step0/conv1", "step1/conv1", "step2/conv1"}
    order = [call[0] for call in witness.seen if call[0] != "build"]
    assert order == ["activations", "step", "activations", "step", "activations", "step", "end of training"]
    assert [call[2] for call in witness.seen if call[0] == "step"] == [
        UpdateRule(rate, momentum=0.8, weight_decay=0.1) for rate in (1.0, 0.5, 0.25)
    ]


@pytest.mark.parametrize("do", ["activations", "gradients"])
def test_half_a_framework_is_told_what_it_lacks(desk: Desk, do: str) -> None:
    class Half:
        def describe(self, device: str = "cpu") -> dict[str, str]:
            return {}

    with pytest.raises(tasks.BadOutput, match=re.escape("needs describe, operators and build")):
        runner_on(Half()).run(desk.task(do, {"images": desk.images}))


def test_a_function_describes_itself_as_no_full_framework() -> None:
    assert runner_on(lambda network, arrays: None).run({"do": "describe", "device": "cpu"}) == {
        "facts": {},
        "full": False,
    }


def test_a_planted_fault_reaches_the_operators_and_other_faults_do_not_share_them(desk: Desk) -> None:
    framework = Path(__file__).parent / "parity" / "numpy_framework.py"
    runner = tasks.Runner(f"{framework}:FRAMEWORK")
    runner.load()
    x = np.array([[-2.0, 3.0]], np.float32)
    found = {}
    for fault in ("", "no-relu", "leaky-relu", ""):
        relu = layer_to_json(next(layer for layer in MINIATURE.layers if layer.name == "relu2"))
        task = desk.task("layer", {"x": x}, layer=relu, composed=True, fault=fault)
        del task["weights"], task["network"]
        runner.run(task)
        found[fault] = desk.output()["y"].tolist()
    assert found == {"": [[0, 3]], "no-relu": [[-2, 3]], "leaky-relu": [[pytest.approx(-0.02), 3]]}


def test_the_miniature_network_has_every_kind_of_layer_and_no_two_sides_alike() -> None:
    kinds = {type(layer).__name__ for layer in MINIATURE.layers}
    assert kinds == {"Conv", "ReLU", "LRN", "MaxPool", "SpatialNorm", "Dense", "Tanh", "Dropout"}
    for row in facts(MINIATURE):
        assert len(set(row.input_shape)) == len(row.input_shape), row.layer.name
