"""Two runs held against each other: what is faster, what may be chance, what should not be compared."""

from __future__ import annotations

import copy
import csv
import io
import json
import math
from typing import Any

import pytest
import speed_rows
from rich.console import Console

from harness.compare import written
from reports import tables as result_tables
from reports.documents import common
from reports.documents.compare import document, only_in, setting_name, warnings
from reports.render import terminal
from reports.summaries.compare import OPERATORS, Comparison, Pair, Rule, broken, compare, judged, parse_rule
from reports.summaries.environments import RunTables

Tables = dict[str, list[dict[str, Any]]]

FORMS = ("table", "csv", "json", "markdown")


def run(tables: Tables, name: str = "runs/a", **facts: Any) -> RunTables:
    held = {kind: result_tables.frame(kind, tables.get(kind, [])) for kind in ("speed", "sample")}
    return RunTables(name, speed_rows.RUN | facts, held)


def faster(tables: Tables, factor: float, **where: Any) -> Tables:
    """The same run with some settings so many times faster, measured anew."""
    made = copy.deepcopy(tables)
    chosen = [row for row in made["speed"] if all(row[name] == value for name, value in where.items())]
    for row in chosen:
        if row["status"] == "measured":
            row.update({name: row[name] / factor for name in ("step_ms", "step_ms_low", "step_ms_high")})
            row["images_per_s"] *= factor
    measured = [row for row in made["speed"] if row["status"] == "measured"]
    made["sample"] = [sample for row in measured for sample in speed_rows.samples(row, seed=1)]
    return made


@pytest.fixture
def base() -> Tables:
    return speed_rows.tables()


def around(found: Comparison) -> list[str]:
    """What differs between the grounds the runs stood on."""
    return common.differing(found.differences)


def pair(found: Comparison, name: str) -> Pair:
    return next(one for one in found.pairs if setting_name(one.a).startswith(name))


def test_faster_slower_and_chance_are_told_apart(base: Tables) -> None:
    other = faster(faster(base, 1.11, framework="torch"), 1 / 1.05, framework="jax", tuning="tuned")
    found = compare(run(base), run(other, "runs/b"))
    assert len(found.pairs) == 12
    assert pair(found, "torch tuned").verdict == "1.11x faster"
    assert pair(found, "jax tuned").verdict == "1.05x slower"
    assert pair(found, "tensorflow stock").verdict == "not significant"
    assert found.mean is not None
    assert found.mean.value == pytest.approx((1.11**4 * (1 / 1.05) ** 2) ** (1 / 12))
    assert found.mean.significant
    assert not around(found)


def test_a_run_is_not_different_from_itself_measured_again(base: Tables) -> None:
    found = compare(run(base), run(faster(base, 1.0), "runs/b"))
    assert {one.verdict for one in found.pairs} == {"not significant"}
    assert found.mean is not None and not found.mean.significant
    assert "not significant" in document(found, {}).verdict.sentence


def test_settings_of_one_run_only_are_listed_with_the_reason(base: Tables) -> None:
    other = faster(base, 1.0)
    other["speed"] = [row for row in other["speed"] if row["framework"] != "tensorflow"]
    other["speed"] = [row | {"status": "crashed"} if row["framework"] == "jax" else row for row in other["speed"]]
    found = compare(run(base), run(other, "runs/b"))
    assert len(found.pairs) == 4
    assert len(only_in(found, "A")) == 8
    assert only_in(found, "B") == []
    assert "tensorflow tuned, paper, cpu, float32, train-step, batch 32" in only_in(found, "A")
    assert "jax tuned, paper, cpu, float32, train-step, batch 32 (crashed in the other)" in only_in(found, "A")
    assert only_in(compare(run(other), run(base)), "B") == only_in(found, "A")


def test_nothing_in_common_is_said(base: Tables) -> None:
    other = {"speed": [speed_rows.speed("torch", "tuned", 999)]}
    found = compare(run(base), run(other))
    assert found.pairs == () and found.mean is None
    assert document(found, {}).verdict.sentence == "The runs have no measured setting in common."
    for form in FORMS:
        assert written(found, {}, form)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("machine", "cpu"), "another", "the machine differs: cpu A|B / another"),
        (("machine", "cores"), 4, "the machine differs: cores 2 / 4"),
        (("cpu_kind",), "AVX2", "the machine differs: cpu_kind AVX-512 (VNNI, BF16), AMX / AVX2"),
        (("packages", "torch"), "2.14.0", "the versions differ: torch 2.13.0 / 2.14.0"),
        (("flags", "OMP_NUM_THREADS"), "1", "the flags differ: OMP_NUM_THREADS 2 / 1"),
        (("flags", "XLA_FLAGS"), "--x", "the flags differ: XLA_FLAGS not set / --x"),
    ],
)
def test_what_differs_around_the_runs_is_named(base: Tables, path: tuple[str, str], value: Any, said: str) -> None:
    environment = copy.deepcopy(speed_rows.RUN["environment"])
    place = environment
    for name in path[:-1]:
        place = place[name]  # type: ignore[assignment]
    place[path[-1]] = value
    found = compare(run(base), run(base, "runs/b", environment=environment))
    assert around(found) == [said]
    assert f"warning: {said}" in written(found, {}, "table")


