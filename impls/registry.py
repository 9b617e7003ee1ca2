"""Names of frameworks and implementations -> "module:attribute", loaded only when asked for. Standard library only."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from impls.nearest import question

ENTRY_POINT_GROUP = "alexbench.impls"

BUILT_IN: dict[str, str] = {
    "torch": "impls.with_torch.framework:FRAMEWORK",
    "tensorflow": "impls.with_tensorflow.framework:FRAMEWORK",
    "jax": "impls.with_jax.framework:FRAMEWORK",
}

# What offers no gradients: compared with the reference as far as that goes, and neither trained, timed nor scored.
FORWARD_ONLY: dict[str, str] = {"onnxruntime": "impls.with_onnxruntime.framework:FRAMEWORK"}

# environment(settings) -> variables that must stand before the framework is imported. Standard library only, so that
# they can be asked for in a process that will never import the framework.
ENVIRONMENTS: dict[str, str] = {
    "torch": "impls.with_torch.tuning:environment",
    "tensorflow": "impls.with_tensorflow.tuning:environment",
    "jax": "impls.with_jax.tuning:environment",
    "onnxruntime": "impls.with_onnxruntime.tuning:environment",
}

# read(target, side) -> impls.reading.Reading: somebody's module or model, "./file.py:Class", in its framework.
READERS: dict[str, str] = {
    "torch": "impls.with_torch.reading:read",
    "keras": "impls.with_tensorflow.reading:read",
    "flax": "impls.with_jax.reading:read",
}

# write(network, weights, path, metadata): a network's weights in the framework's own kind of file.
WRITERS: dict[str, str] = {
    "torch": "impls.with_torch.exporting:write",
    "keras": "impls.with_tensorflow.exporting:write",
}

# What `import` needs to find before a built-in framework can run.
REQUIRED_MODULES: dict[str, tuple[str, ...]] = {
    "torch": ("torch",),
    "tensorflow": ("tensorflow",),
    "jax": ("jax", "flax"),
    "onnxruntime": ("onnx", "onnxruntime"),
}


class UnknownFramework(ValueError):
    """No framework of that name; the message gives the nearest one."""

    exit_code = 2


class NotLoadable(ValueError):
    """A "module:attribute" reference that cannot be loaded; the message says why."""

    exit_code = 2


class NoSuchModule(NotLoadable):
    """A target's module is neither installed nor in the working folder."""


def frameworks(*, forward_only: bool = False) -> dict[str, str]:
    """Every registered framework and its "module:attribute", on request those too that are forward only.

    Raises NotLoadable where a plug-in repeats a name.
    """
    found = dict(BUILT_IN)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in found or point.name in FORWARD_ONLY:
            raise NotLoadable(f"entry point {point.name!r} ({point.value}) repeats a registered framework")
        found[point.name] = point.value
    return {**found, **FORWARD_ONLY} if forward_only else found


def reference(name: str, *, forward_only: bool = False) -> str:
    """The "module:attribute" of a registered framework, on request of one that is forward only.

    Raises UnknownFramework.
    """
    known = frameworks(forward_only=forward_only)
    if name in known:
        return known[name]
    if name in FORWARD_ONLY:
        raise UnknownFramework(
            f"{name} is forward only, and taken by alexbench parity alone: choose from {', '.join(known)}"
        )
    raise UnknownFramework(f"unknown framework {name!r}: {question(name, known)}registered are {', '.join(known)}")


def environment(name: str, settings: Any) -> dict[str, str]:
    """What a framework's process must find set for these `impls.protocol.Settings`; nothing for a plug-in."""
    return dict(load(ENVIRONMENTS[name])(settings)) if name in ENVIRONMENTS else {}


def framework_of(target: str) -> str:
    """Whose framework of this project a "module:attribute" runs: its own, its reader's or its writer's; else ""."""
    folder = target.partition(":")[0].rpartition(".")[0]
    ours = {**BUILT_IN, **FORWARD_ONLY}.items()
    return next((name for name, own in ours if own.rpartition(".")[0] == folder), "")


def missing_modules(name: str) -> tuple[str, ...]:
    """Top-level modules a framework needs and this Python does not have, found without importing them."""
    return tuple(module for module in REQUIRED_MODULES.get(name, ()) if importlib.util.find_spec(module) is None)


def load(target: str) -> Any:
    """The object behind "package.module:attribute" or "./file.py:attribute". Raises NotLoadable.

    An exception raised by the module's own code on import passes through unchanged.
    """
    module_name, separator, attribute = target.rpartition(":")
    if not separator or not module_name or not attribute:
        raise NotLoadable(f"{target!r} is not of the form module:attribute or ./file.py:attribute")
    module = _load_file(module_name) if module_name.endswith(".py") else _load_module(module_name)
    try:
        return getattr(module, attribute)
    except AttributeError:
        offered = [k for k, v in vars(module).items() if not k.startswith("_") and not isinstance(v, ModuleType)]
        hint = f"{question(attribute, offered)}it has {', '.join(offered) or 'nothing'}"
        raise NotLoadable(f"{Path(module_name).name} has no attribute {attribute!r}: {hint}") from None


def _load_module(name: str) -> Any:
    """Of what is installed, and what is not installed of the working folder, which comes last: it shadows nothing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # it is there, and what it imports is not
    sys.path.append(str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise
        raise NoSuchModule(f"there is no module {name!r}, neither installed nor in the working folder") from None


def _load_file(file: str) -> Any:
    path = Path(file).resolve()
    if not path.is_file():
        raise NotLoadable(f"{file!r} is not a file")
    # Under a name of our own: a user's numpy.py must not become numpy. Registered, as dataclasses look it up there.
    name = f"_alexbench_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NotLoadable(f"{file!r} cannot be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.append(str(path.parent))  # for the modules beside it
    spec.loader.exec_module(module)
    return module
