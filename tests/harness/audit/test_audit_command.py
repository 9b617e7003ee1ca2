"""A whole audit: what it leaves, what it prints, how it ends."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audit_changed import Change, at, both, swapped
from audit_small import SMALL, pixels
from PIL import Image

from harness.audit import command
from harness.audit.measure import Bench, Measured
from harness.audit.options import AuditOptions
from harness.data.images import ImageError
from harness.errors import UsageError
from impls import catalog
from impls.reading import Foreign, Reading, of_network
from impls.spec import Conv, Network
from reports import schema as columns
from reports import tables

Audit = Callable[..., int]
SEVERAL: Change = both(
    at("norm1", alpha=2e-5), swapped("relu2", "pool2"), at("conv2", groups=1), at("fc3", init=0.02)
)  # four departures, two of which can be measured


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "one.png"
    Image.fromarray(pixels(60, 80, 1)[0]).save(path)
    return path


@pytest.fixture
def audit(tmp_path: Path, photograph: Path) -> Audit:
    """Audit a network against the small one; the run is in tmp_path / "run"."""

    def run(theirs: Reading | Network, reference: Network = SMALL, **settings: Any) -> int:
        reading = of_network(replace(theirs, name="other")) if isinstance(theirs, Network) else theirs
        given = {"source": "other", "images": (photograph,), "out": tmp_path / "run", **settings}
        return command.audit(reading, reference, AuditOptions(**given))

    return run


def rows(tmp_path: Path) -> list[dict[str, Any]]:
    return tables.records(tables.read_parquet("audit", tmp_path / "run" / "audit.parquet"))


def facts(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "run" / "run.json").read_text())
    return found


def test_a_run_leaves_the_table_the_report_and_a_picture(audit: Audit, tmp_path: Path) -> None:
    assert audit(SEVERAL(SMALL)) == 0

    run = facts(tmp_path)
    assert run["status"] == "complete"
    assert set(run["files"]) == {
        "audit.parquet",
        "audit.csv",
        "dictionary.csv",
        "report.md",
        "report.html",
        "departures.png",
        "departures.svg",
    }
    found = rows(tmp_path)
    assert list(found[0]) == list(columns.dtypes("audit"))
    assert [(row["facet"], row["consequence"]) for row in found] == [
        ("lrn-alpha", "another function"),
        ("groups", "other shapes"),
        ("init", "training only"),
        ("order", "same function"),
        ("together", "another function"),
    ]
    assert found[0]["logits_change"] == pytest.approx(found[-1]["logits_change"])
    assert found[1]["parameters_change"] == 3 * 3 * 4 * 12
    assert found[1]["logits_change"] is None and found[1]["note"].startswith("weights do not fit")
    assert "divided by n = 5" in (tmp_path / "run" / "report.md").read_text()


def test_every_row_says_which_weights_its_figures_are_of(audit: Audit, tmp_path: Path) -> None:
    audit(SEVERAL(SMALL), seed=3)

    signatures = {row["signature"] for row in rows(tmp_path)}
    assert len(signatures) == 1
    said = dict(part.partition(":")[::2] for part in signatures.pop().split("|"))
    assert said["network"] == "small" and said["audited"] == "other"
    assert (said["seed"], said["precision"], len(said["weights"])) == ("3", "float64", 12)


def test_the_same_audit_twice_gives_the_same_figures(audit: Audit, tmp_path: Path) -> None:
    audit(SEVERAL(SMALL))
    first = rows(tmp_path)
    audit(SEVERAL(SMALL), overwrite=True)

    assert rows(tmp_path) == first


@pytest.mark.parametrize(("change", "strict", "code"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_strict_ends_with_1_where_anything_departs(
    audit: Audit, capsys: pytest.CaptureFixture[str], *, change: bool, strict: bool, code: int
) -> None:
    assert audit(SEVERAL(SMALL) if change else SMALL, strict=strict, measure=False) == code
    said = " ".join(capsys.readouterr().out.split())
    assert ("other departs from small in 4 ways" in said) == change
    assert ("other does not depart from small." in said) == (not change)


def test_without_measuring_no_photograph_is_read_and_no_weight_drawn(
    audit: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.audit.command.Bench", None)
    assert audit(SEVERAL(SMALL), measure=False, images=(tmp_path / "missing.png",)) == 0

    assert len(rows(tmp_path)) == 4
    assert all(row["logits_change"] is None for row in rows(tmp_path))
    assert "departures.png" not in facts(tmp_path)["files"]


def test_an_interrupt_keeps_every_departure_and_what_was_measured(
    audit: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = Bench.measure, []

    def measure(self: Bench, network: Network) -> Measured:
        calls.append(network)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(self, network)

    monkeypatch.setattr(Bench, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        audit(SEVERAL(SMALL))

    assert facts(tmp_path)["status"] == "interrupted"
    found = {row["facet"]: row["logits_change"] for row in rows(tmp_path)}
    assert set(found) == {"lrn-alpha", "order", "groups", "init"}
    assert found["lrn-alpha"] is not None and found["order"] is None
    assert "not finished" in (tmp_path / "run" / "report.md").read_text()


def test_a_bad_photograph_leaves_the_earlier_run_alone(audit: Audit, tmp_path: Path) -> None:
    audit(SEVERAL(SMALL))
    before = (tmp_path / "run" / "audit.csv").read_bytes()

    with pytest.raises(ImageError):
        audit(SEVERAL(SMALL), images=(tmp_path / "missing.png",))

    assert (tmp_path / "run" / "audit.csv").read_bytes() == before


def test_too_many_photographs_are_refused(audit: Audit, photograph: Path) -> None:
    with pytest.raises(UsageError, match="51 images given"):
        audit(SEVERAL(SMALL), images=(photograph,) * 51)


def test_what_does_not_fit_together_is_audited_all_the_same(audit: Audit, tmp_path: Path) -> None:
    layers = tuple(layer for layer in SMALL.layers if layer.name != "conv1")
    odd = Conv(name="conv1", kernels=7, size=5, stride=2)
    reading = replace(of_network(SMALL), name="other", layers=(odd, *layers))

    audit(reading)

    assert {"kernels", "input"} <= {row["facet"] for row in rows(tmp_path)}
    (remark,) = facts(tmp_path)["remarks"]
    assert "does not fit together" in remark and "groups = 2" in remark
    assert "totals" not in facts(tmp_path)


def test_foreign_layers_come_first_and_their_parameters_are_counted(audit: Audit, tmp_path: Path) -> None:
    norm = Foreign(name="bn1", kind="BatchNorm2d", parameters=16)
    reading = replace(of_network(SEVERAL(SMALL)), name="other", layers=(*SEVERAL(SMALL).layers[:1], norm,
                                                                       *SEVERAL(SMALL).layers[1:]))  # fmt: skip
    audit(reading)

    first = rows(tmp_path)[0]
    assert (first["facet"], first["consequence"], first["parameters_change"]) == ("foreign", "foreign layer", 16)
    totals = facts(tmp_path)["totals"]["parameters"] - facts(tmp_path)["reference_totals"]["parameters"]
    assert totals == 16 + 3 * 3 * 4 * 12


@pytest.mark.parametrize("form", ["csv", "json", "markdown"])
def test_other_forms_are_printed_in_the_place_of_the_table(
    audit: Audit, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    audit(SEVERAL(SMALL), form=form)

    printed = capsys.readouterr().out
    if form == "csv":
        assert printed == (tmp_path / "run" / "audit.csv").read_text()
        assert len(list(csv.DictReader(io.StringIO(printed)))) == 5
    elif form == "json":
        assert json.loads(printed) == rows(tmp_path)
    else:
        assert printed.startswith("**other departs from small in 4 ways:")
        assert "| lrn-alpha of norm1 | 2e-05 | 0.0001 | another function |" in printed


def test_a_reference_of_billions_is_measured_on_only_where_that_was_asked_for() -> None:
    with pytest.raises(UsageError, match="pass --large, or --no-measure"):
        command.run(AuditOptions(source="paper", against="note-004"))


def test_the_largest_network_is_audited_without_its_weights(audit: Audit, tmp_path: Path) -> None:
    """Of note 004's 0.9 billion weights none is drawn: nothing of theirs is computed."""
    note = replace(catalog.get("note-004"), name="other")

    assert audit(note, catalog.get("paper"), measure=False, strict=True) == 1
    assert facts(tmp_path)["totals"]["parameters"] > 9e8


def test_what_is_measured_is_finite(audit: Audit, tmp_path: Path) -> None:
    audit(SEVERAL(SMALL))

    measured = [row for row in rows(tmp_path) if row["logits_change"] is not None]
    assert len(measured) == 3
    assert all(np.isfinite(row["gradient_cosine"]) and 0 <= row["top5_kept"] <= 1 for row in measured)
