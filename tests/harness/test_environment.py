"""The signature's order, and an environment described without importing anything."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from harness import environment, errors
from harness.version import VERSION

ROOT = Path(__file__).resolve().parents[2]


def test_a_signature_is_ordered_whatever_the_order_it_is_given_in() -> None:
    found = environment.signature(
        tuning="tuned",
        precision="float32",
        seed=0,
        device="cpu",
        framework="torch-2.13.0",
        weights="3f2a",
        network="paper",
    )
    assert found == (
        f"alexbench:{VERSION}|network:paper|weights:3f2a|seed:0|framework:torch-2.13.0|device:cpu|precision:float32"
        "|tuning:tuned"
    )


def test_a_signature_leaves_out_what_is_not_known_and_keeps_its_bars_to_itself() -> None:
    found = environment.signature(network=None, seed=0, device="A|B\n  CPU")
    assert found == f"alexbench:{VERSION}|seed:0|device:A/B CPU"


def test_the_machine_is_described() -> None:
    found = environment.machine()
    assert found["cpu"]
    assert isinstance(found["cores"], int)
    assert found["cores"] >= 1
    assert isinstance(found["memory_gb"], float)
    assert found["memory_gb"] > 0


CPUINFO = "processor\t: 0\nmodel name\t: Some CPU: fast\nflags\t\t: fpu avx2 avx512f\n\nprocessor\t: 1\nflags\t: sve\n"


def test_cpu_features_are_read_from_the_first_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_read", {"/proc/cpuinfo": CPUINFO}.get)
    assert environment.cpu_model() == "Some CPU: fast"
    has = [name for name, present in environment.cpu_features().items() if present]
    assert has == ["avx2", "avx512f"]


def test_a_system_that_says_nothing_of_itself_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_read", lambda _path: "")
    assert environment.cpu_features() == {}
    assert environment.cpu_model()
    assert environment.available_memory_gb() is None


def test_a_containers_limits_count(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"/sys/fs/cgroup/cpu.max": "100000 100000\n", "/sys/fs/cgroup/memory.max": f"{1 << 29}\n"}
    monkeypatch.setattr(environment, "_read", lambda path: limits.get(path, ""))
    assert environment.usable_cores() == 1
    assert environment.memory_gb() == 0.5


def test_packages_are_those_installed() -> None:
    found = environment.packages(("numpy", "no-such-distribution"))
    assert found == {"numpy": metadata.version("numpy")}


def test_only_flags_of_our_trade_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "XLA_FLAGS", "TF_VAR_password", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    found = environment.flags()
    assert {"OMP_NUM_THREADS", "XLA_FLAGS"} <= found.keys()
    assert not {"TF_VAR_password", "AWS_SECRET_ACCESS_KEY"} & found.keys()


def _git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, "-C", str(folder), *arguments], check=True, capture_output=True)


def test_a_checkout_tells_its_commit_and_whether_it_is_dirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.git_state(tmp_path) is None
    _git(tmp_path, "init")
    (tmp_path / "file").write_text("one")
    _git(tmp_path, "add", "file")
    _git(tmp_path, "commit", "-m", "one")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as inside a hook: it speaks of another repository
    clean = environment.git_state(tmp_path)
    assert clean is not None
    assert len(str(clean["commit"])) == 40
    assert clean["dirty"] is False
    (tmp_path / "file").write_text("two")
    assert environment.git_state(tmp_path) == clean | {"dirty": True}


def test_a_repository_further_up_is_not_taken_for_ours(tmp_path: Path) -> None:
    _git(tmp_path, "init")
    (tmp_path / "site-packages").mkdir()
    assert environment.git_state(tmp_path / "site-packages") is None


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.git_state(tmp_path) is None


def test_describing_imports_no_package() -> None:
    code = (
        "import sys; from harness import environment; environment.describe();"
        " print({'numpy', 'torch', 'jax', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("error", "code"),
    [(errors.MeasuredWanting, 1), (errors.UsageError, 2), (errors.CannotMeasure, 3), (errors.WorkerFailed, 4)],
)
def test_errors_carry_the_promised_exit_codes(error: type[errors.AlexbenchError], code: int) -> None:
    assert error("x").exit_code == code
