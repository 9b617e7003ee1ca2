"""Who may import whom, read from every file's source; and what `alexbench --help` loads, seen in a real process."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from impls import registry

ROOT = Path(__file__).resolve().parents[1]
OURS = ("impls", "harness", "reports")
FRAMEWORKS = frozenset({"torch", "torchvision", "tensorflow", "keras", "jax", "jaxlib", "flax", "optax", "onnxruntime"})
HEAVY = FRAMEWORKS | {"numpy", "pandas", "pyarrow", "onnx", "matplotlib", "PIL", "safetensors", "sklearn", "rich"}

# Beside the standard library and what is named here, nothing.
STANDARD_LIBRARY_ONLY = (
    "impls/spec.py",
    "impls/derive.py",
    "impls/costs.py",
    "impls/split.py",
    "impls/catalog.py",
    "impls/registry.py",
    "harness/errors.py",
    "harness/version.py",
    "harness/parity/options.py",
    "harness/speed/options.py",
    "harness/training/options.py",
    "harness/paper/options.py",
    "harness/evaluation/options.py",
    "harness/audit/options.py",
)
OWN_FRAMEWORK = {
    "with_torch": {"torch"},
    "with_tensorflow": {"tensorflow", "keras"},
    "with_jax": {"jax", "jaxlib", "flax", "optax"},
    "with_onnxruntime": {"onnxruntime"},
}


def source_files() -> list[Path]:
    return sorted(path for folder in OURS for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def top(name: str) -> str:
    return name.partition(".")[0]


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(params=source_files(), ids=relative)
def file(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_there_are_files_to_look_at() -> None:
    assert {relative(path).partition("/")[0] for path in source_files()} == set(OURS)


def test_imports_are_absolute_so_that_the_rules_can_read_them(file: Path) -> None:
    assert not [name for name in imports(file) if name.startswith(".")]


def test_a_framework_is_imported_by_its_own_folder_only(file: Path) -> None:
    parts = file.relative_to(ROOT).parts
    allowed = OWN_FRAMEWORK.get(parts[1], set()) if parts[0] == "impls" else set()
    assert not [name for name in imports(file) if top(name) in FRAMEWORKS - allowed]


def test_a_frameworks_folder_is_imported_by_nobody_else(file: Path) -> None:
    own = ".".join(file.relative_to(ROOT).parts[:2])
    folders = {f"impls.{name}" for name in OWN_FRAMEWORK} - {own}
    assert not [name for name in imports(file) if any(is_within(name, folder) for folder in folders)]


def test_impls_imports_neither_harness_nor_reports(file: Path) -> None:
    if relative(file).startswith("impls/"):
        assert not [name for name in imports(file) if top(name) in ("harness", "reports")]


def test_a_frameworks_folder_imports_only_it_numpy_and_impls(file: Path) -> None:
    parts = file.relative_to(ROOT).parts
    if parts[0] == "impls" and parts[1] in OWN_FRAMEWORK:
        allowed = OWN_FRAMEWORK[parts[1]] | {"numpy", "impls"} | sys.stdlib_module_names
        assert not [name for name in imports(file) if top(name) not in allowed]


def test_reports_imports_neither_harness_nor_impls(file: Path) -> None:
    if relative(file).startswith("reports/"):
        assert not [name for name in imports(file) if top(name) in ("harness", "impls")]


@pytest.mark.parametrize("name", STANDARD_LIBRARY_ONLY)
def test_the_description_imports_the_standard_library_only(name: str) -> None:
    allowed = sys.stdlib_module_names | {"impls"}
    found = list(imports(ROOT / name))
    assert not [name for name in found if top(name) not in allowed]
    ours = [f"{name.replace('.', '/')}.py" for name in found if top(name) == "impls"]
    assert not [name for name in ours if not name.startswith(("impls/spec", "impls/derive"))]


def loaded_by(*arguments: str) -> set[str]:
    """Top-level modules in a fresh process after `alexbench ARGUMENTS`."""
    code = (
        "import sys, json\n"
        "from harness import cli, cli_exit\n"
        f"code = cli_exit.run(cli.cli, {list(arguments)!r})\n"
        "print(json.dumps([code, sorted({name.partition('.')[0] for name in sys.modules})]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    code_returned, names = json.loads(done.stderr.splitlines()[-1])
    assert code_returned == 0, done.stderr
    return set(names)


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["networks"],
        ["weights"],
        ["weights", "init"],
        ["weights", "show"],
        ["parity"],
        ["speed"],
        ["paper"],
        ["evaluate"],
        ["doctor"],
        ["completion"],
    ],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    assert not loaded_by(*command, "--help") & HEAVY


@pytest.mark.parametrize("framework", registry.ENVIRONMENTS)
def test_a_frameworks_environment_is_told_without_importing_it(framework: str) -> None:
    code = (
        "import sys, json, types\n"
        "from impls import registry\n"
        "settings = types.SimpleNamespace(tuning='tuned', precision='float32', device='cpu', devices=2, split='data')\n"
        f"registry.environment({framework!r}, settings)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert not set(json.loads(done.stdout)) & HEAVY


def test_listing_networks_needs_no_numpy() -> None:
    assert not loaded_by("networks", "paper", "--format", "csv") & (HEAVY - {"rich"})
