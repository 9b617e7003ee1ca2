"""Canonical weights out to every format and in again: not a bit is lost, and what a file says of itself returns."""

from __future__ import annotations

import errno
import json
import os
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness import errand
from harness.data.preprocessing import Preprocessing
from harness.errors import CannotMeasure, UsageError
from harness.exchange import export_command, import_command
from harness.exchange.foreign import FormatError
from harness.exchange.import_command import ImportOptions
from harness.launch import Event, Worker, WorkerSpec
from impls import catalog, tensor_file, weights
from impls.oracle import network as reference

FOUR = ("paper", "caffe", "torchvision", "original-2012")
WITHOUT_FRAMEWORK = (
    ("onnx", ".onnx"),
    ("npz", ".npz"),
    ("flax", ".msgpack"),
    ("torch", ".safetensors"),
)
BY_FRAMEWORK = (
    pytest.param("torch", ".pt", marks=pytest.mark.needs("torch")),
    pytest.param("keras", ".keras", marks=pytest.mark.needs("tensorflow")),
)
FORMS = [*(pytest.param(*form) for form in WITHOUT_FRAMEWORK), *BY_FRAMEWORK]
SMALL = "cifar-4layer"
# Of the files of hundreds of megabytes these; every pair of them where there is time. A small one comes in each form.
ALWAYS = {"caffe": (".onnx",), "original-2012": (".npz",), "torchvision": (".pt",)}
FOUR_IN_FORMS = [
    pytest.param(
        name,
        *form.values,
        marks=(*form.marks, *(() if form.values[1] in ALWAYS.get(name, ()) else (pytest.mark.thorough,))),
    )
    for name in FOUR
    for form in FORMS
]

Canonical = Callable[[str], Path]


@pytest.fixture(scope="module")
def canonical(tmp_path_factory: pytest.TempPathFactory) -> Canonical:
    """Files of canonical weights, each made once, with a preprocessing of their own."""
    folder = tmp_path_factory.mktemp("canonical")

    def made(name: str) -> Path:
        path = folder / f"{name}.safetensors"
        if not path.exists():
            network = catalog.get(name)
            mean = np.linspace(90, 130, 3, dtype=np.float32).reshape(1, 1, 3)
            text = Preprocessing("mean-colour", 256, 3, mean).to_text()
            weights.save(path, name, weights.generate(network, "scaled", 7), preprocessing=text)
        return path

    return made


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., dict[str, Any]]]:
    """`errand.run` by one worker of each framework for all errands: the start of one takes longer than its errand."""
    folder = tmp_path_factory.mktemp("workers")
    events: dict[str, queue.Queue[Event]] = {}
    workers: dict[str, Worker] = {}

    def run(spec: WorkerSpec, task: Mapping[str, Any], *, extra: str = "") -> dict[str, Any]:
        if spec.target not in workers:
            events[spec.target] = queue.Queue[Event]()
            workers[spec.target] = Worker(spec, events[spec.target], folder)
            assert events[spec.target].get(timeout=300)["event"] == "ready", extra
        workers[spec.target].send({"id": "errand", "device": spec.device, **task})
        event = events[spec.target].get(timeout=300)
        assert event["event"] == "done", event
        return event

    yield run
    for worker in workers.values():
        worker.kill()


@pytest.fixture
def one_worker(lasting: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errand, "run", lasting)


def there_and_back(file: Path, form: str, suffix: str, folder: Path, network: str | None = None) -> Path:
    theirs, back = folder / f"theirs{suffix}", folder / "back.safetensors"
    export_command.run(file, form, theirs)
    import_command.run(ImportOptions(file=theirs, out=back, network=network))
    theirs.unlink()
    return back


def assert_same(file: Path, back: Path, name: str) -> None:
    before, after = (weights.load(path, catalog.get(name)) for path in (file, back))
    assert after.content_hash == before.content_hash
    assert after.metadata["preprocessing"] == before.metadata["preprocessing"]


@pytest.mark.usefixtures("one_worker")
@pytest.mark.parametrize(("name", "form", "suffix"), FOUR_IN_FORMS)
def test_four_networks_come_back_with_the_same_hash(
    name: str, form: str, suffix: str, canonical: Canonical, tmp_path: Path
) -> None:
    back = there_and_back(canonical(name), form, suffix, tmp_path)
    assert_same(canonical(name), back, name)
    back.unlink()


@pytest.mark.usefixtures("one_worker")
@pytest.mark.parametrize(("form", "suffix"), FORMS)
def test_a_small_network_comes_back_too(form: str, suffix: str, canonical: Canonical, tmp_path: Path) -> None:
    assert_same(canonical(SMALL), there_and_back(canonical(SMALL), form, suffix, tmp_path), SMALL)


