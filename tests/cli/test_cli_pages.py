"""Help, tables, weights, doctor, completion: what answers at once and needs no framework."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from program import ROOT, alexbench, command, is_plain, surroundings

from impls import catalog

HEAVY = {"torch", "tensorflow", "jax", "jaxlib", "flax", "keras", "numpy", "pandas", "pyarrow", "matplotlib", "PIL"}
HELPS = [
    [],
    ["networks"],
    ["weights"],
    ["weights", "init"],
    ["weights", "show"],
    ["weights", "import"],
    ["weights", "export"],
    ["audit"],
    ["parity"],
    ["compare"],
    ["doctor"],
    ["completion"],
]


def imported(*arguments: str) -> set[str]:
    """Top-level modules a command imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "harness.cli", *arguments],
        cwd=ROOT, env=surroundings(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize("words", [["--version"], ["completion", "bash"], ["networks", "--format", "json"]])
def test_what_answers_at_once_imports_no_framework(words: list[str]) -> None:
    assert not imported(*words) & HEAVY


@pytest.mark.parametrize("words", HELPS, ids=lambda words: " ".join(["alexbench", *words]))
def test_help_is_readable(words: list[str]) -> None:
    done = alexbench(*words, "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    assert is_plain(done.stdout)
    assert done.stdout.startswith(f"Usage: {' '.join(['alexbench', *words])}")
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert done.stdout == alexbench(*words, "-h").stdout


def test_every_option_of_parity_says_what_it_does() -> None:
    shown = alexbench("parity", "--help", COLUMNS="120").stdout
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)(.*)$", shown, re.MULTILINE)
    assert len(options) >= 18
    silent = [name for name, rest in options if not re.search(r"  \S", rest.strip() and f"  {rest}")]
    assert not silent


# --- networks and weights ---------------------------------------------------------------------------------------------


def test_the_catalog_is_the_same_in_every_form() -> None:
    rows = json.loads(alexbench("networks", "--format", "json").stdout)
    table = list(csv.DictReader(io.StringIO(alexbench("networks", "--format", "csv").stdout)))
    assert [{name: str(value) for name, value in row.items()} for row in rows] == table
    assert [row["network"] for row in rows] == list(catalog.NETWORKS)
    shown = alexbench("networks").stdout
    assert is_plain(shown)
    for row in rows:
        assert any(line.startswith(row["network"]) and f"{row['parameters']:,}" in line for line in shown.splitlines())


@pytest.mark.parametrize("name", ["paper", "cifar-4layer"])
def test_a_networks_layers_add_up(name: str) -> None:
    layers = json.loads(alexbench("networks", name, "--format", "json").stdout)
    network = next(
        row for row in json.loads(alexbench("networks", "--format", "json").stdout) if row["network"] == name
    )
    assert sum(layer["parameters"] for layer in layers) == network["parameters"]
    assert sum(layer["multiply_adds"] for layer in layers) == network["multiply_adds"]
    assert all(layer["source"] for layer in layers)
    shown = alexbench("networks", name).stdout
    assert f"{network['parameters']:,}" in next(line for line in shown.splitlines() if line.startswith("total"))


def test_the_papers_layers_have_the_papers_sizes() -> None:
    layers = json.loads(alexbench("networks", "paper", "--format", "json").stdout)
    sides = [layer["output"].split("x")[0] for layer in layers if layer["output"].count("x") == 2]
    assert list(dict.fromkeys(sides)) == ["55", "27", "13", "6"]


def test_weights_come_back_as_they_were_written(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        file = tmp_path / f"{name}.safetensors"
        done = alexbench(
            "weights", "init", "--network", "cifar-4layer", "--recipe", "paper", "--seed", 4, "--out", file
        )
        assert done.returncode == 0, done.stderr
        assert str(file) in done.stdout
        made.append(re.search(r"sha256 ([0-9a-f]{64})", done.stdout)[1])  # type: ignore[index]
    assert made[0] == made[1]
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    shown = alexbench("weights", "show", tmp_path / "a.safetensors")
    assert f"sha256 {made[0]}" in shown.stdout
    assert "network cifar-4layer, recipe paper, seed 4" in shown.stdout
    tensors = json.loads(alexbench("weights", "show", tmp_path / "a.safetensors", "--format", "json").stdout)
    assert sum(row["elements"] for row in tensors) == 89_578
    table = list(
        csv.DictReader(io.StringIO(alexbench("weights", "show", tmp_path / "a.safetensors", "--format", "csv").stdout))
    )
    assert [row["tensor"] for row in table] == [row["tensor"] for row in tensors]


def test_weights_from_safetensors_own_library_are_read(tmp_path: Path, weights_file: Path) -> None:
    from safetensors.numpy import load_file, save_file

    file = tmp_path / "w.safetensors"
    save_file(load_file(weights_file), file, {"network": "cifar-4layer"})
    first, second = (alexbench("weights", "show", path).stdout for path in (weights_file, file))
    assert re.search("sha256 .*", first)[0] == re.search("sha256 .*", second)[0]  # type: ignore[index]


# --- doctor -----------------------------------------------------------------------------------------------------------


def test_doctor_finds_what_is_missing_and_what_mends_it(without_frameworks: str) -> None:
    done = alexbench("doctor", python=without_frameworks)
    assert done.returncode == 3
    assert is_plain(done.stdout)
    for framework in ("torch", "tensorflow", "jax", "onnxruntime"):
        assert re.search(rf"^{framework} +missing", done.stdout, re.MULTILINE)
        assert re.search(rf"^ +{without_frameworks} -m pip install -e .*\[{framework}\]'$", done.stdout, re.MULTILINE)
    verdict = done.stdout.rstrip().splitlines()[-1]
    assert verdict.startswith("Not ready: ") and "onnxruntime" not in verdict  # an addition to the others


def test_doctor_finds_a_framework_elsewhere_missing(bare_python: str, without_frameworks: str) -> None:
    """An interpreter without NumPy is not broken: what it lacks can be installed."""
    done = alexbench("doctor", "--python", f"torch={bare_python}", python=without_frameworks)
    assert done.returncode == 3
    assert re.search(r"^torch +missing", done.stdout, re.MULTILINE), done.stdout
    assert "No module named 'numpy'" in " ".join(done.stdout.split())


@pytest.mark.needs("torch", "tensorflow", "jax")
def test_doctor_is_content_where_all_is_there() -> None:
    done = alexbench("doctor")
    assert done.returncode == 0, done.stdout
    for framework in ("torch", "tensorflow", "jax"):
        assert re.search(rf"^{framework} +works +\d", done.stdout, re.MULTILINE)


# --- completion -------------------------------------------------------------------------------------------------------


@pytest.fixture
def on_the_path(tmp_path: Path) -> dict[str, str]:
    """`alexbench` as a command, as an installation makes it."""
    script = tmp_path / "bin" / "alexbench"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {" ".join(command())} "$@"\n')
    script.chmod(0o755)
    return surroundings(PATH=f"{script.parent}{os.pathsep}{os.environ['PATH']}")


def completed(line: str, environment: dict[str, str], cwd: Path) -> list[str]:
    """What bash offers after a line, through the function that `alexbench completion bash` defines."""
    script = f"""
        eval "$(alexbench completion bash)" || exit 1
        words=({line})
        case "{line}" in *" ") words+=("");; esac
        COMP_WORDS=("${{words[@]}}") COMP_CWORD=$((${{#words[@]}} - 1)) COMPREPLY=()
        function=$(complete -p alexbench | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        $function alexbench "${{words[-1]}}" "" || exit 1
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=environment, cwd=cwd, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return sorted(filter(None, done.stdout.splitlines()))


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_through_the_function_it_was_given(on_the_path: dict[str, str], tmp_path: Path) -> None:
    for line, offered in {
        "alexbench par": ["parity"],
        "alexbench parity --network cif": ["cifar-4layer"],
        "alexbench networks caff": ["caffe", "caffenet"],
        "alexbench parity --level operator,f": ["operator,forward"],
        "alexbench parity --precision ": ["bfloat16", "float16", "float32", "tf32"],
        "alexbench parity --self": ["--self-test"],
        "alexbench nothing": [],
    }.items():
        assert completed(line, on_the_path, tmp_path) == offered, line


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_accept_their_script(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    script = tmp_path / "script"
    script.write_text(alexbench("completion", shell).stdout)
    done = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
