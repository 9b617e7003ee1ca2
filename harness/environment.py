"""The ground a number stands on: machine, versions, flags, commit; and the signature that travels with the number.

Nothing is imported to learn its version, so that this costs milliseconds and cannot crash.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from harness.version import VERSION
from impls import control_groups

CHECKOUT = Path(__file__).resolve().parent.parent

# Distributions that shape a result. TensorFlow comes under several names, so each is asked for.
DISTRIBUTIONS = (
    "torch", "tensorflow", "tensorflow-cpu", "keras", "jax", "jaxlib", "flax", "optax", "onnx", "onnxruntime",
    "numpy", "safetensors", "pandas", "pyarrow", "matplotlib", "rich", "pillow", "scikit-learn",
    "mkl", "nvidia-cublas", "nvidia-cublas-cu12", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13",
)  # fmt: skip

# Environment variables that change results or speed. Named one by one: the rest of an environment is nobody's business.
FLAGS = (
    "CUDA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG", "LD_PRELOAD", "GLIBC_TUNABLES",
    "OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_PLACES", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "TF_ENABLE_ONEDNN_OPTS", "TF_XLA_FLAGS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
    "TF_DETERMINISTIC_OPS", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_ALLOCATOR", "TF_CUDNN_USE_AUTOTUNE",
    "JAX_PLATFORMS", "JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_DISABLE_JIT",
    "PYTORCH_CUDA_ALLOC_CONF", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCHDYNAMO_DISABLE",
)  # fmt: skip
FLAG_PREFIXES = ("XLA_", "KMP_", "ONEDNN_", "DNNL_", "MALLOC_", "MKL_")

# The order in which a signature is read; other fields follow in the order given.
SIGNATURE_ORDER = ("network", "weights", "seed", "framework", "device", "precision")

# What a processor says of the instructions that decide how a convolution is computed.
CPU_FEATURES = ("fma", "avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "asimd", "sve", "bf16")

# What tells kinds of processors apart: the widest vectors of each family, with what speeds products of few bits up.
# (name, the flag it is told by, further names with theirs); the first of a group that the processor has is told.
EXTENSIONS: Sequence[Sequence[tuple[str, str, Mapping[str, str]]]] = (
    (
        ("AVX-512", "avx512f", {"VNNI": "avx512_vnni", "BF16": "avx512_bf16", "FP16": "avx512_fp16"}),
        ("AVX2", "avx2", {"VNNI": "avx_vnni"}),
        ("AVX", "avx", {}),
        ("SSE2", "sse2", {}),
    ),
    (("AMX", "amx_tile", {"FP16": "amx_fp16"}),),
    (("NEON", "asimd", {"dot product": "asimddp", "BF16": "bf16"}),),
    (("SVE2", "sve2", {}), ("SVE", "sve", {})),
    (("SME", "sme", {}),),
)

Facts = dict[str, object]


def describe() -> Facts:
    """Machine, Python, packages, flags and commit, as `run.json` keeps them."""
    driver = nvidia_driver()
    cpuinfo = _read("/proc/cpuinfo")
    return {
        "machine": machine() | ({} if driver is None else {"nvidia_driver": driver}),
        "cpu_kind": cpu_kind(cpuinfo),
        "physical_cores": physical_cores(cpuinfo),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": packages(),
        "flags": flags(),
        "git": git_state(),
    }


def signature(**fields: object) -> str:
    """What a number needs beside it: `alexbench:0.1.0|network:paper|weights:3f2a|…`. None is left out."""
    ordered = [name for name in SIGNATURE_ORDER if name in fields] + [n for n in fields if n not in SIGNATURE_ORDER]
    given = {"alexbench": VERSION, **{name: fields[name] for name in ordered if fields[name] is not None}}
    return "|".join(f"{name}:{_one_field(value)}" for name, value in given.items())


def _one_field(value: object) -> str:
    return " ".join(str(value).replace("|", "/").split())  # a bar or a line break would end the field


def machine() -> Facts:
    """Processor, cores this process may use, memory, operating system."""
    return {
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "memory_gb": memory_gb(),
        "os": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
    }


def cpu_model() -> str:
    """The processor's name as it gives it."""
    found = _cpuinfo()
    return found.get("model name") or found.get("Hardware") or platform.processor() or platform.machine()


