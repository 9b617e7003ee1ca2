"""The doctor asks real processes, and whatever a framework does is an answer."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from harness import doctor, requirements
from impls import registry

HEADER = """
from impls.protocol import Unsupported
class Framework:
    operators = build = None
    def describe(self, device="cpu"):
"""
FOOTER = "\nFRAMEWORK = Framework()\n"

CPU_ONLY = """
        if device != "cpu": raise Unsupported("no GPU here")
        print("chatter on standard output")
        return {"version": "9.1.0", "device": "cpu", "threads": "2"}
"""
TWO_GPUS = """
        if device == "cuda:2": raise Unsupported("no third")
        return {"version": "9.1.0", "device": "cpu" if device == "cpu" else "Some GPU"}
"""
HANGS = """
        import time
        time.sleep(600)
"""
DIES = """
        import os, signal
        os.kill(os.getpid(), signal.SIGSEGV)
"""
DIES_ON_CUDA = """
        import os
        if device != "cpu": os.abort()
        return {"version": "9.1.0", "device": "cpu"}
"""
RAISES = """
        raise RuntimeError("libcudart.so is too new")
"""


def examine(tmp_path: Path, timeout_s: float = 60.0, **bodies: str) -> dict[str, doctor.FrameworkState]:
    targets = {}
    for name, body in bodies.items():
        file = tmp_path / f"{name}.py"
        file.write_text(f"{HEADER}{body}{FOOTER}" if "describe" not in body else body)
        targets[name] = f"{file}:FRAMEWORK"
    return {found.name: found for found in doctor.examine(targets, {}, timeout_s)}


def test_each_framework_gets_its_own_answer_whatever_the_others_do(tmp_path: Path) -> None:
    found = examine(tmp_path, cpu=CPU_ONLY, gpus=TWO_GPUS, dies=DIES, late=DIES_ON_CUDA, raises=RAISES)
    cpu = found["cpu"]
    assert (cpu.state, cpu.version, cpu.devices, cpu.no_cuda) == ("works", "9.1.0", ("cpu",), "no GPU here")
    assert cpu.details == {"threads": "2"}
    assert found["gpus"].devices == ("cpu", "cuda:0 (Some GPU)", "cuda:1 (Some GPU)")
    assert found["gpus"].no_cuda == ""
    assert found["dies"].state == "broken"
    assert "SIGSEGV" in found["dies"].reason
    assert (found["late"].state, found["late"].devices) == ("works", ("cpu",))
    assert "SIGABRT" in found["late"].no_cuda
    assert found["raises"].state == "broken"
    assert "libcudart.so is too new" in found["raises"].reason


def test_a_framework_that_hangs_costs_the_time_out_and_no_more(tmp_path: Path) -> None:
    started = time.monotonic()
    found = examine(tmp_path, timeout_s=3.0, hangs=HANGS)["hangs"]
    assert found.state == "broken"
    assert "no sign of life" in found.reason
    assert time.monotonic() - started < 30


def test_a_module_that_is_not_there_is_missing(tmp_path: Path) -> None:
    body = "import no_such_framework_at_all  # describe\n"
    found = examine(tmp_path, gone=body)["gone"]
    assert found.state == "missing"
    assert "no_such_framework_at_all" in found.reason


def test_a_framework_that_is_not_installed_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.REQUIRED_MODULES, "jax", ("no_such_module", "sys"))
    monkeypatch.setattr(doctor.launch, "Worker", None)
    [found] = doctor.examine({"jax": "impls.with_jax.framework:FRAMEWORK"}, {})
    assert (found.state, found.reason) == ("missing", "not installed: no_such_module")
    assert found.remedy == requirements.install_command("jax")


def test_an_interpreter_that_does_not_exist_is_an_answer() -> None:
    [found] = doctor.examine({"torch": "a:b"}, {"torch": "/no/such/python"})
    assert found.state == "broken"
    assert "/no/such/python cannot be started: No such file or directory" in found.reason
    assert found.remedy.startswith("/no/such/python -m pip install")


PYPROJECT = """
[project]
name = "alexbench"
dependencies = ["numpy>=1.0", "no-such-distribution>=2"]
[project.optional-dependencies]
old = ["old>=10.2,<11"]
jax = ["jax>=0.10; python_version >= '3'", "jax-metal>=1; python_version < '3'"]
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    monkeypatch.setattr(requirements, "CHECKOUT", tmp_path)
    return tmp_path


def test_requirements_are_those_of_the_extra_on_this_machine(checkout: Path) -> None:
    assert checkout.is_dir()
    assert [str(needed.specifier) for needed in requirements.of_extra("jax")] == [">=0.10"]
    assert requirements.wanted("") == {"numpy>=1.0": True, "no-such-distribution>=2": False}
    assert requirements.wanted("nothing") == {}


