"""`alexbench weights export`: a canonical weights file becomes a framework's own, with the lines that load it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness import errand, run_claim
from harness.data.preprocessing import METADATA_KEY
from harness.errors import CannotMeasure, UsageError
from harness.exchange.foreign import FormatError
from harness.exchange.loading_lines import loading_lines
from harness.launch import WorkerSpec
from harness.requirements import install_command
from impls import catalog, derive, registry, tensor_file, weights
from impls.protocol import Settings
from impls.spec import Network
from impls.spec_json import network_to_json
from impls.weights import Weights, WeightsError
from reports.render.terminal import say

MARK = "alexbench"  # the key under which every format carries the network's name and the preprocessing


class _Job(NamedTuple):
    network: Network
    weights: Weights
    file: Path
    out: Path
    metadata: dict[str, str]
    python: str | None
    timeout_s: float


class _Form(NamedTuple):
    suffixes: tuple[str, ...]
    write: Callable[[_Job], None]


def run(file: Path, form: str, out: Path, pythons: Mapping[str, str] | None = None, timeout_s: float = 600.0) -> None:
    """Write the file and print the lines that load it. Raises WeightsError, UsageError, CannotMeasure, WorkerFailed."""
    found = FORMS[form]
    if out.suffix.lower() not in found.suffixes:
        raise UsageError(f"--out {out}: a file for --to {form} ends in {' or '.join(found.suffixes)}")
    if out.resolve() == file.resolve():
        raise UsageError(f"--out {out} is the file that is read: name another")
    run_claim.check_file(out)
    name = tensor_file.read(file).metadata.get("network")
    if name is None:
        raise WeightsError(
            f"{str(file)!r} names no network in its metadata: alexbench weights import makes one that does"
        )
    network = catalog.get(name)
    _check_place(out, 4 * derive.parameter_count(network))
    loaded = weights.load(file, network)
    framework = {"keras": "tensorflow"}.get(form, form)
    temporary = out.with_name(f".{os.getpid()}.partial.{out.name}")
    job = _Job(network, loaded, file, temporary, {MARK: mark(loaded)}, (pythons or {}).get(framework), timeout_s)
    try:
        found.write(job)
        temporary.replace(out)
    except OSError as error:
        raise UsageError(f"cannot write {str(out)!r}: {error.strerror or error}") from None
    except (WeightsError, FormatError) as error:  # of a writer, which knows only the temporary name
        raise type(error)(str(error).replace(repr(str(temporary)), repr(str(out)))) from None
    finally:
        temporary.unlink(missing_ok=True)
    say(f"{out}: {network.name}, sha256 of its weights {loaded.content_hash}")
    say(f"\n{loading_lines(form, out, network)}")


def _check_place(out: Path, size: int) -> None:
    """Raises UsageError where a file cannot be written, and CannotMeasure where so many bytes find no room.

    Frameworks say it each in a way of its own.
    """
    folder, why = out.absolute().parent, ""
    if out.is_dir():
        why = "it is a folder"
    elif not folder.is_dir():
        why = f"there is no folder {str(out.parent)!r}"
    elif not os.access(folder, os.W_OK):
        why = f"files cannot be made in {str(out.parent)!r}"
    if why:
        raise UsageError(f"cannot write {str(out)!r}: {why}")
    if (free := shutil.disk_usage(folder).free) < size:
        what = f"it needs {size / 1e6:,.1f} MB, its disk has {free / 1e6:,.1f} MB free"
        raise CannotMeasure(f"cannot write {str(out)!r}: {what}")


def mark(found: Weights) -> str:
    """What an export says of itself: JSON."""
    facts = {"network": found.network, "preprocessing": found.metadata.get(METADATA_KEY)}
    return json.dumps({key: value for key, value in facts.items() if value is not None}, separators=(",", ":"))


def _torch(job: _Job) -> None:
    if job.out.suffix.lower() != ".safetensors":
        _by_framework(job, "torch", "torch")
        return
    from impls.torch_names import torch_arrays

    arrays = torch_arrays(job.network, job.weights.arrays)
    chunks = (chunk for array in arrays.values() for chunk in tensor_file.chunks_of(array))
    tensor_file.write(job.out, {name: array.shape for name, array in arrays.items()}, chunks, job.metadata)


def _keras(job: _Job) -> None:
    _by_framework(job, "keras", "tensorflow")


def _by_framework(job: _Job, writer: str, framework: str) -> None:
    """In a process of the framework's own."""
    spec = WorkerSpec(
        label=framework,
        target=registry.WRITERS[writer],
        python=job.python or sys.executable,
        silence_limit_s=job.timeout_s,
        extra_environment=registry.environment(framework, Settings()),
    )
    task = {
        "do": "write-network",
        "network": network_to_json(job.network),
        "weights": str(job.file.resolve()),
        "output": str(job.out.resolve()),
        "metadata": job.metadata,
    }
    errand.run(spec, task)


def _flax(job: _Job) -> None:
    from harness.exchange import flax_export

    with _library("formats"):
        flax_export.write(job.network, job.weights.arrays, job.out, job.metadata)


def _onnx(job: _Job) -> None:
    from impls import onnx_graph

    with _library("formats"):
        onnx_graph.write(job.network, job.weights.arrays, job.out, job.metadata)


def _npz(job: _Job) -> None:
    with job.out.open("wb") as file:
        arrays: dict[str, Any] = {MARK: np.array(job.metadata[MARK]), **job.weights.arrays}
        np.savez(file, **arrays)


class _library:  # noqa: N801, a context manager that reads as a word
    """Turns a missing library into the command that installs it."""

    def __init__(self, extra: str) -> None:
        self._extra = extra

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ModuleNotFoundError):
            raise CannotMeasure(f"{error.name} is not installed: {install_command(self._extra)}") from None


FORMS: dict[str, _Form] = {
    "torch": _Form((".pt", ".pth", ".safetensors"), _torch),
    "keras": _Form((".keras",), _keras),
    "flax": _Form((".msgpack",), _flax),
    "onnx": _Form((".onnx",), _onnx),
    "npz": _Form((".npz",), _npz),
}
