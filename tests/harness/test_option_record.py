"""What `run.json` keeps of a command's options: each of them, in what JSON has."""

from __future__ import annotations

import json
from pathlib import Path

from harness.option_record import recorded
from harness.parity.options import ParityOptions


def test_options_are_kept_by_name_in_what_json_has() -> None:
    options = ParityOptions(images=(Path("a.jpg"),), out=Path("runs/one"), timeout_s=5.0)
    kept = recorded(options)
    assert set(kept) == set(ParityOptions.__dataclass_fields__)
    assert (kept["images"], kept["out"], kept["timeout_s"]) == (["a.jpg"], "runs/one", 5.0)
    assert json.loads(json.dumps(kept)) == kept