def test_a_run_that_does_not_know_its_kind_of_machine_is_not_on_another(base: Tables) -> None:
    older = {
        name: value
        for name, value in speed_rows.RUN["environment"].items()  # type: ignore[attr-defined]
        if name not in ("cpu_kind", "physical_cores")
    }
    assert around(compare(run(base, environment=older), run(base, "runs/b"))) == []


def test_other_weights_and_other_frameworks_versions_are_named(base: Tables) -> None:
    other = copy.deepcopy(base)
    for row in other["speed"]:
        row["signature"] = row["signature"].replace("3f2a", "ffff").replace("jax-0.10.2", "jax-0.11.0")
    found = compare(run(base), run(other))
    assert around(found) == [
        "the weights differ: weights paper 3f2a / ffff",
        "the versions differ: framework jax jax-0.10.2 / jax-0.11.0",
    ]
    fewer = {"speed": [row for row in base["speed"] if row["framework"] == "torch"]}
    assert around(compare(run(base), run(fewer))) == []


def test_another_commit_is_what_one_wants_to_compare(base: Tables) -> None:
    environment = speed_rows.RUN["environment"] | {"git": {"commit": "def", "dirty": True}}  # type: ignore[operator]
    assert around(compare(run(base), run(base, environment=environment))) == []


def test_a_long_list_of_differences_is_cut(base: Tables) -> None:
    environment = copy.deepcopy(speed_rows.RUN["environment"])
    environment["flags"] = {f"XLA_{n}": "x" * 500 for n in range(100)}  # type: ignore[index]
    [said] = around(compare(run(base), run(base, environment=environment)))
    assert len(said) < 1500
    assert "and 89 more" in said


def test_rows_that_are_not_stable_emulated_or_unfinished_are_warned_of(base: Tables) -> None:
    tables = speed_rows.split_tables()
    tables["sample"] += [one for row in tables["speed"] if row["emulated"] == "yes" for one in speed_rows.samples(row)]
    found = compare(run(tables, status="interrupted"), run(tables, "runs/b"))
    said = warnings(found)
    assert "runs/a was not finished (status interrupted)" in said
    assert "not stable in A: torch stock, paper, cpu, float32, train-step, batch 32" in said
    assert "emulated devices: torch tuned, paper, cpu, float32, train-step, model x2, batch 32 and 8 more" in said


def test_without_samples_nothing_is_judged_by_chance(base: Tables) -> None:
    bare = {"speed": base["speed"]}
    found = compare(run(bare), run(faster(bare, 0.5) | {"sample": []}))
    assert {one.verdict for one in found.pairs} == {"not judged"}
    assert found.mean is not None and not found.mean.known
    assert "without an interval" in document(found, {}).verdict.sentence
    # A rule then goes by the ratio alone: missing samples must not let a regression pass.
    assert len(broken(Rule("images_per_s", "<", 0.95), found)) == 12


def test_one_block_a_run_is_not_judged_by_its_samples(base: Tables) -> None:
    single = {"speed": base["speed"], "sample": [one for one in base["sample"] if one["block"] == 0]}
    found = compare(run(single), run(single, "runs/b"))
    assert {one.verdict for one in found.pairs} == {"not judged"}
    assert "fewer than two blocks: no interval" in " ".join(warnings(found))


def test_columns_that_are_the_same_figure_are_judged_alike(base: Tables) -> None:
    """FLOP/s are images/s times the network's work: a difference that may be chance breaks no rule on them either."""
    other = faster(base, 0.93)
    for tables in (base, other):
        measured = [row for row in tables["speed"] if row["status"] == "measured"]
        tables["sample"] = [one for row in measured for one in speed_rows.samples(row, spread=0.3)]
        for row in measured:
            row["tflops"] = row["images_per_s"] / 1e3
    found = compare(run(base), run(other))
    assert found.pairs[0].ratios["tflops"] == pytest.approx(0.93)
    for rule in ("images_per_s<0.95", "step_ms>1.05", "tflops<0.95"):
        assert broken(parse_rule(rule), found) == []


@pytest.mark.parametrize("given", ["images_per_s<0.95", " step_ms >= 1.05 ", "peak_memory_mb>1e1", "compile_s<=-.5"])
def test_a_rule_is_read(given: str) -> None:
    rule = parse_rule(given)
    assert rule.sign in OPERATORS
    assert str(rule).startswith(rule.column + rule.sign)


