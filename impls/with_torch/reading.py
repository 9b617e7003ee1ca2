"""Somebody's PyTorch module as a `Reading`: `read("./file.py:Class", side)`.

The module is built on the meta device first, where a network of any size takes no memory. One of ordinary size is then
built and run on the CPU, where its initial values and its constants can be looked at; a larger one is run without them.
It runs in training mode, so that dropout shows.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from impls import registry
from impls.reading import Foreign, Reading, ReadLayer, numbered
from impls.spec import Conv, Dense, Dropout, DropoutScaling, Init
from impls.traced.op_graph import USUAL_SIDES, chain
from impls.traced.settling import without_remarked
from impls.with_torch.initial import with_initial
from impls.with_torch.tracing import BATCH, IMAGE, Recorder, recognise

MOST_BYTES = 1_000_000_000  # of parameters: a larger module is not built on the CPU


def read(target: str, side: int | None = None) -> Reading:
    """The class, function or instance called `target` as a reading, for images of side x side pixels.

    Without a side the usual ones are tried. Raises NotLoadable where there is no such thing, where it is no module,
    and where it cannot be run; what the file itself raises when it is loaded passes through.
    """
    loaded = registry.load(target)
    torch.manual_seed(0)
    reading = _run(_module(loaded, target, _device(loaded, target)), target, side)
    return _instance(reading) if isinstance(loaded, torch.nn.Module) else reading


def _device(loaded: Any, target: str) -> str:
    """Where to run it: on the CPU, or without values where it is large."""
    if isinstance(loaded, torch.nn.Module):
        return "cpu"
    try:
        module = _module(loaded, target, "meta")
    except _NotAModule:
        raise
    except Exception:  # what asks for values cannot be built without any
        return "cpu"
    held = sum(each.numel() * each.element_size() for each in module.parameters() if not is_lazy(each))
    return "meta" if held > MOST_BYTES else "cpu"


def _instance(reading: Reading) -> Reading:
    """An instance may be trained: its values tell nothing of the initial ones unless they are PyTorch's default."""
    default = all(layer.init is Init.TORCH for layer in reading.layers if isinstance(layer, Conv | Dense))
    return reading if default else replace(reading, silent=reading.silent | {"init"})


class _NotAModule(registry.NotLoadable):
    """What was named is no module and makes none."""


def _module(loaded: Any, target: str, device: str) -> torch.nn.Module:
    """The module in training mode on this device. Raises _NotAModule, and whatever building it raises."""
    name = target.rpartition(":")[2]
    if isinstance(loaded, torch.nn.Module):
        module: Any = loaded.to(device)
    elif callable(loaded):
        if missing := _required(loaded):
            raise _NotAModule(
                f"{name} cannot be built without arguments, it needs {', '.join(missing)}: name a function that"
                " returns the module"
            )
        with torch.device(device):
            module = loaded()
    else:
        module = loaded
    if not isinstance(module, torch.nn.Module):
        raise _NotAModule(
            f"{name} gives a {type(module).__name__}, expected a torch.nn.Module, a class of one, or a function that"
            " returns one"
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise _NotAModule(f"{name} is compiled by torch.jit, whose operations cannot be seen: name the module itself")
    return module.train()


def _required(loaded: Any) -> list[str]:
    """Names of arguments without a default."""
    try:
        parameters = inspect.signature(loaded).parameters.values()
    except (TypeError, ValueError):
        return []
    needed = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )
    return [each.name for each in parameters if each.kind in needed and each.default is inspect.Parameter.empty]


