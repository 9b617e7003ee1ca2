"""What `run.json` keeps of a command's options: each of them, in what JSON has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.option_record import checked, recorded
from harness.parity.options import ParityOptions
from harness.speed.options import SpeedOptions


def test_options_are_kept_by_name_in_what_json_has() -> None:
    options = ParityOptions(images=(Path("a.jpg"),), out=Path("runs/one"), timeout_s=5.0)
    kept = recorded(options)
    assert set(kept) == set(ParityOptions.__dataclass_fields__)
    assert (kept["images"], kept["out"], kept["timeout_s"]) == (["a.jpg"], "runs/one", 5.0)
    assert json.loads(json.dumps(kept)) == kept


@pytest.mark.parametrize(
    ("field", "value"),
    [("devices", "2"), ("devices", True), ("batch_sizes", (16, "x")), ("batch_sizes", None), ("device", -1),
     ("networks", "paper"), ("pythons", (("torch",),)), ("effort", "heroic"), ("weights", "w")],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(field: str, value: object) -> None:
    fine = SpeedOptions(weights=Path("w"), pythons=(("torch", "python3"),), batch_sizes=(1, 2), timeout_s=5)
    assert checked(fine) is fine
    with pytest.raises(TypeError, match=field):
        checked(replace(fine, **{field: value}))