@pytest.mark.parametrize(
    "given", ["", "images_per_s", "images_per_s=0.9", "images_per_s<", "<0.9", "images_per_s<nan", "images_per_s<1e999",
              "images_per_s<0.9<1", "images_per_s<1.2.3", "loss<1"],
)  # fmt: skip
def test_what_is_no_rule_is_said(given: str) -> None:
    with pytest.raises(ValueError, match="unknown column 'loss', choose from" if "loss" in given else "is not COLUMN"):
        parse_rule(given)


def test_a_rule_is_broken_where_the_difference_is_significant(base: Tables) -> None:
    found = compare(run(base), run(faster(base, 0.9, framework="torch", tuning="tuned")))
    slow = broken(parse_rule("images_per_s<0.95"), found)
    assert {setting_name(one.a) for one in slow} == {
        f"torch tuned, paper, cpu, float32, train-step, batch {batch}" for batch in (32, 128)
    }
    assert slow == broken(parse_rule("step_ms>1.05"), found)
    assert broken(parse_rule("images_per_s<0.85"), found) == []


def test_a_difference_that_may_be_chance_breaks_no_rule(base: Tables) -> None:
    noisy, again = copy.deepcopy(base), faster(base, 0.93)
    for tables in (noisy, again):
        measured = [row for row in tables["speed"] if row["status"] == "measured"]
        tables["sample"] = [one for row in measured for one in speed_rows.samples(row, spread=0.3)]
    found = compare(run(noisy), run(again))
    assert pair(found, "torch tuned").ratios["images_per_s"] == pytest.approx(0.93)
    assert broken(parse_rule("images_per_s<0.95"), found) == []


def test_other_columns_go_by_their_ratio(base: Tables) -> None:
    other = faster(base, 1.0)
    for row in other["speed"]:
        if row["framework"] == "jax" and row["status"] == "measured":
            row["peak_memory_mb"] *= 1.5
    found = compare(run(base), run(other))
    assert len(broken(parse_rule("peak_memory_mb>1.2"), found)) == 4
    assert judged(parse_rule("peak_memory_mb>1.2"), found)
    assert not judged(parse_rule("joules_per_image>1.2"), found)


def test_a_setting_in_words_leaves_out_what_goes_without_saying() -> None:
    row = speed_rows.speed("torch", "tuned", 64, devices=2, split="data", input="file")
    assert setting_name(row) == "torch tuned, paper, cpu, float32, train-step, data x2, batch 64, file input"


def test_every_form_says_the_same(base: Tables) -> None:
    found = compare(run(base), run(faster(base, 1.2, framework="jax"), "runs/b"))
    met = {"step_ms<0.9": broken(parse_rule("step_ms<0.9"), found)}
    data = json.loads(written(found, met, "json"))
    rows = list(csv.DictReader(io.StringIO(written(found, met, "csv"))))
    assert [float(row["ratio"]) for row in rows] == [one["ratio"] for one in data["pairs"]]
    assert list(rows[0]) == list(data["pairs"][0])
    assert data["geometric_mean"]["low"] < data["geometric_mean"]["ratio"] < data["geometric_mean"]["high"]
    assert [one["rule"] for one in data["broken"]] == ["step_ms<0.9"] * 4
    for form in ("table", "markdown"):
        text = written(found, met, form)
        assert text.count("1.20x faster") == 4
        assert text.count("not significant") >= 8
        assert "geometric mean" in text
        assert "is met: jax tuned" in text.replace("\\", "")


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_wraps_no_setting(base: Tables, width: int) -> None:
    file = io.StringIO()
    found = compare(run(base), run(faster(base, 1.2, framework="jax"), "runs/b"))
    terminal.show(document(found, {}), Console(file=file, width=width))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert len([line for line in lines if "batch" in line and "x" in line]) == 12
    assert "paper, cpu, float32, train-step" in lines


def test_outside_text_is_not_obeyed(base: Tables) -> None:
    evil = "\x1b[2J[red]\n| `x`"
    tables = {"speed": [speed_rows.speed(evil, "tuned", signature=evil)]}
    evil += "\ud800"  # no table can hold this
    environment = {"flags": {"XLA_FLAGS": evil}}
    found = compare(run(tables, evil), run(tables, evil, environment=environment))
    for form in FORMS:
        text = written(found, {}, form)
        assert "\x1b" not in text
        text.encode()  # nothing is left that a file could not hold


@pytest.mark.parametrize("odd", [math.inf, math.nan, 1e300, 1e-300, 0.0, -1.0])
def test_figures_nobody_measured_break_nothing(base: Tables, odd: float) -> None:
    other = copy.deepcopy(base)
    for row in other["speed"]:
        row["images_per_s"] = odd
    for row in other["sample"]:
        row["seconds"] = odd
    found = compare(run(base), run(other))
    assert found.pairs == ()
    spoilt = base | {"sample": [row | {"seconds": odd} for row in base["sample"]]}
    for form in FORMS:
        assert written(compare(run(spoilt), run(base)), {}, form)
