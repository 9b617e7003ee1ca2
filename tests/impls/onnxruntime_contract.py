"""What ONNX Runtime keeps of the contract, in a process of its own: a JSON line per check and tuning, as elsewhere."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from contract_inputs import CASES, ODD, case_inputs, draw, odd_batch, odd_weights, plain_activations, wide
from plain_formulas import forward

from impls import catalog, registry, weights
from impls.oracle import network as reference
from impls.protocol import TUNINGS, Framework, Settings, Tuning, Unsupported, UpdateRule
from impls.spec import Conv, Dense, Network

Check = Callable[[Framework, Tuning], None]


def operators_agree_with_their_formulas(framework: Framework, tuning: Tuning) -> None:
    operators = framework.operators(Settings(tuning=tuning))
    for layer, shape in CASES:
        x, parameters, _ = case_inputs(layer, shape)
        y = operators.forward(layer, x, parameters)
        assert y.dtype == np.float32 and y.flags.c_contiguous, layer.name
        expected = forward(layer, x.astype(np.float64), wide(parameters), None)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=2e-6, err_msg=layer.name)


def activations_cover_every_layer(framework: Framework, tuning: Tuning) -> None:
    arrays, batch = odd_weights(), odd_batch(50)
    found = framework.build(ODD, arrays, Settings(tuning=tuning)).activations(batch.images)
    expected = plain_activations(arrays, batch.images, None)
    assert list(found) == list(expected), list(found)
    for name, y in found.items():
        assert y.dtype == np.float32, (name, y.dtype)
        np.testing.assert_allclose(y, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def the_original_networks_own_layers_agree_with_the_reference(framework: Framework, tuning: Tuning) -> None:
    """At an eighth of its width: normalisation per tower before pooling before ReLU, the spatial norm, the padding."""
    network = narrow(catalog.get("original-2012"))
    arrays = weights.generate(network)
    images = draw((2, network.height, network.width, 3), 5, 60.0)
    found = framework.build(network, arrays, Settings(tuning=tuning)).activations(images)
    expected = reference.forward(network, wide(arrays), images.astype(np.float64))
    for name, y in found.items():
        scale = float(np.abs(expected[name]).max())
        np.testing.assert_allclose(y, expected[name], rtol=1e-4, atol=1e-5 * scale, err_msg=name)


def narrow(network: Network) -> Network:
    layers = [replace(one, kernels=one.kernels // 8) if isinstance(one, Conv) else one for one in network.layers]
    hidden = [
        replace(one, units=32) if isinstance(one, Dense) and one.name != network.logits else one for one in layers
    ]
    return replace(network, layers=tuple(hidden))


def what_it_lacks_is_unsupported(framework: Framework, tuning: Tuning) -> None:
    settings = Settings(tuning=tuning)
    operators, model, batch = framework.operators(settings), framework.build(ODD, odd_weights(), settings), odd_batch(1)
    layer, shape = next((layer, shape) for layer, shape in CASES if layer.name == "drop")
    x, _, mask = case_inputs(layer, shape)
    for attempt in (
        lambda: operators.forward(layer, x, {}, mask),
        lambda: operators.vjp(layer, x, {}, x),
        lambda: operators.cross_entropy(x, np.zeros(len(x), np.int64)),
        lambda: model.activations(batch.images, batch.masks),
        lambda: model.gradients(batch),
        lambda: model.train([(batch, UpdateRule(0.1))]),
        lambda: model.loop("forward", UpdateRule(0.1)),
        lambda: framework.operators(replace(settings, precision="bfloat16")),
        lambda: framework.build(ODD, odd_weights(), replace(settings, split="data", devices=2)),
        lambda: framework.build(ODD, odd_weights(), replace(settings, device="cuda:7")),
        lambda: framework.describe("cuda:7"),
        lambda: framework.describe("tpu"),
    ):
        try:
            attempt()
        except Unsupported as error:
            assert "\n" not in str(error) and len(str(error)) > 20, str(error)
        else:
            raise AssertionError(attempt)


def weights_come_back_as_they_went_in(framework: Framework, tuning: Tuning) -> None:
    given = odd_weights()
    found = framework.build(ODD, given, Settings(tuning=tuning)).weights()
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array, name)
        assert not np.shares_memory(found[name], array), name


def it_describes_itself(framework: Framework, tuning: Tuning) -> None:
    facts = framework.describe("cpu")
    assert facts["device"] == "cpu" and facts["version"][0].isdigit(), facts
    assert all(isinstance(value, str) for value in facts.values()), facts
    environment = registry.environment("onnxruntime", Settings(tuning=tuning))
    assert all(isinstance(value, str) for value in environment.values()), environment


CHECKS: tuple[Check, ...] = (
    operators_agree_with_their_formulas,
    activations_cover_every_layer,
    the_original_networks_own_layers_agree_with_the_reference,
    what_it_lacks_is_unsupported,
    weights_come_back_as_they_went_in,
    it_describes_itself,
)


def main() -> None:
    framework = registry.load(registry.FORWARD_ONLY["onnxruntime"])
    for check in CHECKS:
        for tuning in TUNINGS:
            error = None
            try:
                check(framework, tuning)
            except Exception:
                error = traceback.format_exc()
            print(json.dumps({"check": check.__name__, "tuning": tuning, "error": error}), flush=True)
    assert not {"torch", "tensorflow", "jax"} & set(sys.modules)


if __name__ == "__main__":
    main()
