"""Somebody's Flax module as a `Reading`: `read("./file.py:Class", side)`, of flax.nnx or flax.linen.

The module is built and traced with abstract arrays (jax.eval_shape), so that a network of any size takes no memory, in
training mode, so that dropout shows. Images are [N, H, W, C], as Flax has them.
"""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

from impls import registry
from impls.reading import Foreign, Reading, ReadLayer, numbered
from impls.spec import Conv, Dense
from impls.traced.op_graph import USUAL_SIDES, chain
from impls.traced.settling import NO_BIAS, without_remarked
from impls.with_jax.tracing import BATCH, IMAGE, Constant, Known, Recorder, Value, Weights, recognise

# Arguments of a forward pass by which authors tell training from testing.
IN_TRAINING = {
    "train": True, "training": True, "is_training": True, "deterministic": False, "eval": False, "test": False,
    "inference": False, "use_running_average": False,
}  # fmt: skip


def read(target: str, side: int | None = None) -> Reading:
    """The class, function or instance called `target` as a reading, for images of side x side pixels.

    Without a side the usual ones are tried. Raises NotLoadable where there is no such thing, where it is no module,
    and where it cannot be run; what the file itself raises when it is loaded passes through.
    """
    file, _, name = target.rpartition(":")
    forward = _forward(registry.load(target), name)
    failure = ""
    for tried in USUAL_SIDES if side is None else (side,):
        for channels in forward.channels:
            try:
                layers, biasless = without_remarked(_layers(forward, (tried, tried, channels)))
            except Exception as error:
                failure = failure or f"{_one_line(error)} (images of {tried} x {tried})"
                continue
            given = f"the file gives no input size; {tried} x {tried} is the first usual one that fits"
            return Reading(
                name=name,
                source=f"{name} of {file}",
                height=tried,
                width=tried,
                channels=channels,
                layers=numbered(layers),
                silent=frozenset({"preprocessing", "init"}),
                biasless=biasless,
                remarks=(*([given] if side is None else []), *_shared(layers)),
            )
    raise registry.NotLoadable(f"{name} cannot be run: {failure}")


@dataclass(frozen=True, slots=True)
class _Forward:
    """A module as a function of its state and images."""

    start: Callable[[jax.ShapeDtypeStruct], Any]  # images -> the state, a tree of abstract arrays and random keys
    apply: Callable[[Any, Any], Any]  # state, images -> what the module returns
    classes: dict[str, str]  # path of a part -> its class; filled while it is traced
    channels: tuple[int, ...]  # that the images may have


def _forward(loaded: Any, name: str) -> _Forward:
    """Raises NotLoadable where what was named is no module and makes none."""
    if isinstance(loaded, linen.Module | nnx.Module):
        module: Any = loaded
    elif callable(loaded):
        arguments = {"rngs": nnx.Rngs(0)} if "rngs" in _parameters(loaded) else {}
        if missing := [each for each in _required(loaded) if each != "rngs"]:
            raise registry.NotLoadable(
                f"{name} cannot be built without arguments, it needs {', '.join(missing)}: name a function that"
                " returns the module"
            )
        module = _built(loaded, arguments)
    else:
        module = loaded
    if isinstance(module, linen.Module):
        return _of_linen(module)
    if isinstance(module, nnx.Module):
        return _of_nnx(module)
    raise registry.NotLoadable(
        f"{name} gives a {type(module).__name__}, expected a module of flax.nnx or flax.linen, a class of one, or a"
        " function that returns one"
    )


def _built(loaded: Any, arguments: dict[str, nnx.Rngs]) -> Any:
    """A module of linen holds no arrays; one of nnx is built without values where it lets itself."""
    if isinstance(loaded, type) and issubclass(loaded, linen.Module):
        return loaded()
    fresh = {key: nnx.Rngs(0) for key in arguments}
    try:
        return nnx.eval_shape(lambda: loaded(**{key: nnx.Rngs(0) for key in arguments}))
    except Exception:  # it asks for values, or gives what is no tree of arrays
        return loaded(**fresh)


def _parameters(loaded: Any) -> dict[str, inspect.Parameter]:
    try:
        if isinstance(loaded, type):  # a metaclass of Flax answers for all of them: (*args, **kwargs)
            return dict(list(inspect.signature(loaded.__init__).parameters.items())[1:])  # type: ignore[misc]
        return dict(inspect.signature(loaded).parameters)
    except (TypeError, ValueError):
        return {}


def _required(loaded: Any) -> Iterator[str]:
    """Names of arguments without a default."""
    for name, parameter in _parameters(loaded).items():
        variadic = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        if parameter.default is inspect.Parameter.empty and not variadic:
            yield name


def _flags(call: Any) -> dict[str, bool]:
    """What a forward pass is told to be in training."""
    return {name: IN_TRAINING[name] for name in _parameters(call) if name in IN_TRAINING}


