"""A run names the file of the user's own code with its hash, and keeps a copy where that is asked for."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from harness import cli, cli_exit, own_code
from harness.errors import UsageError
from harness.reading import sources
from harness.run_folder import RunFolder


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that modules are found in, each of which fails where it is run."""
    for name in ("theirs/__init__.py", "theirs/inner/__init__.py", "theirs/inner/net.py", "room/net.py", "room/x/y.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(f"raise SystemExit({name!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_file_is_named_without_its_folder_and_told_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = 1\n")
    target = f"{tmp_path}/mine.py:build"
    code = own_code.read({target: f"{tmp_path}/mine.py"}, keep=False)
    assert code.told() == {"impl": {target: {"file": "mine.py", "sha256": sha256("x = 1\n")}}}
    assert code.copies == {}
    assert own_code.read({}, keep=False).told() == {}


@pytest.mark.parametrize(
    ("module", "file"),
    [("theirs", "theirs/__init__.py"), ("theirs.inner", "theirs/inner/__init__.py"), ("room.net", "room/net.py"),
     ("theirs.inner.net", "theirs/inner/net.py")],
)  # fmt: skip
def test_a_module_is_found_and_nothing_of_it_is_run(module: str, file: str, packages: Path) -> None:
    facts = own_code.read({f"{module}:build": module}, keep=False).facts[f"{module}:build"]
    assert facts == {"file": Path(file).name, "sha256": sha256((packages / file).read_text())}


@pytest.mark.parametrize(
    "module", ["nonesuch", "theirs.none", "theirs.inner.net.more", "room", "sys", "a..b", "room.x.y"]
)
def test_a_module_without_a_file_that_is_found_has_no_hash(module: str, packages: Path) -> None:
    assert own_code.read({"it": module}, keep=False).facts["it"]["sha256"] is None
    with pytest.raises(UsageError, match="no file that is found here"):
        own_code.read({"it": module}, keep=True)


def test_a_module_of_the_working_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert own_code.read({"it": "beside"}, keep=False).facts["it"] == {"file": "beside.py", "sha256": sha256("")}


def test_copies_of_one_name_do_not_take_each_others_place(tmp_path: Path) -> None:
    for folder, text in (("a", "one"), ("b", "two"), ("c", "one")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text(text)
    code = own_code.read({name: f"{tmp_path}/{name}/net.py" for name in "abc"}, keep=True)
    other = f"{sha256('two')[:12]}-net.py"
    assert [facts["kept"] for facts in code.facts.values()] == ["impl/net.py", f"impl/{other}", "impl/net.py"]
    code.keep(tmp_path)
    assert {file.name: file.read_text() for file in (tmp_path / "impl").iterdir()} == {"net.py": "one", other: "two"}


def test_what_is_no_file_of_code_is_neither_opened_nor_kept(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "long.py").write_bytes(b"#" * (own_code.MAX_KEPT_BYTES + 1))
    (tmp_path / "link.py").symlink_to(tmp_path / "nowhere.py")
    for name in ("pipe", "link", "none"):
        assert own_code.read({name: f"{tmp_path}/{name}.py"}, keep=False).facts[name]["sha256"] is None
        with pytest.raises(UsageError, match="no file that is found here: leave --keep-impl out"):
            own_code.read({name: f"{tmp_path}/{name}.py"}, keep=True)
    assert own_code.read({"long": f"{tmp_path}/long.py"}, keep=False).facts["long"]["sha256"]
    with pytest.raises(UsageError, match=r"long\.py has more than 1048576 bytes"):
        own_code.read({"long": f"{tmp_path}/long.py"}, keep=True)


@pytest.mark.parametrize(
    ("source", "module"),
    [("torch:pack.net:Net", "pack.net"), ("flax:pack:Net", "pack"), ("caffe", ""), ("mine.onnx", ""),
     ("keras:mine.keras", ""), ("keras:pack:model", "pack")],
)  # fmt: skip
def test_a_source_is_code_where_a_framework_reads_it(source: str, module: str) -> None:
    assert sources.module_of(source) == module


def test_kept_code_goes_with_its_run_and_a_folder_of_that_name_does_not(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x")
    code = own_code.read({"it": f"{tmp_path}/mine.py"}, keep=True)
    out = tmp_path / "out"
    folder = RunFolder.create("parity", {}, out, facts=code.told())
    code.keep(out)
    folder.close("complete")
    assert json.loads((out / "run.json").read_text())["impl"]["it"]["kept"] == "impl/mine.py"
    folder = RunFolder.create("parity", {}, out, overwrite=True)
    assert {file.name for file in out.iterdir()} == {"run.json"}
    (out / "impl").mkdir()
    (out / "impl" / "notes").write_text("mine")
    folder.close("complete")
    with pytest.raises(UsageError, match="holds impl, which no run left there: move it"):
        RunFolder.create("parity", {}, out, overwrite=True, facts=code.told())
    RunFolder.create("parity", {}, out, overwrite=True)
    assert (out / "impl" / "notes").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("parity --keep-impl", "--keep-impl keeps a copy of the file of --impl: name one, or leave it out"),
        ("audit caffe --keep-impl", "--keep-impl keeps a copy of your own code, and caffe is none: leave it out"),
    ],
)
def test_to_keep_what_is_not_there_is_refused(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli_exit.run(cli.cli, words.split()) == 2
    assert capsys.readouterr().err == f"alexbench: error: {said}\n"
