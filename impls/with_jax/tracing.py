"""One forward pass of somebody's function, recorded as `impls.traced.op_graph.Step`s from its jaxpr.

The jaxpr is taken and not the modules' calls, because a forward pass in JAX is as much functions as modules (nnx.relu,
jnp.maximum, jax.lax.reduce_window, a norm written by hand), and all of them end in a few primitives. Weights stay
abstract, so that no network is too large; what depends on neither weights nor images is computed, so that a dropout
mask can be looked at and a constant window used.

References:
    https://docs.jax.dev/en/latest/jaxpr.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from impls.derive import Shape
from impls.reading import Foreign, ReadLayer
from impls.spec import Conv, Dense
from impls.traced.op_graph import Kind, Part, Step
from impls.traced.probing import Array, probe
from impls.traced.settling import without_bias
from impls.with_jax.primitives import CONVOLUTIONS, Equation, meaning

IMAGE = 0  # the number of the value that goes in
BATCH = 2
MOST_CONSTANT = 20_000_000  # elements of a constant that is computed
RANDOM = ("random", "threefry", "rng")  # how primitives that draw begin
CALLS = (
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "custom_jvp_call",
    "custom_vjp_call",
    "remat",
    "checkpoint",
    "remat2",
)


@dataclass(frozen=True, slots=True)
class Value:
    """Depends on the images."""

    number: int


@dataclass(frozen=True, slots=True)
class Weights:
    """Depends on weights and not on the images: the indices of the leaves."""

    leaves: frozenset[int]


@dataclass(frozen=True, slots=True)
class Constant:
    """Depends on neither."""

    value: Any
    keep: float | None = None  # of a mask of jax.random.bernoulli, the probability of a one
    random: bool = False  # drawn


Known: TypeAlias = Value | Weights | Constant


class Recorder:
    """The steps of a jaxpr whose inputs are given as `Weights`, `Value(IMAGE)` and `Constant`s."""

    def __init__(self, leaves: Sequence[tuple[str, int]]) -> None:
        self.steps: list[Step] = []
        self._leaves = leaves  # of the weights: path and number of elements
        self._count = 0
        self._unbiased: dict[int, int] = {}  # value of a learned step without a bias so far -> its place in `steps`

    def run(self, closed: ClosedJaxpr, inputs: Sequence[Known]) -> list[Known]:
        """What the jaxpr's outputs are."""
        return self._walk(closed.jaxpr, closed.consts, inputs)

    def complete(self) -> list[Step]:
        """The steps, with a word after every learned layer that got no bias."""
        found: list[Step] = []
        places = {place: value for value, place in self._unbiased.items()}
        for index, step in enumerate(self.steps):
            found.append(step)
            if index in places and isinstance(step.layer, Conv | Dense):
                units = step.layer.kernels if isinstance(step.layer, Conv) else step.layer.units
                missing = replace(without_bias(units, step.layer.source), output_shape=step.shape)
                # A number of its own goes in between: what took the layer's value takes it without knowing.
                found[-1] = replace(step, output=-step.output)
                found.append(
                    Step(
                        layer=missing, inputs=(-step.output,), output=step.output, shape=step.shape, parameters=-units
                    )
                )  # fmt: skip
        return found

    def _walk(self, jaxpr: Jaxpr, consts: Sequence[Any], inputs: Sequence[Known]) -> list[Known]:
        known: dict[Any, Known] = dict(zip(jaxpr.invars, inputs, strict=True))
        known |= {
            variable: Constant(value, random=jnp.issubdtype(variable.aval.dtype, jax.dtypes.prng_key))
            for variable, value in zip(jaxpr.constvars, consts, strict=True)
        }

        def look(atom: Any) -> Known:
            return Constant(atom.val) if isinstance(atom, Literal) else known[atom]

        for equation in jaxpr.eqns:
            found = self._equation(equation, [look(atom) for atom in equation.invars])
            known.update(zip(equation.outvars, found, strict=True))
        return [look(atom) for atom in jaxpr.outvars]

    def _equation(self, equation: JaxprEqn, inputs: list[Known]) -> list[Known]:
        if any(isinstance(each, Value) for each in inputs):
            if equation.primitive.name in CALLS and (inner := _inner(equation)) is not None:
                return self._walk(inner.jaxpr, inner.consts, inputs)
            return self._of_values(equation, inputs)
        if any(isinstance(each, Weights) for each in inputs):
            return [Weights(_leaves(inputs))] * len(equation.outvars)
        return _computed(equation, [each for each in inputs if isinstance(each, Constant)])

    def _of_values(self, equation: JaxprEqn, inputs: list[Known]) -> list[Known]:
        if self._is_bias(equation, inputs):
            value = next(each for each in inputs if isinstance(each, Value))
            place = self._unbiased.pop(value.number)
            self._add(equation, inputs, "pass", None, (0, 0, 0), 0)
            step = self.steps[place]
            count = self._size(_leaves(inputs))
            layer = step.layer
            if isinstance(layer, Foreign):
                layer = replace(layer, parameters=layer.parameters + count)
            self.steps[place] = replace(step, layer=layer, parameters=step.parameters + count)
            return [Value(self._count)]
        outputs: list[Known] = []
        for index in range(len(equation.outvars)):
            seen = Equation(equation, tuple(inputs), index, self._source(equation, inputs))
            kind, layer, part = meaning(seen)
            count = self._size(_leaves(inputs))
            self._add(equation, inputs, kind, layer, part, count, index)
            outputs.append(Value(self._count))
        return outputs

    def _is_bias(self, equation: JaxprEqn, inputs: list[Known]) -> bool:
        """Weights added to what a learned layer gave are its biases."""
        values = [each.number for each in inputs if isinstance(each, Value)]
        return (
            equation.primitive.name == "add"
            and len(values) == 1
            and values[0] in self._unbiased
            and len(_leaves(inputs)) == 1
        )

    def _add(
        self, equation: JaxprEqn, inputs: list[Known], kind: Kind, layer: ReadLayer | None, part: Part, count: int,
        index: int = 0,
    ) -> None:  # fmt: skip
        self._count += 1
        if isinstance(layer, Conv | Dense) or (isinstance(layer, Foreign) and layer.kind in CONVOLUTIONS):
            self._unbiased[self._count] = len(self.steps)
        name = equation.primitive.name
        loose = kind == "layer" and layer is None
        shape = tuple(equation.outvars[index].aval.shape[1:])
        foreign = Foreign(
            name=name, kind=name, parameters=count, output_shape=shape, source=self._source(equation, inputs)
        )
        self.steps.append(
            Step(
                kind=kind,
                layer=foreign if loose else layer,
                inputs=tuple(dict.fromkeys(each.number for each in inputs if isinstance(each, Value))),
                output=self._count,
                part=part,
                shape=shape,
                parameters=count,
                loose=loose,
                again=Again(equation, tuple(inputs), index),
            )
        )

    def _size(self, leaves: frozenset[int]) -> int:
        return sum(self._leaves[leaf][1] for leaf in leaves)

    def _source(self, equation: JaxprEqn, inputs: list[Known]) -> str:
        """The module that owns the weights; else the one that runs, where Flax says so; else the primitive."""
        for leaf in sorted(_leaves(inputs)):
            return self._leaves[leaf][0].rpartition(".")[0]
        scopes = str(equation.source_info.name_stack).split("/")[1:]
        return ".".join(scopes) or equation.primitive.name


