"""One forward pass of somebody's module, recorded as `impls.traced.op_graph.Step`s.

The module runs as it is, eagerly, under a `TorchFunctionMode` that sees the outermost PyTorch functions with their
arguments: functions, methods, in-place forms and modules look the same there, and control flow needs no tracer. Tensors
are followed by identity, so that a value used twice is seen as such.

References:
    https://docs.pytorch.org/docs/stable/torch.overrides.html, torch.overrides.TorchFunctionMode
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from impls.derive import Shape
from impls.reading import Foreign, ReadLayer
from impls.spec import Conv, Dense, Dropout
from impls.traced.op_graph import Kind, Step
from impls.traced.probing import Array, probe
from impls.traced.settling import without_bias
from impls.with_torch.calls import SAME_VALUE, UNRELATED, Call, meaning

IMAGE = 0  # the number of the value that goes in
BATCH = 2
OPERATORS = {"imul": "mul", "rmul": "mul", "truediv": "div", "itruediv": "div", "iadd": "add", "radd": "add"}


@dataclass(frozen=True, slots=True)
class _Value:
    """The place of a value in the arguments of a call that can be run again."""

    number: int


@dataclass(frozen=True, slots=True)
class _Again:
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    part: int | None = None  # which of several results


class Recorder(TorchFunctionMode):
    """The steps of one forward pass of `module` on `images` [N, C, H, W]."""

    def __init__(self, module: torch.nn.Module, images: torch.Tensor) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self._numbers = {id(images): IMAGE}
        self._kept: list[Any] = [images]  # an identity is one only as long as its object lives
        self._names = {id(tensor): name for name, tensor in module.named_parameters(remove_duplicate=False)}
        self._buffers = {id(tensor) for tensor in module.buffers()}
        self._paths = {id(part): name for name, part in module.named_modules()}
        self._running: list[torch.nn.Module] = []
        self._used: list[tuple[int, str]] = []  # weights of learned layers, and what the layer is called

    def run(self, module: torch.nn.Module, images: torch.Tensor) -> Any:
        """The module's own answer. An exception of its own passes through."""
        before = register_module_forward_pre_hook(lambda part, _: self._running.append(part))
        after = register_module_forward_hook(lambda _part, _inputs, _output: self._left())
        try:
            with self, torch.no_grad():
                return module(images)
        finally:
            before.remove()
            after.remove()

    def _left(self) -> None:
        if self._running:
            self._running.pop()

    def shared(self) -> tuple[str, ...]:
        """What is to be said of weights that several layers use."""
        times = Counter(tensor for tensor, _ in self._used)
        names = dict(self._used)
        return tuple(
            f"{names[tensor]} is used {count} times with the same weights, which are counted each time"
            for tensor, count in times.items()
            if count > 1
        )

    def number(self, tensor: Any) -> int | None:
        """A tensor's number where it depends on the images."""
        return self._numbers.get(id(tensor))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = tuple(dict.fromkeys(self._inputs((args, kwargs))))
        result = func(*args, **kwargs)
        if inputs:
            name = _name(func)
            again = _Again(func, self._placed(args), self._placed(kwargs))
            # After the call: an in-place function has given its argument a new value.
            self._record(Call(name, args, kwargs, result, self._tensors((args, kwargs))), again, inputs)
        return result

    def _inputs(self, value: Any) -> Iterator[int]:
        """Numbers of the values among the arguments."""
        for tensor in _tensors(value):
            if (number := self.number(tensor)) is not None:
                yield number

    def _tensors(self, value: Any) -> tuple[torch.Tensor, ...]:
        """The arguments that do not depend on the images: weights, constants."""
        return tuple(tensor for tensor in _tensors(value) if self.number(tensor) is None)

    def _placed(self, value: Any) -> Any:
        """The arguments with their values' numbers in the place of the values."""
        match value:
            case torch.Tensor() if (number := self.number(value)) is not None:
                return _Value(number)
            case tuple():
                return tuple(self._placed(part) for part in value)
            case list():
                return [self._placed(part) for part in value]
            case dict():
                return {key: self._placed(part) for key, part in value.items()}
        return value

    def _record(self, call: Call, again: _Again, inputs: tuple[int, ...]) -> None:
        result = call.result
        if call.name in UNRELATED:
            return
        if isinstance(result, torch.Tensor):
            if call.name not in SAME_VALUE or self.number(result) is None:
                self._add(call, result, again, inputs)
        elif isinstance(result, tuple | list) and result and all(isinstance(part, torch.Tensor) for part in result):
            start = 0
            for index, part in enumerate(result):
                width = part.shape[1] if part.ndim > 1 else 0
                place = (start, start + width)
                start += width
                self._add(replace(call, result=part, place=place), part, replace(again, part=index), inputs)
        elif call.name == "setitem":
            changed = call.args[0]
            self._add(replace(call, result=changed), changed, again, inputs)

    def _add(self, call: Call, result: torch.Tensor, again: _Again, inputs: tuple[int, ...]) -> None:
        learned = [tensor for tensor in call.constants if id(tensor) in self._names]
        running = self._running[-1] if self._running else None
        kind, layer, part = meaning(call)
        if isinstance(layer, Dropout) and any(id(tensor) in self._buffers for tensor in call.constants):
            layer = None  # a mask that stays as it is drops nothing at random
        count = sum(tensor.numel() for tensor in learned)
        if kind == "layer":
            layer = self._named(layer or self._foreign(call, running), call, learned, running)
            if isinstance(layer, Foreign):
                layer = replace(layer, parameters=count, output_shape=shape_of(result))
        learned_layer = isinstance(layer, Conv | Dense)
        if learned_layer and layer is not None and learned:
            self._used.append((id(learned[0]), layer.source))
        self._step(result, kind, layer if kind == "layer" else None, inputs, part, count, again)
        if learned_layer and layer is not None and call.bound("input", "weight", "bias", bias=None)["bias"] is None:
            units = layer.kernels if isinstance(layer, Conv) else layer.units if isinstance(layer, Dense) else 0
            missing = replace(without_bias(units, layer.source), output_shape=shape_of(result))
            self._step(result, "layer", missing, (self._numbers[id(result)],), part, -units, None)

    def _step(
        self,
        result: torch.Tensor,
        kind: Kind,
        layer: ReadLayer | None,
        inputs: tuple[int, ...],
        part: tuple[int, int, int],
        parameters: int,
        again: _Again | None,
    ) -> None:
        number = len(self._kept)
        self._kept.append(result)
        self._numbers[id(result)] = number
        shape = shape_of(result)
        self.steps.append(
            Step(
                kind=kind, layer=layer, inputs=inputs, output=number, part=part, shape=shape, parameters=parameters,
                again=again,
            )
        )  # fmt: skip

    def _named(
        self, layer: ReadLayer, call: Call, learned: list[torch.Tensor], running: torch.nn.Module | None
    ) -> ReadLayer:
        """The layer with its name over there: the module that owns the weights, or that runs, or the function."""
        if learned:
            source = self._names[id(learned[0])].rpartition(".")[0]
        else:
            source = self._paths.get(id(running), "") if running is not None and _is_leaf(running) else call.name
        return replace(layer, source=source or call.name)

    @staticmethod
    def _foreign(call: Call, running: torch.nn.Module | None) -> Foreign:
        if running is not None and _is_leaf(running):
            kind, detail = type(running).__name__, running.extra_repr()
        else:
            kind, detail = KINDS.get(call.name, call.name), ""
        if kind == "BatchNorm":
            kind = "BatchNorm2d" if call.result.ndim == 4 else "BatchNorm1d"
        return Foreign(name=kind, kind=kind, detail=detail[:120])


