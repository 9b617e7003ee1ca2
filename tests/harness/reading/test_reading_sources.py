"""The SOURCE of an audit: catalog names, files and classes find their readers; the rest is refused in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from harness.audit import command
from harness.audit.options import AuditOptions
from harness.errors import CannotMeasure, UsageError, WorkerFailed
from harness.exchange.foreign import FormatError
from harness.reading import sources
from impls import catalog, reading, registry
from impls.spec import Conv, Dense

TORCH = """
    from torch import nn

    class Small(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 26 * 26, 10))

    class Wide(Small):
        def __init__(self):
            super().__init__()
            self[3] = nn.Linear(99, 10)
"""
# In the place of a framework's reader: what somebody's code may do to the process that runs it.
READER = """
    import os, time

    def ends(target, side):
        os._exit(7)

    def waits(target, side):
        time.sleep(60)
"""
WITHOUT_MEMORY = """
    import os

    if {lacks}:
        raise ImportError("libtorch_cpu.so: failed to map segment from shared object")

    def says(target, side):
        os.write(2, b"OpenBLAS error: Memory allocation still failed after 10 retries, giving up.\\n")
        os._exit(1)

    def raises(target, side):
        raise MemoryError
"""
FLAX = """
    from flax import linen as nn

    class Small(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(4, (3, 3), padding="VALID")(x))
            return nn.Dense(10)(x.reshape((x.shape[0], -1)))
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str) -> Path:
        path = tmp_path / "net.py"
        path.write_text(dedent(text))
        return path

    return written


def complaint(source: str, **more: object) -> str:
    with pytest.raises(UsageError) as caught:
        sources.read(source, **more)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", catalog.NETWORKS)
def test_a_catalog_name_is_that_network(name: str) -> None:
    found = sources.read(name)
    network = catalog.get(name)
    assert found.layers == network.layers and found.height == network.height
    if name in ("note-000", "note-001", "note-002"):  # their text ends before any training
        assert found.silent == {"preprocessing"} and found.preprocessing is None
    else:
        assert found == reading.of_network(network)


def test_an_unknown_source_is_told_the_nearest_name_and_the_forms() -> None:
    message = complaint("papr")
    assert "did you mean 'paper'?" in message and "torch:./file.py:Class" in message and ".onnx" in message


@pytest.mark.parametrize("source", ["torch:net.py", "torch:", "flax:./net.py:", "keras::name"])
def test_a_class_without_a_name_is_no_class(source: str) -> None:
    assert f"expected {source.partition(':')[0]}:./file.py:Class" in complaint(source)


def test_a_missing_file_is_said_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "alexnet.py").write_text("")
    assert "alexnet.py'?" in complaint(f"torch:{tmp_path / 'alexnt.py'}:Net")
    assert "is not there" in complaint(str(tmp_path / "net.onnx"))
    (tmp_path / "folder.keras").mkdir()
    assert "is a folder" in complaint(str(tmp_path / "folder.keras"))


def test_a_side_is_for_classes_alone() -> None:
    assert "--side 64 is for a class" in complaint("paper", side=64)


@pytest.mark.parametrize("suffix", sources.FILES)
def test_a_file_goes_to_the_reader_of_its_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises((FormatError, CannotMeasure)) as caught:
        sources.read(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.needs("torch")
def test_a_class_of_pytorch_is_read_in_a_process_of_its_own(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(TORCH)
    monkeypatch.chdir(path.parent)
    found = sources.read("torch:./net.py:Small")
    assert [type(layer).__name__ for layer in found.layers] == ["Conv", "ReLU", "Dense"]
    assert found.height == 28 and found.source == "Small of ./net.py"
    assert "torch" not in sys.modules


@pytest.mark.needs("jax")
def test_a_class_of_flax_is_read_at_the_side_that_is_given(write: Callable[[str], Path]) -> None:
    found = sources.read(f"flax:{write(FLAX)}:Small", side=20)
    assert isinstance(found.layers[0], Conv) and isinstance(found.layers[-1], Dense)
    assert (found.height, found.remarks) == (20, ())
    assert "jax" not in sys.modules


@pytest.mark.needs("torch")
def test_a_module_that_does_not_run_is_refused_with_its_own_words(write: Callable[[str], Path]) -> None:
    message = complaint(f"torch:{write(TORCH)}:Wide")
    assert message.startswith("torch: Wide cannot be run: RuntimeError: mat1 and mat2 shapes")


@pytest.mark.needs("torch")
def test_a_file_without_the_class_is_told_what_it_has(write: Callable[[str], Path]) -> None:
    message = complaint(f"torch:{write(TORCH)}:Smal")
    assert "no attribute 'Smal'" in message and "Small" in message


def test_code_that_ends_its_process_ends_that_alone(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(READER)
    monkeypatch.setitem(registry.READERS, "torch", f"{path}:ends")
    with pytest.raises(WorkerFailed, match="exit status 7"):
        sources.read(f"torch:{path}:Net")


def test_code_that_does_not_come_back_is_ended(write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(READER)
    monkeypatch.setitem(registry.READERS, "torch", f"{path}:waits")
    with pytest.raises(WorkerFailed, match=r"no sign of life for 3 s and was ended \(--timeout\)"):
        command.run(AuditOptions(source=f"torch:{path}:Net", timeout_s=3.0))


@pytest.mark.parametrize("ending", ["says", "raises", "lacks"])
def test_a_process_without_memory_ends_in_one_line(
    ending: str, write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(WITHOUT_MEMORY.format(lacks=ending == "lacks"))
    monkeypatch.setitem(registry.READERS, "torch", f"{path}:{ending}")
    with pytest.raises(CannotMeasure, match=r"^torch: memory does not suffice: .*(alloc|map segment|MemoryError)"):
        sources.read(f"torch:{path}:Net")


def test_an_interpreter_that_is_not_there_is_named(write: Callable[[str], Path]) -> None:
    with pytest.raises(CannotMeasure, match="no-such-python"):
        sources.read(f"torch:{write(TORCH)}:Small", pythons={"torch": "/no-such-python"})


def test_a_keras_file_may_be_given_with_the_prefix_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"net\.keras' is not there"):
        sources.read(f"keras:{tmp_path / 'net.keras'}")
