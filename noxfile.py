"""What the project checks, each in a virtual environment of its own: `nox -s tests`, `nox -l` for the list."""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests"]

FRAMEWORKS = ("torch", "tensorflow", "jax")
# What one framework needs to be installed for: a comparison and a training. The rest is the same beside others.
ALONE = ("tests/cli/test_cli_parity.py", "tests/impls/test_fresh_processes.py")
# Most of a test is the start of processes, on one core; a file's tests stay together, for they share what they ran.
# Three fill two cores, since some wait; the longest files come first (tests/conftest.py).
SIDE_BY_SIDE = ("--numprocesses", "3", "--dist", "loadfile", "--no-loadscope-reorder")


def install(session: nox.Session, extras: str) -> None:
    """Install the project with these extras, at the pinned versions.

    Without byte code: most of a framework's ten thousand files are never imported, and compiling them takes minutes.
    """
    session.install("--no-compile", "-c", "constraints.txt", "-e", f".[{extras}]")


@nox.session
def tests(session: nox.Session) -> None:
    """The suite with all three frameworks, and the coverage of our lines. A missing framework fails.

    So does a missing browser where ALEXBENCH_REQUIRE_BROWSER is 1; the environment is passed on.
    """
    install(session, "cpu,onnxruntime,formats,test")
    session.run(
        "pytest", *SIDE_BY_SIDE, "--cov", "--cov-report=term", *session.posargs,
        env={"ALEXBENCH_REQUIRE_ALL": "1", "COLUMNS": "120"},
    )  # fmt: skip


@nox.session
def thorough(session: nox.Session) -> None:
    """What takes hours too: ten thousand damaged files for each reader, many seeds, every split; coverage of all."""
    install(session, "cpu,onnxruntime,formats,test")
    everything = [
        "-m",
        "thorough or not thorough",
        "--cov",
        "--cov-config=tests/coverage_of_all.ini",
        "--cov-report=term",
    ]
    session.run(
        "pytest", *SIDE_BY_SIDE, *everything, *session.posargs,
        env={"ALEXBENCH_REQUIRE_ALL": "1", "COLUMNS": "120"},
    )  # fmt: skip


@nox.session
@nox.parametrize("framework", FRAMEWORKS, ids=FRAMEWORKS)
def tests_alone(session: nox.Session, framework: str) -> None:
    """One framework alone: what its extra forgets to name is found here."""
    install(session, f"{framework},test")
    session.run("pytest", *SIDE_BY_SIDE, *ALONE, "--only-framework", framework, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: rules and format."""
    session.install("-c", "constraints.txt", "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, without any framework installed."""
    install(session, "lint")
    session.run("mypy")


@nox.session
def bench(session: nox.Session) -> None:
    """How long operators and our own parts take, kept as JSON under .benchmarks and compared with the last run."""
    install(session, "cpu,test")
    compare = ["--benchmark-enable", "--benchmark-only", "--benchmark-autosave", "--benchmark-compare"]
    session.run("pytest", "tests/bench", *compare)
    session.run("python", "tests/bench/run_operators.py", *session.posargs)
