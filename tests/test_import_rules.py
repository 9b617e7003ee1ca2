"""Who may import whom, read from every file's source; and what `alexbench --help` loads, seen in a real process."""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from impls import registry

ROOT = Path(__file__).resolve().parents[1]
OURS = ("impls", "harness", "reports")
FRAMEWORKS = frozenset({"torch", "torchvision", "tensorflow", "keras", "jax", "jaxlib", "flax", "optax", "onnxruntime"})
HEAVY = FRAMEWORKS | {"numpy", "pandas", "pyarrow", "onnx", "matplotlib", "PIL", "safetensors", "sklearn", "rich"}
HEAVY |= {"scipy", "jinja2"}

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


@pytest.fixture(scope="module")
def imported() -> dict[str, list[str]]:
    """A source file such as impls/spec.py -> what it imports; each file is parsed once."""
    files = sorted(path for folder in OURS for path in (ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): list(imports(path)) for path in files}


def broken(imported: dict[str, list[str]], rule: Callable[[str, str], bool]) -> dict[str, list[str]]:
    """The files that import what the rule (file, name) -> bool forbids them, with those names."""
    found = {file: [name for name in names if rule(file, name)] for file, names in imported.items()}
    return {file: names for file, names in found.items() if names}


def framework_folder(file: str) -> str:
    """The `with_X` that a file lies in, or nothing."""
    parts = file.split("/")
    return parts[1] if parts[0] == "impls" and parts[1] in OWN_FRAMEWORK else ""


def test_there_are_files_to_look_at(imported: dict[str, list[str]]) -> None:
    assert {top(file.replace("/", ".")) for file in imported} == set(OURS)
    assert set(map(framework_folder, imported)) == {*OWN_FRAMEWORK, ""}
    assert len(imported) > 100 and sum(map(len, imported.values())) > 1000


def test_a_rule_that_is_broken_is_seen() -> None:
    assert broken({"a.py": ["torch.nn", "numpy"]}, lambda file, name: top(name) == "torch") == {"a.py": ["torch.nn"]}
    assert list(imports(Path(__file__)))[:3] == ["__future__.annotations", "ast", "graphlib"]


def test_imports_are_absolute_so_that_the_rules_can_read_them(imported: dict[str, list[str]]) -> None:
    assert not broken(imported, lambda file, name: name.startswith("."))


def test_a_framework_is_imported_by_its_own_folder_only(imported: dict[str, list[str]]) -> None:
    assert not broken(
        imported, lambda file, name: top(name) in FRAMEWORKS - OWN_FRAMEWORK.get(framework_folder(file), set())
    )


def test_a_frameworks_folder_is_imported_by_nobody_else(imported: dict[str, list[str]]) -> None:
    def foreign(file: str, name: str) -> bool:
        return any(is_within(name, f"impls.{folder}") for folder in OWN_FRAMEWORK.keys() - {framework_folder(file)})

    assert not broken(imported, foreign)


def test_impls_imports_neither_harness_nor_reports(imported: dict[str, list[str]]) -> None:
    assert not broken(imported, lambda file, name: file.startswith("impls/") and top(name) in ("harness", "reports"))


def test_a_frameworks_folder_imports_only_it_numpy_and_impls(imported: dict[str, list[str]]) -> None:
    def foreign(file: str, name: str) -> bool:
        folder = framework_folder(file)
        allowed = OWN_FRAMEWORK.get(folder, set()) | {"numpy", "impls"} | sys.stdlib_module_names
        return bool(folder) and top(name) not in allowed

    assert not broken(imported, foreign)


def test_reports_imports_neither_harness_nor_impls(imported: dict[str, list[str]]) -> None:
    assert not broken(imported, lambda file, name: file.startswith("reports/") and top(name) in ("harness", "impls"))


def test_no_modules_of_reports_import_one_another(imported: dict[str, list[str]]) -> None:
    modules = {file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): file for file in imported}
    wanted = {
        module: {known for name in imported[file] for known in (name, name.rpartition(".")[0]) if known in modules}
        for module, file in modules.items()
        if is_within(module, "reports")
    }
    # Inside `if TYPE_CHECKING` nothing is imported in truth: such names are of figures, which documents do not need.
    wanted = {module: {name for name in names if name != "reports.figures.style"} for module, names in wanted.items()}
    graph = graphlib.TopologicalSorter(
        {module: names - {module, "reports", module.rpartition(".")[0]} for module, names in wanted.items()}
    )
    assert len(list(graph.static_order())) > 40  # raises CycleError


def test_the_description_imports_the_standard_library_only(imported: dict[str, list[str]]) -> None:
    named = {file: imported[file] for file in STANDARD_LIBRARY_ONLY}
    assert not broken(named, lambda file, name: top(name) not in sys.stdlib_module_names | {"impls"})
    assert not broken(
        named,
        lambda file, name: (
            top(name) == "impls" and not name.startswith(("impls.spec", "impls.derive", "impls.nearest"))
        ),
    )


def loaded_by(code: str) -> tuple[str, set[str]]:
    """What a fresh process printed that ran `code`, and the top-level modules it had loaded by then."""
    tail = "\nimport sys, json\nprint(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    done = subprocess.run(
        [sys.executable, "-c", code + tail], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    *printed, names = done.stdout.splitlines()
    return "\n".join(printed), set(json.loads(names))


def test_help_of_every_command_loads_nothing_heavy() -> None:
    code = """
from harness import cli, cli_exit

def pages(command, path):
    print("page of", *path)
    assert cli_exit.run(cli.cli, [*path, "--help"]) == 0
    for name, below in getattr(command, "commands", {}).items():
        pages(below, [*path, name])

pages(cli.cli, [])
"""
    printed, names = loaded_by(code)
    shown = {line.removeprefix("page of ") for line in printed.splitlines() if line.startswith("page of ")}
    assert {"parity", "speed", "paper", "evaluate", "doctor", "completion", "report", "weights import"} <= shown
    assert not names & HEAVY


def test_the_frameworks_environments_are_told_without_importing_them() -> None:
    code = f"""
import types
from impls import registry

settings = types.SimpleNamespace(tuning="tuned", precision="float32", device="cpu", devices=2, split="data")
for framework in {list(registry.ENVIRONMENTS)!r}:
    registry.environment(framework, settings)
"""
    assert not loaded_by(code)[1] & HEAVY


def test_listing_networks_needs_no_numpy() -> None:
    code = (
        "from harness import cli, cli_exit\nassert cli_exit.run(cli.cli, ['networks', 'paper', '--format', 'csv']) == 0"
    )
    printed, names = loaded_by(code)
    assert "conv1" in printed
    assert not names & (HEAVY - {"rich"})


def test_what_a_document_is_made_of_and_said_with_on_a_terminal_needs_no_table() -> None:
    code = "import reports.documents, reports.documents.common, reports.documents.doctor, reports.render.terminal"
    assert not loaded_by(code)[1] & (HEAVY - {"rich"})
