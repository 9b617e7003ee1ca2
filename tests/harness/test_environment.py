"""The signature's order, and an environment described without importing anything."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from harness import environment, errors
from harness.parity import material
from harness.parity.options import ParityOptions
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


def cpuinfo(flags: str, cores: tuple[str, ...] = ("0", "1"), word: str = "flags") -> str:
    """/proc/cpuinfo of a machine with a processor for each core id."""
    blocks = [
        f"processor\t: {index}\nmodel name\t: A\nphysical id\t: 0\ncore id\t\t: {core}\n{word}\t\t: {flags}\n"
        for index, core in enumerate(cores)
    ]
    return "\n".join(blocks)


# Flags as the machines tell them, shortened to those that are about vectors and a few others.
ZEN_3 = "fpu sse sse2 ssse3 fma sse4_1 sse4_2 avx f16c avx2 bmi2 sha_ni vaes vpclmulqdq"
ZEN_5 = f"{ZEN_3} avx512f avx512dq avx512cd avx512bw avx512vl avx_vnni avx512_bf16 avx512vbmi avx512_vnni"
SKYLAKE = "fpu sse sse2 fma avx avx2 avx512f avx512dq avx512cd avx512bw avx512vl"
SAPPHIRE_RAPIDS = f"{SKYLAKE} avx_vnni avx512_bf16 avx512_vnni amx_bf16 avx512_fp16 amx_tile amx_int8"
GRAVITON_3 = "fp asimd evtstrm aes fphp asimdhp asimddp sve bf16 i8mm svebf16"
GRAVITON_4 = f"{GRAVITON_3} sve2 sveaes"


@pytest.mark.parametrize(
    ("text", "kind", "cores"),
    [
        (cpuinfo(ZEN_3), "AVX2", 2),
        (cpuinfo(ZEN_5, ("0", "0", "1", "1")), "AVX-512 (VNNI, BF16)", 2),
        (cpuinfo(SKYLAKE), "AVX-512", 2),
        (cpuinfo(SAPPHIRE_RAPIDS), "AVX-512 (VNNI, BF16, FP16), AMX", 2),
        (cpuinfo("fpu sse sse2 avx"), "AVX", 2),
        (
            cpuinfo(ZEN_3)
            .replace("physical id\t: 0", "physical id\t: 1", 1)
            .replace("core id\t\t: 1", "core id\t\t: 0"),
            "AVX2",
            2,
        ),
        (cpuinfo(SKYLAKE, ("0",)) + "\n" + cpuinfo(ZEN_3, ("1",)), "AVX2", 2),  # only what both have
        (f"processor\t: 0\nFeatures\t: {GRAVITON_3}\nCPU part\t: 0xd40\n", "NEON (dot product, BF16), SVE", None),
        (f"processor\t: 0\nFeatures\t: {GRAVITON_4}\n", "NEON (dot product, BF16), SVE2", None),
        ("processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n\nHardware\t: BCM2835\n", "NEON", None),
        ("processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t: fpu avx2\n\n", "AVX2", None),  # a sandbox' own
        ("processor\t: 0\nhart\t: 0\nisa\t: rv64imafdc\n", "unknown", None),
        ("", "unknown", None),
    ],
    ids=(
        "Zen 3",
        "Zen 5, two threads a core",
        "Skylake",
        "Sapphire Rapids",
        "AVX",
        "two sockets",
        "two kinds",
        "Graviton 3",
        "Graviton 4",
        "Raspberry Pi",
        "no cores told",
        "RISC-V",
        "no /proc",
    ),
)
def test_kinds_of_processors_are_told_apart(text: str, kind: str, cores: int | None) -> None:
    assert (environment.cpu_kind(text), environment.physical_cores(text)) == (kind, cores)


def test_the_kind_of_machine_stands_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_read", lambda path: cpuinfo(ZEN_3) if path == "/proc/cpuinfo" else "")
    monkeypatch.setattr(environment, "machine", dict)
    found = environment.describe()
    assert (found["cpu_kind"], found["physical_cores"]) == ("AVX2", 2)


def test_a_system_that_says_nothing_of_itself_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_read", lambda _path: "")
    monkeypatch.setattr(environment.control_groups, "memory_left", lambda: None)
    assert environment.cpu_features() == {}
    assert environment.cpu_model()
    assert environment.available_memory_gb() is None


@pytest.mark.parametrize(("left", "available"), [(1 << 29, 0.5), (1 << 40, 3.0), (None, 3.0)])
def test_memory_is_the_containers_where_that_is_less_than_the_machines(
    left: int | None, available: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "_read", lambda _path: f"MemFree: 7 kB\nMemAvailable: {3 << 20} kB\n")
    monkeypatch.setattr(environment.control_groups, "memory_left", lambda: left)
    monkeypatch.setattr(environment.control_groups, "memory_limit", lambda: left)
    assert environment.available_memory_gb() == available
    assert environment.memory_gb() == (0.5 if left == 1 << 29 else physical_gb())


def test_work_is_shared_out_by_the_quota_of_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.control_groups, "usable_cores", lambda: 2 * material.CORES_PER_WORKER)
    assert material.at_once(ParityOptions(), 9) == 2
    assert environment.machine()["cores"] == 2 * material.CORES_PER_WORKER


def test_cores_and_limits_are_asked_for_in_one_place() -> None:
    words = ("sched_getaffinity", "cpu_count", "process_cpu_count", "/sys/fs/cgroup", "memory.max", "MemAvailable")
    files = [path for package in ("impls", "harness", "reports") for path in (ROOT / package).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix() for path in files if any(word in path.read_text() for word in words)}
    assert found == {"impls/control_groups.py", "harness/environment.py"}


def physical_gb() -> float:
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


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