def _run(module: torch.nn.Module, target: str, side: int | None) -> Reading:
    """The reading at the first side that fits. Raises NotLoadable where none does."""
    failure = ""
    channels_open = any(isinstance(part, torch.nn.LazyConv2d) for part in module.modules())
    device = next((each.device for each in module.parameters()), torch.device("cpu"))
    for tried in USUAL_SIDES if side is None else (side,):
        for channels in _channels(module):
            images = torch.zeros(BATCH, channels, tried, tried, device=device)
            recorder = Recorder(module, images)
            try:
                answer = recorder.run(module, images)
                found = _reading(recorder, answer, module, target, (tried, channels), side is None)
                said = (f"the file leaves the images' channels open: {channels} are taken",) if channels_open else ()
                return replace(found, remarks=(*found.remarks, *said))
            except Exception as error:
                module.train()
                failure = failure or f"{_one_line(error)} (images of {tried} x {tried})"
    raise registry.NotLoadable(f"{target.rpartition(':')[2]} cannot be run: {failure}")


def _channels(module: torch.nn.Module) -> Iterator[int]:
    """Channels of the images: what the first convolution takes; colour, then grey, where that does not tell."""
    for part in module.modules():
        if isinstance(part, torch.nn.Conv2d) and part.in_channels:
            yield part.in_channels
            return
    yield from (3, 1)


def _reading(
    recorder: Recorder,
    answer: Any,
    module: torch.nn.Module,
    target: str,
    size: tuple[int, int],
    tried_out: bool,
) -> Reading:
    logits, remarks = _logits(answer)
    number = recorder.number(logits)
    if number is None:
        raise ValueError("what the module returns does not depend on the images")
    side, channels = size
    shapes = {IMAGE: (side, side, channels), **{step.output: step.shape for step in recorder.steps}}
    found = chain(
        recorder.steps, IMAGE, number, lambda segment, start, end: recognise(segment, start, end, shapes[start])
    )
    found, biasless = without_remarked(found)
    layers, silent, more = with_initial(found, module)
    more = (*more, *_at_test(layers, module, size))
    if tried_out:
        remarks.append(f"the file gives no input size; {side} x {side} is the first usual one that fits")
    file, _, name = target.rpartition(":")
    return Reading(
        name=name,
        source=f"{name} of {file}",
        height=side,
        width=side,
        channels=channels,
        layers=numbered(layers),
        silent=frozenset({"preprocessing", *silent}),
        biasless=biasless,
        remarks=tuple(dict.fromkeys((*remarks, *more, *recorder.shared()))),
    )


def _at_test(layers: Sequence[ReadLayer], module: torch.nn.Module, size: tuple[int, int]) -> tuple[str, ...]:
    """What dropout does at test time that its layer does not say; nothing where that is as it should be."""
    scaled = [each for each in layers if isinstance(each, Dropout) and each.scaling is DropoutScaling.AT_TEST]
    if not any(isinstance(each, Dropout) for each in layers):
        return ()
    side, channels = size
    images = torch.zeros(BATCH, channels, side, side, device=next(module.parameters()).device)
    recorder = Recorder(module, images)
    try:
        number = recorder.number(_logits(recorder.run(module.eval(), images))[0])
        found = chain(recorder.steps, IMAGE, IMAGE if number is None else number)
    except Exception as error:
        return (f"it does not run at test time: {_one_line(error)}",)
    said = [f"{each.source}: it drops at test time too" for each in found if isinstance(each, Dropout)]
    factors = sum(isinstance(each, Foreign) and each.kind == "scale" for each in found)
    if not said and len(scaled) > factors:
        said.append(f"{scaled[0].source}: its masks are plain, and nothing is scaled at test time")
    return tuple(said)


def _logits(answer: Any) -> tuple[torch.Tensor, list[str]]:
    """The tensor that the module returns; of several the first. Raises ValueError where there is none."""
    if isinstance(answer, torch.Tensor):
        return answer, []
    parts = list(answer.values()) if isinstance(answer, dict) else answer
    if isinstance(parts, tuple | list):
        tensors = [part for part in parts if isinstance(part, torch.Tensor)]
        if tensors:
            return tensors[0], [f"it returns {len(parts)} things; the first tensor is taken for the logits"]
    raise ValueError(f"it returns a {type(answer).__name__}, expected a tensor")


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
