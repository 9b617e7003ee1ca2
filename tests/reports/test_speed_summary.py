"""The summary of a speed run reads well in 80 columns, and never says more than was measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shown
import speed_rows
from parity_rows import passing
from speed_rows import RUN, failed, speed

from reports import tables as stored
from reports import write as run_report
from reports.documents.speed import EMULATED
from reports.format import briefly, claimed, figure, interval
from reports.statistics import Interval, location
from reports.summaries import layers
from reports.summaries import speed as summary
from reports.summaries.speed import images_interval, is_measured

GOLDEN = Path(__file__).parent / "golden"


Tables = dict[str, Any]


def printed(tables: Tables, width: int = 80, run: Any = RUN, **settings: Any) -> str:
    return shown.terminal(tables, run, width, **settings)


def report(tables: Tables, run: Any = RUN) -> str:
    return shown.report(tables, run)


def sentence_of(tables: Tables) -> str:
    return shown.document(tables, RUN).verdict.sentence


def settings(tables: Tables) -> list[dict[str, Any]]:
    """The settings as the summary has them."""
    return summary.settings(*(stored.frame(kind, tables.get(kind, ())) for kind in ("speed", "sample")))


def measured(tables: Tables) -> list[dict[str, Any]]:
    return [row for row in settings(tables) if is_measured(row)]


def groups(rows: list[dict[str, Any]]) -> list[layers.Layers]:
    return layers.groups(stored.frame("layer", rows))


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", ["tables", "split_tables", "layered"])
def test_the_terminal_summary_is_the_golden_one(name: str, width: int) -> None:
    text = printed(getattr(speed_rows, name)(), width)
    assert text == (GOLDEN / f"speed-{name}-{width}.txt").read_text()
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= width


def test_the_report_is_the_golden_one() -> None:
    tables = speed_rows.split_tables() | {"layer": speed_rows.layers("torch", "tuned")}
    text = shown.report(tables, RUN, ["throughput"])
    assert text == (GOLDEN / "speed-report.md").read_text()


def test_nothing_wraps_in_the_tables_of_80_columns() -> None:
    for tables in (speed_rows.tables(), speed_rows.split_tables()):
        text = printed(tables)
        rows = [line for line in text.splitlines() if line.startswith(("torch ", "jax ", "tensorflow "))]
        assert len([line for line in rows if line.endswith(("yes", "no"))]) == len(measured(tables))


def test_every_figure_of_the_report_has_its_signature() -> None:
    text = report(speed_rows.layered())
    for row in speed_rows.layered()["speed"]:
        if row["status"] == "measured":
            assert f"`{row['signature']}`" in text


def test_emulated_devices_are_marked_and_never_called_a_speed_up() -> None:
    tables = speed_rows.split_tables()
    for row in tables["speed"]:
        if row["emulated"] == "yes":
            row["images_per_s"] *= 100  # however fast
    emulated = [row for row in measured(tables) if row["emulated"] == "yes"]
    assert len(emulated) == 9
    assert all(row["over_one"] is None and row["over_stock"] is None for row in emulated)
    assert " x2" not in sentence_of(tables)
    text = printed(tables)
    assert text.count("x2*") == 9
    assert "no speed-up is claimed" in " ".join(text.split())
    assert EMULATED.replace("*", r"\*") in report(tables)


def test_real_devices_are_held_against_one() -> None:
    tables = speed_rows.tables((128,))
    two = speed("torch", "tuned", 128, devices=2, split="data", step_ms=5.5 * 128, bytes_exchanged=243_860_896)
    tables["speed"].append(two)
    tables["sample"] += speed_rows.samples(two)
    [row] = [row for row in measured(tables) if row["split"] == "data"]
    assert row["over_one"].value == pytest.approx(10.0 / 5.5)
    assert row["over_one"].significant
    assert "1.82x" in printed(tables)
    assert "data x2, batch 128: each device sends 244 MB per step" in printed(tables, 200)


def test_tuned_over_stock_is_paired_by_the_blocks_of_one_run() -> None:
    tables = speed_rows.tables((32,))
    gains = {row["name"]: row["over_stock"] for row in measured(tables)}
    assert gains["torch stock"] is None
    assert gains["torch tuned"] is not None and gains["torch tuned"].significant
    assert gains["tensorflow tuned"] is not None and not gains["tensorflow tuned"].significant
    assert "tensorflow 1.01x (not significant)" in sentence_of(tables)


def test_a_row_that_is_not_equal_gives_no_figure() -> None:
    rows = [speed("torch", "stock"), speed("torch", "tuned", status="parity-failed", reason="norm1 is off")]
    assert [row["name"] for row in measured({"speed": rows})] == ["torch stock"]
    assert [row["name"] for row in settings({"speed": rows})] == ["torch stock", "torch tuned"]
    text = printed({"speed": rows})
    assert "not equal to the reference" in text and "norm1 is off" in text
    assert "2.5" not in text


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "Nothing was measured."),
        ([speed("jax", "stock")], "1 of 1 setting measured."),
        ([failed("jax", "stock", "missing", "jax is not installed")], "0 of 1 setting measured; 1 missing."),
        (
            [speed("jax", "stock"), speed("jax", "stock", 64, stable="no")],
            "2 of 2 settings measured (1 not stable); fastest: not judged, for want of intervals.",
        ),
        ([speed("jax", "stock", network="a"), speed("jax", "stock", network="b")], "2 of 2 settings measured."),
    ],
)
def test_the_last_line_says_what_was_measured(rows: list[Any], sentence: str) -> None:
    assert sentence_of({"speed": rows}) == sentence
    assert " ".join(printed({"speed": rows}, 300).splitlines()[-1].split()) == sentence


def test_a_setting_measured_twice_counts_once_and_the_last_time() -> None:
    rows = [failed("jax", "tuned", "crashed", "killed"), speed("jax", "tuned")]
    assert len(settings({"speed": rows})) == len(measured({"speed": rows})) == 1


def test_outside_text_is_never_taken_for_markup_nor_obeyed() -> None:
    evil = "[red]x[/bold] \x1b[2J | `<b>` *y*"
    rows = [speed("torch", "stock", note=evil), failed("jax", "stock", "crashed", evil + "\nsecond \x07line")]
    text = printed({"speed": rows})
    assert "[red]x[/bold]" in text
    assert not {"\x1b", "\x07"} & set(text)
    told = report({"speed": rows}, {})
    assert r"\\x1b[2J | \`\<b>\` \*y\*; second \\x07line" in told
    assert "\x1b" not in told


def test_of_a_long_reason_the_first_and_the_last_lines_are_shown() -> None:
    rows = [failed("jax", "stock", "crashed", "\n".join(f"line {n}" for n in range(50)))]
    text = printed({"speed": rows})
    assert "line 0" in text and "line 49" in text and "line 20" not in text


def test_many_failures_leave_the_summary_short() -> None:
    rows = [failed("jax", "stock", "does-not-fit", "too large", batch_size=n) for n in range(1, 30)]
    assert "21 more in report.md" in printed({"speed": rows})
    assert report({"speed": rows}, {}).count(": too large") == 29


def test_missing_figures_are_blank() -> None:
    row = speed("torch", "tuned") | dict.fromkeys(
        ("step_ms", "step_ms_low", "step_ms_high", "peak_memory_mb", "fraction_of_peak", "tflops", "signature", "gauge")
    )
    text = printed({"speed": [row]})
    assert "100" in text and "±" not in text and "None" not in text and "nan" not in text
    assert "None" not in report({"speed": [row]}, {})


def test_numpy_numbers_are_numbers() -> None:
    row = speed("torch", "tuned", images_per_s=np.float32(50.0), step_ms=np.float64(20.0))
    assert "50.0" in printed({"speed": [row]})


def test_a_single_sample_has_no_interval() -> None:
    found = images_interval(speed("jax", "stock", step_ms_low=2240.0, step_ms_high=2240.0))
    assert found is not None and not found.known


def timed(*names: str, blocks: dict[str, list[float]]) -> dict[str, Any]:
    """Rows of torch in these tunings at batch 32, each from its blocks of one sample, in milliseconds."""
    rows, taken = [], []
    for name in names:
        found = location(blocks[name])
        row = speed("torch", name, step_ms=found.value, step_ms_low=found.low, step_ms_high=found.high)
        row["stable"] = "no" if found.relative is None or found.relative > 0.05 else "yes"
        rows.append(row)
        for place, ms in enumerate(blocks[name]):
            [_, sample] = speed_rows.samples(row, blocks=1, each=1)
            taken.append(sample | {"block": place, "seconds": ms / 1e3})
    return {"speed": rows, "sample": taken}


BARE = dict.fromkeys(("step_ms_low", "step_ms_high"))
FAR_APART = {"stock": [320.0, 330.0, 310.0], "tuned": [10.0, 300.0, 200.0]}  # 3.79 times as fast, or not
CLOSE = {"stock": [320.0, 330.0, 310.0], "tuned": [160.0, 168.0, 152.0]}


@pytest.mark.parametrize("width", [80, 120])
def test_a_ratio_that_may_be_chance_is_no_claim_and_names_no_fastest(width: int) -> None:
    tables = timed("stock", "tuned", blocks=FAR_APART)
    [_, tuned] = measured(tables)
    assert tuned["over_stock"].vague
    text = printed(tables, width)
    assert "not significant" in text
    sentence = sentence_of(tables)
    assert "fastest, the difference not significant: torch tuned, batch 32 or torch stock, batch 32" in sentence
    assert "(not significant)" in sentence
    for said in (text, report(tables)):
        assert "tells nothing" in " ".join(said.split())
        assert "±5" not in said


def test_the_fastest_is_named_where_its_interval_leaves_out_every_other() -> None:
    found = sentence_of(timed("stock", "tuned", blocks=CLOSE))
    assert "fastest: torch tuned, batch 32 (200 (177–227) images/s" in found
    assert "torch 2.00x ±" in found


def test_many_that_may_be_fastest_share_the_place_and_are_counted() -> None:
    rows = [speed("torch", "tuned", batch, step_ms=10.0 * batch) for batch in (8, 16, 32, 64, 128)]
    tables = {"speed": rows, "sample": [one for row in rows for one in speed_rows.samples(row)]}
    assert "or 2 more" in sentence_of(tables)


def test_an_interval_that_an_earlier_version_cut_off_at_zero_is_shown_all_the_same() -> None:
    row = speed("torch", "tuned", step_ms_low=0.0, step_ms_high=500.0)
    found = images_interval(row)
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(64.0), math.inf)
    below = images_interval(row | {"step_ms_low": -3.0})  # its bar would be drawn to the left of nothing
    assert below is not None and below.high == math.inf
    assert "(64.0 to inf)" in printed({"speed": [row]}, 120)
    assert "(64.0 to inf)" in report({"speed": [row]})
    assert "320 (0 to 500)" in report({"speed": [row]})
    [layer] = [one for one in speed_rows.layers("torch", "tuned") if (one["layer"], one["pass"]) == ("fc8", "backward")]
    layer |= {"step_ms": 1.0, "step_ms_low": 0.0, "step_ms_high": 4.0}
    assert "1.00 (0 to 4.00)" in report({"layer": [layer]})


def test_samples_are_of_the_process_that_they_name_and_else_of_the_first() -> None:
    [row] = measured(timed("stock", blocks={"stock": [320.0, 330.0]}))
    assert row["processes"] == {1: {0: [320.0], 1: [330.0]}}
    tables = timed("stock", blocks={"stock": [320.0, 330.0]})
    tables["sample"] += [row | {"process": 2, "seconds": 2 * row["seconds"]} for row in tables["sample"]]
    [row] = measured(tables)
    assert row["processes"] == {1: {0: [320.0], 1: [330.0]}, 2: {0: [640.0], 1: [660.0]}}
    assert row["images"].blocks == 2


def test_one_block_says_so_wherever_its_figure_stands() -> None:
    tables = timed("stock", "tuned", blocks={"stock": [320.0], "tuned": [160.0]})
    assert "200 (n = 1)" in printed(tables)
    assert "2.00x (n = 1)" in printed(tables)
    told = report(tables)
    assert "160 (n = 1)" in told
    assert "200 (n = 1)" in told
    assert "not judged" in sentence_of(tables)


def test_a_layer_that_is_not_told_apart_from_zero_stays_in_the_table() -> None:
    rows = speed_rows.layers("torch", "tuned")
    lost = next(row for row in rows if (row["layer"], row["pass"]) == ("drop6", "backward"))
    lost |= BARE | {"step_ms": 0.0, "tflops": None, "note": "not told apart from 0"}
    told = report({"layer": rows})
    assert "| drop6 | backward | 0 (no interval) |" in told and "not told apart from 0 |" in told


def test_a_layers_share_that_is_known_badly_is_a_range() -> None:
    rows = [row for row in speed_rows.layers("torch", "tuned") if row["layer"] in ("conv2", "conv3")]
    first = next(row for row in rows if (row["layer"], row["pass"]) == ("conv2", "backward"))
    others = sum(row["step_ms"] for row in rows) - first["step_ms"]
    first |= {"step_ms_low": others / 9, "step_ms_high": others}
    assert "most time in conv2 backward 39% (10% to 50%), " in report({"layer": rows})


def test_a_peak_is_its_fastest_round_beside_the_slowest_and_no_interval() -> None:
    rows = [speed_rows.peak("torch", "matmul", 0.4), speed_rows.peak("jax", "matmul", 0.4, **BARE)]
    told = report({"peak": rows})
    assert "slowest round ms" in told
    assert "| 40.0 | 42.0 |" in told
    assert "| 40.0 |  |" in told


@pytest.mark.parametrize(
    ("found", "brief", "full"),
    [
        (Interval(131.0, 129.0, 133.0), "131 ±1.5%", "131 (129 to 133)"),
        (Interval(131.0, 97.0, 180.0), "131 (97–180)", "131 (97.0 to 180)"),
        (Interval(3.79, 0.4, 3.9), "3.79 (0.4–3.9)", "3.79 (0.40 to 3.90)"),
        (Interval(3.79, 0.07, 195.0), "3.79 (unknown)", "3.79 (0.07 to 195)"),
        (Interval(131.0, 1e-9, 1e300), "131 (unknown)", "131 (1e-09 to 1.0e+300)"),
        (Interval(131.0, blocks=1), "131 (n = 1)", "131 (n = 1)"),
        (Interval(131.0), "131 (no interval)", "131 (no interval)"),
        (None, "", ""),
    ],
)
def test_an_interval_is_written_as_what_it_tells(found: Interval | None, brief: str, full: str) -> None:
    assert briefly(found, figure) == brief
    assert interval(found, figure) == full


def test_a_ratio_is_claimed_where_its_interval_leaves_out_one() -> None:
    assert claimed(Interval(2.0, 1.5, 2.7), figure) == "2.00x (1.50 to 2.70)"
    assert claimed(Interval(2.0, 0.9, 4.4), figure) == "not significant (0.90 to 4.40)"


def test_the_peak_line_names_the_probe_and_who_reached_it() -> None:
    def told(**changes: Any) -> str:
        return printed({"speed": [speed("jax", "stock", **changes)], "peak": speed_rows.peaks()})

    assert "peak 487 GFLOP/s: convolution in torch; copy 18.0 GB/s" in told()
    assert "\ncopy 18.0 GB/s\n" in told(precision="bfloat16")
    assert "GB/s" not in told(device="cuda")


def test_the_layers_say_what_bounds_them() -> None:
    rows = speed_rows.layers("torch", "tuned")
    [one] = groups(rows)
    assert [row["step_ms"] for row in one.rows] == sorted((row["step_ms"] for row in one.rows), reverse=True)
    assert "most time in conv2 backward 15%" in report({"layer": rows})
    assert "77% of it bound by compute, at 81% of that roof" in report({"layer": rows})
    assert one.whole is not None and one.rest is not None


def test_layers_without_a_roof_or_a_time_say_less() -> None:
    rows = [row | {"fraction_of_roof": None} for row in speed_rows.layers("torch", "tuned")]
    assert "of that roof" not in report({"layer": rows})
    bare = [row | {"step_ms": None} for row in rows]
    assert groups(bare) == []
    assert "bounds" not in report({"layer": bare}, {})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (0.0123, "0.012"),
        (1.234, "1.23"),
        (9.999, "10.0"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
        (1e6, "1,000,000"),
    ],
)
def test_figures_have_three_digits(value: float, said: str) -> None:
    assert figure(value) == said


def test_figures_that_are_none_say_so() -> None:
    assert figure(math.inf) == "inf"


def test_a_run_broken_off_says_so() -> None:
    run = RUN | {"status": "interrupted"}
    assert "not finished (status interrupted)" in printed(speed_rows.tables(), run=run)
    assert "not finished" in report(speed_rows.tables(), run)


@pytest.mark.parametrize(
    ("rows", "command", "files"),
    [
        (speed_rows.layered(), "speed", {"throughput.png", "time-by-layer.png", "roofline.png"}),
        (speed_rows.split_tables(), "speed", {"throughput.png", "devices.png"}),
        (speed_rows.tables((32,)) | {"parity": passing()}, "speed", {"throughput.png", "error-by-layer.png"}),
        ({"speed": [failed("jax", "stock", "missing", "no jax")]}, "speed", set()),
        ({}, "speed", set()),
        ({"parity": passing()}, "parity", {"error-by-layer.png"}),
    ],
)
def test_a_folder_gets_the_pictures_it_has_rows_for(
    rows: dict[str, Any], command: str, files: set[str], tmp_path: Path
) -> None:
    written = run_report.write(tmp_path, RUN | {"command": command}, rows)
    assert {name for name in written if name.endswith(".png")} == files
    assert {path.name for path in tmp_path.iterdir()} == set(written)
    report = (tmp_path / "report.md").read_text()
    assert report.startswith(f"# alexbench {command}")
    assert all(f"]({name})" in report for name in files)
    assert ("## Levels" in report) == ("parity" in rows)


def test_a_run_that_was_broken_off_within_a_setting_says_where_its_samples_are() -> None:
    [row] = [speed("torch", "tuned")]
    taken = {"sample": speed_rows.samples(row), "speed": []}
    told = shown.document(taken, RUN | {"status": "interrupted", "failures": ["interrupted"]})
    assert told.verdict.sentence.startswith("No setting was measured to its end; sample.csv has ")
    assert (told.verdict.tone, told.verdict.word) == ("doubtful", "unfinished")
    assert "alexbench speed --resume FOLDER goes on with it" in told.caveats[-1].text