def test_a_version_that_is_too_old_is_said_with_the_one_needed(checkout: Path) -> None:
    found = examine(checkout, old=CPU_ONLY)["old"]
    assert (found.state, found.needed) == ("too old", "old<11,>=10.2")
    assert found.reason == "9.1.0 found, old<11,>=10.2 needed"


def test_the_remedy_fits_a_checkout_and_an_installed_package(checkout: Path) -> None:
    pip = f"{sys.executable} -m pip"
    assert requirements.install_command("torch") == f"{pip} install -e '{checkout}[torch]'"
    assert (
        requirements.install_command("torch", "/a b/python") == f"'/a b/python' -m pip install -e '{checkout}[torch]'"
    )
    assert requirements.install_command("torch", "env/python").startswith(f"{Path.cwd()}/env/python -m pip")
    (checkout / "pyproject.toml").unlink()
    assert requirements.install_command("torch") == f"{pip} install 'alexbench[torch]'"
    assert requirements.install_command("") == f"{pip} install alexbench"


@pytest.mark.parametrize(
    ("states", "core", "code"),
    [
        (["works", "works"], (), 0),
        (["works", "missing"], (), 3),
        (["broken"], (), 3),
        ([], (), 3),
        (["works"], ("x",), 3),
    ],
)
def test_the_exit_code_is_3_where_anything_is_missing_or_broken(
    states: list[doctor.State], core: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    frameworks = [doctor.FrameworkState(f"f{number}", state) for number, state in enumerate(states)]
    monkeypatch.setattr(doctor, "examine", lambda *_: frameworks)
    monkeypatch.setattr(requirements, "wanted", lambda _extra: dict.fromkeys(core, False))
    diagnosis = doctor.diagnose()
    assert diagnosis.exit_code == code
    assert len(diagnosis.as_dict()["frameworks"]) == len(states)


def test_what_is_forward_only_is_listed_with_its_remedy_and_not_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(registry.REQUIRED_MODULES, "onnxruntime", ("no_such_module",))
    (found,) = doctor.examine({"onnxruntime": registry.FORWARD_ONLY["onnxruntime"]}, {})
    assert (found.state, found.not_missed) == ("missing", True)
    assert found.remedy == requirements.install_command("onnxruntime")
    monkeypatch.setattr(doctor, "examine", lambda *_: [doctor.FrameworkState("torch", "works"), found])
    monkeypatch.setattr(requirements, "wanted", lambda _extra: {})
    assert doctor.run() == 0
    shown = capsys.readouterr().out
    assert "[onnxruntime]" in shown and shown.splitlines()[-1] == "Ready."


def test_the_command_prints_the_page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "examine", lambda *_: [doctor.FrameworkState("torch", "works", devices=("cpu",))])
    monkeypatch.setattr(requirements, "wanted", lambda _extra: {})
    assert doctor.run() == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Ready."


def test_a_package_that_is_there_and_cannot_be_imported_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "onnxruntime"
    package.mkdir()
    (package / "__init__.py").write_text("import no_such_part\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    [found] = doctor.examine({"onnxruntime": registry.FORWARD_ONLY["onnxruntime"]}, {})
    assert (found.state, found.not_missed) == ("broken", False)
    assert "no_such_part" in found.reason
    assert found.remedy.startswith(f"{sys.executable} -m pip install --force-reinstall ")
    assert "'onnxruntime>=" in found.remedy


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("impls.with_torch.framework:FRAMEWORK", "torch"),
        ("impls.with_tensorflow.reading:read", "tensorflow"),
        ("impls.with_jax.reading:read", "jax"),
        ("impls.with_tensorflow.exporting:write", "tensorflow"),
        ("impls.with_onnxruntime.framework:FRAMEWORK", "onnxruntime"),
    ],
)
def test_what_a_worker_misses_is_installed_by_the_right_extra(target: str, name: str, checkout: Path) -> None:
    event = {"event": "missing", "reason": "No module named 'x'", "broken": False}
    expected = f"No module named 'x': /e/python -m pip install -e '{checkout}[{name}]'"
    assert requirements.why_missing(event, target, "/e/python") == expected
    assert "--force-reinstall" in requirements.why_missing({**event, "broken": True}, target, "/e/python")


def test_a_module_of_somebody_elses_names_no_extra() -> None:
    event = {"event": "missing", "reason": "No module named 'einops'", "broken": False}
    assert requirements.why_missing(event, "./mine.py:build", "/e/python") == "No module named 'einops'"
