"""Names to implementations: loaded on use, plug-ins found, mistakes named."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from impls import registry


def plug_in(name: str, value: str) -> importlib.metadata.EntryPoint:
    return importlib.metadata.EntryPoint(name, value, registry.ENTRY_POINT_GROUP)


def test_the_built_in_frameworks_are_registered() -> None:
    assert list(registry.frameworks())[:3] == ["torch", "tensorflow", "jax"]
    assert registry.reference("jax") == "impls.with_jax.framework:FRAMEWORK"


def test_an_unknown_framework_gets_the_nearest_name() -> None:
    with pytest.raises(registry.UnknownFramework, match=r"unknown framework 'pytorch': did you mean 'torch'\?"):
        registry.reference("pytorch")


def test_a_plug_in_is_registered_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [plug_in("mine", "package.module:ATTRIBUTE")])
    assert registry.reference("mine") == "package.module:ATTRIBUTE"


def test_a_plug_in_may_not_take_a_name_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [plug_in("torch", "other:ATTRIBUTE")])
    with pytest.raises(registry.NotLoadable, match=r"'torch' \(other:ATTRIBUTE\) repeats a registered framework"):
        registry.frameworks()


def test_missing_modules_are_found_without_importing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.REQUIRED_MODULES, "torch", ("colorsys", "no_such_module"))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    assert registry.missing_modules("torch") == ("no_such_module",)
    assert "colorsys" not in sys.modules


def test_a_module_and_a_file_are_loaded(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def build(network, weights):\n    return 'built'\n")
    assert registry.load("impls.registry:ENTRY_POINT_GROUP") == registry.ENTRY_POINT_GROUP
    assert registry.load(f"{file}:build")(None, None) == "built"


@pytest.mark.parametrize("target", ["build", "mine.py", ":build", "mine.py:"])
def test_a_reference_of_another_form_is_refused(target: str) -> None:
    with pytest.raises(registry.NotLoadable, match=r"is not of the form module:attribute or \./file\.py:attribute"):
        registry.load(target)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(registry.NotLoadable, match=r"'nowhere.py' is not a file"):
        registry.load("nowhere.py:build")


def test_a_module_that_is_not_there_is_named_and_one_that_it_imports_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "half_a_module.py").write_text("import no_such_framework\n")
    with pytest.raises(registry.NotLoadable, match=r"there is no module 'no_such_module', neither installed nor in"):
        registry.load("no_such_module:build")
    with pytest.raises(ModuleNotFoundError, match="no_such_framework"):
        registry.load("half_a_module:build")


def test_an_attribute_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("_hidden = 1\ndef built():\n    pass\n")
    with pytest.raises(registry.NotLoadable, match=r"has no attribute 'build': did you mean 'built'\? it has built$"):
        registry.load(f"{file}:build")


def test_what_a_users_file_raises_passes_through(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        registry.load(f"{file}:build")