def _of_linen(module: linen.Module) -> _Forward:
    flags = _flags(module.__call__)  # type: ignore[operator]
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    classes: dict[str, str] = {}

    def note(run: Any, args: Any, kwargs: Any, context: Any) -> Any:
        classes[".".join(context.module.path)] = type(context.module).__name__
        return run(*args, **kwargs)

    def start(images: jax.ShapeDtypeStruct) -> Any:
        return jax.eval_shape(lambda images: module.init(keys, images, **flags), images)

    def apply(state: Any, images: Any) -> Any:
        with linen.intercept_methods(note):
            return module.apply(state, images, rngs={"dropout": keys["dropout"]}, mutable=True, **flags)[0]

    return _Forward(start, apply, classes, (3, 1))


def _of_nnx(module: nnx.Module) -> _Forward:
    graph, state = nnx.split(module)
    flags = _flags(type(module).__call__)
    parts = {path: part for path, part in nnx.iter_graph(module) if isinstance(part, nnx.Module)}
    classes = {".".join(map(str, path)): type(part).__name__ for path, part in parts.items()}
    convs = [part.in_features for part in parts.values() if isinstance(part, nnx.Conv)]

    def apply(state: Any, images: Any) -> Any:
        merged = nnx.merge(graph, state)
        merged.train()
        return merged(images, **flags)

    return _Forward(lambda _: state, apply, classes, tuple(dict.fromkeys(convs)) if convs else (3, 1))


def _layers(forward: _Forward, size: tuple[int, int, int]) -> tuple[ReadLayer, ...]:
    """Trace the module on images of [H, W, C] and read what it does."""
    images = jax.ShapeDtypeStruct((BATCH, *size), jnp.float32)
    leaves, tree = jax.tree_util.tree_flatten_with_path(forward.start(images))
    drawn = {index: _key(leaf) for index, (path, leaf) in enumerate(leaves) if _is_random(path, leaf)}
    abstract = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for _, leaf in leaves]
    inputs: list[Any] = [each for index, each in enumerate(abstract) if index not in drawn]

    def run(given: list[Any], images: Any) -> Any:
        rest = iter(given)
        state = [drawn[index] if index in drawn else next(rest) for index in range(len(leaves))]
        return _logits(forward.apply(jax.tree_util.tree_unflatten(tree, state), images))

    closed = jax.make_jaxpr(run)(inputs, images)
    recorder = Recorder([(_path(path), math.prod(leaf.shape)) for path, leaf in leaves])
    known: list[Known] = [Weights(frozenset({index})) for index in range(len(leaves)) if index not in drawn]
    (found,) = recorder.run(closed, [*known, Value(IMAGE)])
    if isinstance(found, Weights | Constant):
        raise ValueError("what the module returns does not depend on the images")  # noqa: TRY004
    steps = recorder.complete()
    shapes = {IMAGE: size, **{step.output: step.shape for step in steps}}
    layers = chain(
        steps, IMAGE, found.number, lambda segment, start, end: recognise(segment, start, end, shapes[start])
    )
    return tuple(_by_class(layer, forward.classes) for layer in layers)


def _shared(layers: Sequence[ReadLayer]) -> Iterator[str]:
    """What is to be said of weights that several layers use: these have their owner's name."""
    times = Counter(layer.source for layer in layers if isinstance(layer, Conv | Dense))
    for source, count in times.items():
        if source and count > 1:
            yield f"{source} is used {count} times with the same weights, which are counted each time"


def _is_random(path: Any, leaf: Any) -> bool:
    """Whether a leaf of the state belongs to a generator of random numbers: its key, or how often it was asked."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) or (leaf.dtype == jnp.uint32 and "count" in _path(path))


def _key(leaf: Any) -> Any:
    return jax.random.key(0) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else jnp.zeros(leaf.shape, leaf.dtype)


def _path(path: Any) -> str:
    """conv1.kernel, of nnx's ['conv1']['kernel'].value and of linen's ['params']['conv1']['kernel']."""
    names = [str(getattr(part, "key", getattr(part, "idx", getattr(part, "name", part)))) for part in path]
    names = names[:-1] if names[-1:] == ["value"] else names
    return ".".join(names[1:] if names[:1] in (["params"], ["batch_stats"]) else names)


def _by_class(layer: ReadLayer, classes: dict[str, str]) -> ReadLayer:
    """A foreign layer by the class of the module that it is."""
    if not isinstance(layer, Foreign) or layer.kind == NO_BIAS:
        return layer
    kind = classes.get(layer.source)
    if kind is None or not layer.source:
        return layer
    return Foreign(
        name=kind, kind=kind, detail="", parameters=layer.parameters, output_shape=layer.output_shape,
        source=layer.source,
    )  # fmt: skip


def _logits(answer: Any) -> Any:
    """The array that the module returns; of several the first. Raises ValueError where there is none."""
    parts = list(answer.values()) if isinstance(answer, dict) else answer
    found = parts[0] if isinstance(parts, tuple | list) and parts else parts
    if not isinstance(found, jax.Array):
        raise ValueError(f"it returns a {type(answer).__name__}, expected an array")  # noqa: TRY004
    return found


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