# What PyTorch calls the module of a function, for tables that show the same word for both.
KINDS = {
    "batch_norm": "BatchNorm", "gelu": "GELU", "leaky_relu": "LeakyReLU", "sigmoid": "Sigmoid", "silu": "SiLU",
    "elu": "ELU", "selu": "SELU", "relu6": "ReLU6", "hardswish": "Hardswish", "mish": "Mish", "prelu": "PReLU",
    "adaptive_avg_pool2d": "AdaptiveAvgPool2d", "adaptive_max_pool2d": "AdaptiveMaxPool2d", "avg_pool2d": "AvgPool2d",
    "layer_norm": "LayerNorm", "group_norm": "GroupNorm", "instance_norm": "InstanceNorm2d", "softplus": "Softplus",
    "conv2d": "Conv2d", "conv_transpose2d": "ConvTranspose2d", "conv1d": "Conv1d", "conv3d": "Conv3d",
    "linear": "Linear", "max_pool2d": "MaxPool2d", "local_response_norm": "LocalResponseNorm",
    "softmax": "Softmax", "log_softmax": "LogSoftmax", "dropout2d": "Dropout2d", "feature_dropout": "Dropout2d",
    "alpha_dropout": "AlphaDropout", "interpolate": "Upsample", "cat": "concatenation", "concat": "concatenation",
}  # fmt: skip


def _is_leaf(module: torch.nn.Module) -> bool:
    """Whether this is one of PyTorch's own layers."""
    return type(module).__module__.startswith("torch.nn") and next(module.children(), None) is None


def _name(function: Any) -> str:
    """`relu` for F.relu, torch.relu, Tensor.relu_ and the method; `data` for the property."""
    name = getattr(function, "__name__", "") or str(function)
    if name == "__get__":
        name = getattr(getattr(function, "__self__", None), "__name__", name)
    name = name.strip("_")
    return OPERATORS.get(name, name)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    match value:
        case torch.Tensor():
            yield value
        case tuple() | list():
            for part in value:
                yield from _tensors(part)
        case dict():
            for part in value.values():
                yield from _tensors(part)


def shape_of(tensor: torch.Tensor) -> Shape:
    """Without the batch, [H, W, C] for maps."""
    sides = tuple(tensor.shape[1:])
    return (*sides[1:], sides[0]) if len(sides) == 3 else sides


def recognise(segment: Sequence[Step], start: int, end: int, shape: Shape) -> ReadLayer | None:
    """What a segment without weights computes, where trying it tells; None where it cannot be tried.

    `shape` is that of the value it starts from.
    """

    def function(x: Array) -> Array:
        tensor = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2) if x.ndim == 4 else x))
        values = {start: tensor}
        for step in segment:
            made = step.again.function(*_filled(step.again.args, values), **_filled(step.again.kwargs, values))
            values[step.output] = made if step.again.part is None else made[step.again.part]
        found = values[end].numpy()
        return np.ascontiguousarray(found.transpose(0, 2, 3, 1) if found.ndim == 4 else found)

    try:
        with torch.no_grad():
            return probe(function, (BATCH, *shape))
    except Exception:  # whatever a constant on the meta device or a strange shape leads to: it stays foreign
        return None


def _filled(value: Any, values: dict[int, torch.Tensor]) -> Any:
    match value:
        case _Value(number):
            return values[number].clone()  # an in-place function must not change what others still read
        case tuple():
            return tuple(_filled(part, values) for part in value)
        case list():
            return [_filled(part, values) for part in value]
        case dict():
            return {key: _filled(part, values) for key, part in value.items()}
    return value