def cpu_features() -> dict[str, bool]:
    """Which of CPU_FEATURES this processor has; empty where the system does not say."""
    found = _cpuinfo()
    has = (found.get("flags") or found.get("Features") or "").split()
    return {name: name in has for name in CPU_FEATURES} if has else {}


def cpu_kind(cpuinfo: str) -> str:
    """The instructions by which products are computed: `AVX-512 (VNNI, BF16), AMX`, `AVX2`, `NEON, SVE`.

    `cpuinfo` is the text of /proc/cpuinfo. Only what every processor has is told; `unknown` where it does not say.
    """
    sets = [set(words.split()) for one in _processors(cpuinfo) if (words := one.get("flags") or one.get("Features"))]
    flags = set.intersection(*sets) if sets else set()
    told = []
    for group in EXTENSIONS:
        for name, flag, further in group:
            if flag in flags:
                more = [short for short, its in further.items() if its in flags]
                told.append(f"{name} ({', '.join(more)})" if more else name)
                break
    return ", ".join(told) or "unknown"


def physical_cores(cpuinfo: str) -> int | None:
    """The machine's cores, two threads of one counted once; None where the text of /proc/cpuinfo does not say."""
    processors = [one for one in _processors(cpuinfo) if "processor" in one]
    cores = {(one.get("physical id"), one.get("core id")) for one in processors}
    return len(cores) if processors and all("core id" in one for one in processors) else None


def _processors(cpuinfo: str) -> list[dict[str, str]]:
    """Each processor's lines of /proc/cpuinfo."""
    return [
        {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in block.splitlines())}
        for block in cpuinfo.split("\n\n")
        if block.strip()
    ]


def usable_cores() -> int:
    """Cores this process is allowed, by affinity and by the container's quota."""
    return control_groups.usable_cores()


def memory_gb() -> float | None:
    """Memory in GiB that this process is allowed, by the machine and by the container's limit."""
    physical = None
    with contextlib.suppress(ValueError, OSError, AttributeError):  # absent outside POSIX
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _smaller_gb(physical, control_groups.memory_limit())


def available_memory_gb() -> float | None:
    """Memory in GiB that is free or can be freed, and allowed by the container; None where the system does not say."""
    lines = _read("/proc/meminfo").splitlines()
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
    return _smaller_gb(free, control_groups.memory_left())


def _smaller_gb(*sizes: int | None) -> float | None:
    known = [size for size in sizes if size is not None]
    return round(min(known) / 2**30, 1) if known else None


def nvidia_driver() -> str | None:
    """The version of NVIDIA's kernel driver; None where there is none."""
    found = re.search(r"\b\d+\.\d+(\.\d+)?\b", _read("/proc/driver/nvidia/version").partition("\n")[0])
    return found[0] if found else None


def peak_memory_mb() -> float:
    """The largest resident set of this process so far, in MiB.

    Linux counts it per program image in /proc; its ru_maxrss would still hold that of the process that forked this one.
    """
    for line in _read("/proc/self/status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)  # macOS counts bytes


def packages(names: Iterable[str] = DISTRIBUTIONS) -> dict[str, str]:
    """Distribution -> version for those that are installed, from their metadata."""
    found = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def flags() -> dict[str, str]:
    """The environment variables that are set and change results or speed."""
    return {name: os.environ[name] for name in sorted(os.environ) if name in FLAGS or name.startswith(FLAG_PREFIXES)}


def git_state(checkout: Path = CHECKOUT) -> Facts | None:
    """The checkout's commit and whether files differ from it; None outside a checkout or without git."""
    if not (checkout / ".git").exists():
        return None  # installed: a repository further up is somebody else's
    commit, changes = _git(checkout, "rev-parse", "HEAD"), _git(checkout, "status", "--porcelain")
    return None if not commit else {"commit": commit, "dirty": changes != ""}


def _git(checkout: Path, *arguments: str) -> str | None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(checkout), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, env=environment, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpuinfo() -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo."""
    return next(iter(_processors(_read("/proc/cpuinfo"))), {})


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