def code_of(printed: str) -> str:
    """The lines that the command printed for loading, without its first line."""
    return printed.split("\n\n", 1)[1]


def run_code(code: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300,
        env={"PATH": "/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "HOME": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture
def images(tmp_path: Path, canonical: Canonical) -> np.ndarray:
    """Images of the small network, saved beside the logits that float64 gives them."""
    network = catalog.get(SMALL)
    made = np.random.default_rng(2).uniform(-120, 130, (3, 32, 32, 3)).astype(np.float32)
    arrays = weights.load(canonical(SMALL), network).arrays
    logits = reference.forward(network, arrays, made.astype(np.float64))[network.logits]
    np.savez(tmp_path / "expected.npz", images=made, logits=logits)
    return made


BEFORE = "import numpy\nexpected = numpy.load('expected.npz')\nimages = expected['images']\n"
AFTER = (
    "\nlogits = numpy.asarray(logits)\nscale = abs(expected['logits']).max()\n"
    "assert logits.shape == expected['logits'].shape\nassert abs(logits - expected['logits']).max() < 1e-5 * scale\n"
)
# A module of the user's own, which the lines printed for PyTorch fill in.
MODULE = """
import torch, torch.nn.functional as F
class Theirs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 32, 5, padding=2)
        self.conv2 = torch.nn.Conv2d(32, 32, 5, padding=2)
        self.conv3 = torch.nn.Conv2d(32, 64, 5, padding=2)
        self.fc4 = torch.nn.Linear(1024, 10)
    def forward(self, x):
        for number, conv in enumerate((self.conv1, self.conv2, self.conv3)):
            x = F.max_pool2d(F.pad(F.relu(conv(x)), (0, 1, 0, 1), value=float("-inf")), 3, 2)
            if number < 2:
                squares = F.conv2d((x * x).flatten(0, 1)[:, None], torch.ones(1, 1, 3, 3), padding=1).view_as(x)
                x = x / (1 + 0.00005 / 9 * squares) ** 0.75
        return self.fc4(x.flatten(1))
model = Theirs().eval()
"""


@pytest.mark.usefixtures("images", "one_worker")
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.needs("torch")
def test_the_printed_lines_fill_a_module_of_the_users(
    suffix: str, canonical: Canonical, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_command.run(canonical(SMALL), "torch", tmp_path / f"theirs{suffix}")
    code = code_of(capsys.readouterr().out)
    compute = "\nwith torch.no_grad():\n    logits = model(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()\n"
    run_code(BEFORE + MODULE + code + compute + AFTER, tmp_path)


@pytest.mark.usefixtures("images", "one_worker")
@pytest.mark.needs("tensorflow")
def test_the_printed_lines_load_the_whole_model_in_keras(
    canonical: Canonical, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_command.run(canonical(SMALL), "keras", tmp_path / "theirs.keras")
    run_code(BEFORE + code_of(capsys.readouterr().out) + AFTER, tmp_path)


@pytest.mark.usefixtures("images")
@pytest.mark.needs("onnxruntime")
def test_the_printed_lines_run_the_whole_model_in_onnx_runtime(
    canonical: Canonical, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_command.run(canonical(SMALL), "onnx", tmp_path / "theirs.onnx")
    code = code_of(capsys.readouterr().out)
    run_code(BEFORE + "images = images.transpose(0, 3, 1, 2)\n" + code + AFTER, tmp_path)


@pytest.mark.needs("jax")
def test_the_printed_lines_read_the_parameters_in_flax(
    canonical: Canonical, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_command.run(canonical(SMALL), "flax", tmp_path / "theirs.msgpack")
    arrays = weights.load(canonical(SMALL), catalog.get(SMALL)).arrays
    np.savez(tmp_path / "expected.npz", **arrays)
    check = (
        "\nimport numpy\nexpected = numpy.load('expected.npz')\n"
        "assert numpy.array_equal(kernel, expected['conv1/weight'])\n"
        "for layer, found in params.items():\n"
        "    assert numpy.array_equal(found['kernel'], expected[layer + '/weight'])\n"
        "    assert numpy.array_equal(found['bias'], expected[layer + '/bias'])\n"
        "assert len(params) == 4\n"
    )
    run_code(code_of(capsys.readouterr().out) + check, tmp_path)


def test_the_printed_lines_read_the_arrays_in_numpy(
    canonical: Canonical, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_command.run(canonical(SMALL), "npz", tmp_path / "theirs.npz")
    run_code(code_of(capsys.readouterr().out) + "\nassert kernel.shape == (5, 5, 3, 32)\n", tmp_path)


def test_an_import_says_what_it_turned_and_what_evaluate_will_do(
    canonical: Canonical, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there_and_back(canonical(SMALL), "onnx", ".onnx", tmp_path)
    printed = capsys.readouterr().out
    assert "cifar-4layer, from ONNX theirs.onnx, sha256 " in printed
    assert "8 tensors of 4 layers; axes oihw" in printed
    assert "inputs of fc4 from C,H,W to H,W,C" in printed
    assert "preprocessing: mean-colour, as the file says" in printed


def test_an_export_says_which_network_and_preprocessing_it_has(canonical: Canonical, tmp_path: Path) -> None:
    export_command.run(canonical(SMALL), "torch", tmp_path / "theirs.safetensors")
    mark = json.loads(tensor_file.read(tmp_path / "theirs.safetensors").metadata["alexbench"])
    assert mark["network"] == SMALL
    assert Preprocessing.from_text(mark["preprocessing"]).kind == "mean-colour"


def test_wrong_suffixes_and_files_onto_themselves_are_refused(canonical: Canonical, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--to onnx ends in \.onnx"):
        export_command.run(canonical(SMALL), "onnx", tmp_path / "theirs.pt")
    with pytest.raises(UsageError, match="is the file that is read"):
        export_command.run(canonical(SMALL), "torch", canonical(SMALL))
    with pytest.raises(UsageError, match="is the file that is read"):
        import_command.run(ImportOptions(file=canonical(SMALL), out=canonical(SMALL)))
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_cannot_be_written_leaves_nothing_behind(canonical: Canonical, tmp_path: Path) -> None:
    for form, suffix in WITHOUT_FRAMEWORK:
        with pytest.raises((UsageError, FormatError, weights.WeightsError), match="cannot write"):
            export_command.run(canonical(SMALL), form, tmp_path / "missing" / f"theirs{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("form", "suffix"), [*WITHOUT_FRAMEWORK, ("torch", ".pt"), ("keras", ".keras")])
def test_every_form_says_alike_why_its_file_cannot_be_written(
    form: str, suffix: str, canonical: Canonical, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a framework is started."""
    out = tmp_path / f"theirs{suffix}"
    with pytest.raises(UsageError, match="there is no folder"):
        export_command.run(canonical(SMALL), form, tmp_path / "missing" / out.name)
    out.mkdir()
    with pytest.raises(UsageError, match="it is a folder"):
        export_command.run(canonical(SMALL), form, out)
    out.rmdir()
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=200_000))
    with pytest.raises(CannotMeasure, match=r"needs 0\.4 MB, its disk has 0\.2 MB free"):
        export_command.run(canonical(SMALL), form, out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("form", "suffix"), [("flax", ".msgpack"), ("torch", ".safetensors")])
def test_a_write_that_fails_names_the_file_that_was_asked_for(
    form: str, suffix: str, canonical: Canonical, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = canonical(SMALL), tmp_path / f"theirs{suffix}"

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises((UsageError, FormatError, weights.WeightsError)) as caught:
        export_command.run(file, form, out)
    assert str(caught.value) == f"cannot write {str(out)!r}: No space left on device"


@pytest.mark.parametrize("suffix", [".h5", ".pt", ".onnx", ""])
def test_a_pipe_is_refused_and_not_waited_for(suffix: str, tmp_path: Path) -> None:
    pipe = tmp_path / f"pipe{suffix}"
    os.mkfifo(pipe)
    program = f"from pathlib import Path\nfrom harness.exchange import opening\nopening.read(Path({str(pipe)!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert f"FormatError: {str(pipe)!r} is no regular file" in done.stderr


@pytest.mark.needs("onnxruntime")
def test_an_order_of_inputs_that_the_file_does_not_tell_is_asked_for(canonical: Canonical, tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    theirs, back = tmp_path / "theirs.onnx", tmp_path / "back.safetensors"
    export_command.run(canonical(SMALL), "onnx", theirs)
    model = onnx.load(theirs)
    place = next(place for place, node in enumerate(model.graph.node) if node.op_type == "Flatten")
    flatten = model.graph.node[place]
    turned = helper.make_node("Transpose", [flatten.input[0]], ["turned"], perm=[0, 3, 2, 1])
    flatten.input[0] = "turned"
    model.graph.node.insert(place, turned)
    onnx.save(model, theirs)
    with pytest.raises(FormatError, match=r"in which order fc4's inputs were a map: say with --flatten"):
        import_command.run(ImportOptions(file=theirs, out=back))
    assert not back.exists()
    import_command.run(ImportOptions(file=theirs, out=back, flatten="chw"))
    assert_same(canonical(SMALL), back, SMALL)