@dataclass(frozen=True, slots=True)
class Again:
    """An equation that can be computed again."""

    equation: JaxprEqn
    inputs: tuple[Known, ...]
    index: int


def _leaves(inputs: Sequence[Known]) -> frozenset[int]:
    return frozenset(leaf for each in inputs if isinstance(each, Weights) for leaf in each.leaves)


def _inner(equation: JaxprEqn) -> ClosedJaxpr | None:
    """The jaxpr that a call runs."""
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        found = equation.params.get(name)
        if isinstance(found, ClosedJaxpr):
            return found
        if isinstance(found, Jaxpr) and not found.constvars:
            return ClosedJaxpr(found, ())
    return None


def _evaluated(equation: JaxprEqn, values: Sequence[Any]) -> list[Any]:
    """An equation's outputs for these inputs."""
    given = {atom: value for atom, value in zip(equation.invars, values, strict=True) if not isinstance(atom, Literal)}
    alone = Jaxpr((), list(given), equation.outvars, [equation])
    return list(jax.core.eval_jaxpr(alone, (), *given.values()))


def _computed(equation: JaxprEqn, inputs: list[Constant]) -> list[Known]:
    """An equation of constants; what is too large or cannot be computed is as unknown as a weight."""
    sizes = (math.prod(variable.aval.shape) for variable in equation.outvars)
    if any(each.value is None for each in inputs) or sum(sizes) > MOST_CONSTANT:
        return [Constant(None)] * len(equation.outvars)
    try:
        found = _evaluated(equation, [each.value for each in inputs])
    except Exception:  # an effect, or a primitive that has no evaluation of its own
        return [Constant(None)] * len(equation.outvars)
    keep = _keep(equation, inputs)
    drawn = equation.primitive.name.startswith(RANDOM) or any(each.random for each in inputs)
    return [Constant(value, keep, drawn) for value in found]


def _keep(equation: JaxprEqn, inputs: list[Constant]) -> float | None:
    """The probability that a mask was drawn with, also after it was cast or brought into shape."""
    if equation.params.get("name") == "_bernoulli":
        numbers = [np.asarray(each.value) for each in inputs[1:]]
        return float(numbers[0]) if numbers and numbers[0].ndim == 0 else None
    shaped = equation.primitive.name in ("convert_element_type", "broadcast_in_dim", "reshape", "squeeze")
    return inputs[0].keep if shaped and len(inputs) == 1 else None


def recognise(segment: Sequence[Step], start: int, end: int, shape: Shape) -> ReadLayer | None:
    """What a segment without weights computes, where trying it tells; None where it cannot be tried.

    `shape` is that of the value it starts from.
    """
    if any(isinstance(each, Weights) for step in segment for each in _operands(step)):
        return None

    def function(x: Array) -> Array:
        values: dict[int, Any] = {start: jnp.asarray(x, _dtype(segment, start))}
        for step in segment:
            if step.again is None:
                values[step.output] = values[step.inputs[0]]
                continue
            inputs = [
                values[each.number] if isinstance(each, Value) else each.value
                for each in step.again.inputs
                if isinstance(each, Value | Constant)
            ]
            values[step.output] = _evaluated(step.again.equation, inputs)[step.again.index]
        return np.asarray(values[end], np.float32)

    try:
        return probe(function, (BATCH, *shape))
    except Exception:  # a shape that is no map, a constant that was not computed: it stays foreign
        return None


def _dtype(segment: Sequence[Step], start: int) -> Any:
    """The type of the value that a segment starts from: equations are of one type each."""
    for step in segment:
        for atom, known in zip(step.again.equation.invars, step.again.inputs, strict=True) if step.again else ():
            if isinstance(known, Value) and known.number == start:
                return atom.aval.dtype
    return jnp.float32


def _operands(step: Step) -> Iterator[Known]:
    if step.again is not None:
        yield from step.again.inputs
