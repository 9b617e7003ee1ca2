"""The summary of an evaluation: intervals with every error, comparisons only where they are fair, who agrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import evaluation_rows
import pytest
import shown
from evaluation_rows import RUN, apart, classes, failed, imagenet, score

from reports.format import enumerated

GOLDEN = Path(__file__).parent / "golden"

Tables = dict[str, list[Any]]


def printed(tables: Tables, width: int = 80, run: Any = RUN) -> str:
    return shown.terminal(tables, run, width)


def report(tables: Tables, run: Any = RUN) -> str:
    return shown.report(tables, run)


def both(tables: Tables) -> tuple[str, str]:
    """On a wide terminal and in the report."""
    return printed(tables, 200), report(tables)


def lines(tables: Tables, word: str) -> list[str]:
    """Those of a wide terminal that hold the word."""
    return [line for line in printed(tables, 400).splitlines() if word in line]


def sentence(tables: Tables) -> str:
    return shown.document(tables, RUN).verdict.sentence


def mixed() -> dict[str, list[Any]]:
    """Two data sets, an ensemble, a disagreement and a crash."""
    tables = evaluation_rows.tables(("torch", "jax"))
    tables["evaluation"] += [
        imagenet(),
        score("torch", 10, "ensemble of 3", networks=3),
        failed("tensorflow", "crashed", "worker killed by | signal 9\n[SIGKILL]"),
    ]
    return tables | {"agreement": [apart(7), apart(12)]}


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_summary_is_the_golden_one(width: int) -> None:
    text = printed(mixed(), width)
    assert text == (GOLDEN / f"evaluation-{width}.txt").read_text()
    assert max(len(line) for line in text.splitlines()) <= width


def test_the_report_is_the_golden_one() -> None:
    assert report(mixed()) == (GOLDEN / "evaluation-report.md").read_text()


def test_every_error_has_its_interval_and_its_signature() -> None:
    tables = evaluation_rows.tables()
    told = report(tables)
    for row in tables["evaluation"]:
        assert f"`{row['signature']}`" in told
    assert told.count("3.00 (2.00 to 5.00)") == 3
    assert told.count("2.50 (1.50 to 4.50)") == 3


def test_a_published_figure_stands_beside_ours_only_where_the_images_are_the_same() -> None:
    other = imagenet(comparable="no", data="digits", images=360)
    for rows, seen in (([imagenet()], True), ([other], False)):
        assert ("40.70 / 18.20" in printed({"evaluation": rows}, 120)) is seen
        assert ("published 40.70 %" in printed({"evaluation": rows}, 80)) is seen
        assert ("40.70 / 18.20" in report({"evaluation": rows})) is seen
    published = "the errors published of the network paper are of ImageNet"
    said = f"Not comparable: {published}, these are of 360 images of digits val."
    assert lines({"evaluation": [other]}, "published") == [said]


def test_a_share_of_imagenet_is_not_the_whole() -> None:
    [said] = lines({"evaluation": [imagenet(comparable="no", images=500)]}, "comparable")
    assert "are of the whole of a part of ImageNet, these are of 500 images of imagenet-2012 val" in said


def test_a_network_nobody_published_is_said_to_be_one() -> None:
    said = "No error is published of the network cifar-4layer on digits val."
    assert lines({"evaluation": [score("torch")]}, "published") == [said]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.40, 0.42, "inside our interval"), (0.408, 0.42, "outside our interval"), (None, None, "+0.31 points)")],
)
def test_a_comparison_says_whether_the_figure_is_in_our_interval(
    low: float | None, high: float | None, said: str
) -> None:
    [beside] = lines({"evaluation": [imagenet(top1_low=low, top1_high=high)]}, "points")
    assert said in beside.split(";")[0]


def test_views_that_are_the_same_are_said_to_be() -> None:
    tables = {"evaluation": [score("torch", 10, differing_views=2), score("jax", 10, differing_views=2)]}
    for text in both(tables):
        assert text.count("Of the 10 views only 2 differ") == 1
    assert "views only" not in printed(evaluation_rows.tables(), 200)


def test_frameworks_that_agree_are_said_to() -> None:
    for crops, views in ((1, "centre crop"), (10, "10 crops")):
        tables = evaluation_rows.tables(crops=(crops,))
        said = f"3f2a91c0, {views}: jax, tensorflow and torch agree on every one of 360 images."
        assert lines(tables, "every one of") == [said]
        assert sentence(tables).endswith("the frameworks agree on every image.")


def test_frameworks_that_agree_with_all_weights_and_crops_say_so_once() -> None:
    tables = evaluation_rows.tables()
    said = "jax, tensorflow and torch agree on every one of 360 images, in all settings of weights and crops."
    assert lines(tables, "every one of") == [said]
    assert report(tables).count("agree on every one of") == 1
    tables["evaluation"] += [score(name, 1, "77aa") for name in evaluation_rows.FRAMEWORKS]
    differing = tables | {"agreement": [apart(7)]}
    assert lines(differing, "every one of") == [said.replace("all settings", "2 of 3 settings")]


def test_every_hash_is_told_its_file_by_no_more_than_tells_files_apart() -> None:
    one = score("torch", 1, "3f2a", file="/runs/a/torch-best.safetensors")
    other = score("torch", 1, "77aa", file="/runs/b/torch-best.safetensors")
    assert lines({"evaluation": [one]}, "3f2a is") == ["3f2a is torch-best.safetensors"]
    files = ["3f2a is a/torch-best.safetensors", "77aa is b/torch-best.safetensors"]
    assert lines({"evaluation": [one, other]}, "/torch-best") == files
    assert "/runs/a/torch-best.safetensors" in report({"evaluation": [one]})
    tables = {
        "evaluation": [score("torch"), failed("torch", "crashed", "gone", 10) | {"weights": "77aa", "file": "b.st"}]
    }
    for text in both(tables):
        assert "torch-best.safetensors" in text and "b.st" in text


def test_weights_stand_in_the_order_they_were_given() -> None:
    rows = [score(name, crops, weights) for name in ("torch", "jax") for weights in ("ff", "aa") for crops in (1, 10)]
    told = [line[:15].strip() for line in lines({"evaluation": [score("torch", 1, "ensemble of 2"), *rows]}, "3.00 (")]
    assert list(dict.fromkeys(told)) == ["ff", "aa", "ensemble of 2"]


def test_where_all_does_not_fit_the_errors_keep_their_line() -> None:
    wide = {"top1_error": 0.9014, "top1_low": 0.866, "top1_high": 0.9283, "top5_error": 0.5127, "top5_low": 0.4608}
    tables = {"evaluation": [score("tensorflow", 1, "277c7f7c99d2", **wide, top5_high=0.5643)]}
    assert "90.14 (86.60 to 92.83)  51.27 (46.08 to 56.43)" in printed(tables)
    assert "images/s" not in printed(tables) and "images/s" in printed(tables, 200)


def test_one_framework_alone_agrees_with_nobody() -> None:
    for text in both(evaluation_rows.tables(("torch",))):
        assert "agree" not in text.lower()


def test_an_image_on_which_three_differ_counts_once() -> None:
    tables = evaluation_rows.tables(crops=(1,))
    tables["agreement"] = [apart(3), apart(3, "torch", "tensorflow"), apart(9)]
    assert lines(tables, "differ on")[0].endswith("differ on 2 of 360 images.")


def test_a_disagreement_shows_probabilities_and_margins() -> None:
    tables = evaluation_rows.tables(crops=(1,)) | {"agreement": [apart(3)]}
    assert "torch 8 0.412500 (margin 1.2e-07); jax 3 0.412500 (margin 3.4e-08)" in printed(tables, 200)
    told = report(tables)
    assert "0.41250001 | 1.2e-07" in told and "0.41250003 | 3.4e-08" in told
    del tables["agreement"][0]["margin_a"]
    assert "torch 8 0.412500 (margin -)" in printed(tables, 200)


def test_the_first_disagreements_are_listed_and_the_others_counted() -> None:
    tables = evaluation_rows.tables(crops=(1,)) | {"agreement": [apart(image) for image in range(100, 145)]}
    for text, more in zip(
        both(tables), ("and 25 more in agreement.csv", "25 more rows in `agreement.csv`"), strict=True
    ):
        assert "digits/0119" in text and "digits/0120" not in text
        assert more in text


def test_the_worst_classes_are_those_of_the_most_views() -> None:
    tables = {"class-error": [*classes("torch", 1), *classes("torch", 10), *classes("jax", 10)]}
    tables["class-error"][12]["top1_error"] = 0.9
    said = "Worst classes (torch, 3f2a91c0, 10 crops): 2 90.00 %, 8 22.22 %, 6 16.67 %, 4 11.11 %"
    assert lines(tables, "classes") == [said]


def test_a_terminal_names_five_classes_and_a_report_twenty() -> None:
    tables = {
        "class-error": [
            row | {"class": n, "name": f"c{n:02}", "top1_error": 0.5} for n in range(23) for row in classes("torch")[:1]
        ]
    }
    text, told = both(tables)
    assert "c04" in text and "c05" not in text
    assert "c19" in told and "c20" not in told
    assert "3 more rows in `class-error.csv`" in told


def test_without_an_error_there_is_no_worst_class() -> None:
    rows = [row | {"top1_error": 0.0} for row in classes("torch")]
    for text in both({"class-error": rows}):
        assert "classes" not in text.lower()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "Nothing was scored."),
        (
            [score("jax")],
            "1 of 1 score measured; centre crop on digits val: top-1 error 3.00 %, top-5 0.30 %.",
        ),
        (
            [score("jax"), score("torch", top1_error=0.04)],
            (
                "2 of 2 scores measured; centre crop on digits val: top-1 error 3.00 to 4.00 %, top-5 0.30 %; "
                "the frameworks agree on every image."
            ),
        ),
        (
            [failed("jax", "missing", "no jax"), failed("torch", "not-finite", "NaN")],
            "0 of 2 scores measured; 1 missing; 1 with outputs that are no numbers.",
        ),
        ([score("jax"), imagenet(crops=1)], "2 of 2 scores measured."),
    ],
)
def test_the_last_line_says_what_was_measured(rows: list[Any], said: str) -> None:
    assert sentence({"evaluation": rows}) == said
    assert printed({"evaluation": rows}, 200).splitlines()[-1] == said


def test_a_score_measured_twice_counts_once_and_the_last_time() -> None:
    tables = {"evaluation": [failed("jax", "crashed", "killed"), score("jax")]}
    assert sentence(tables).startswith("1 of 1 score measured; centre crop")
    assert len(lines(tables, "3.00 (")) == 1


def test_outside_text_is_never_taken_for_markup_nor_obeyed() -> None:
    evil = "[red]x[/bold] \x1b[2J | `<b>` *y*"
    rows = [score("torch", data=evil), score("jax", data=evil), failed("mine", "crashed", f"{evil}\nsecond \x07line")]
    worst = [row | {"name": evil} for row in classes("torch")]
    tables = {"evaluation": rows, "agreement": [apart(1) | {"name": evil, "predicted_a": evil}], "class-error": worst}
    text = printed(tables, 300)
    assert "[red]x[/bold]" in text
    assert not {"\x1b", "\x07"} & set(text)
    told = report(tables)
    assert not {"\x1b", "\x07"} & set(told)
    assert " <b>" not in told


def test_many_failures_leave_the_summary_short() -> None:
    rows = [failed("jax", "crashed", "\n".join(map(str, range(50))), crops) for crops in range(1, 30)]
    assert "21 more in report.md" in printed({"evaluation": rows})
    assert "\n  49\n" in printed({"evaluation": rows}) and "\n  20\n" not in printed({"evaluation": rows})


def test_a_failure_has_the_command_that_shows_it_again() -> None:
    line = "alexbench evaluate --weights a.st b.st --data 'my digits' --crops 1,10 --out runs/a"
    rows = [failed("jax", "crashed", "killed") | {"file": "a.st"}]
    kept = "alexbench evaluate --weights a.st b.st --data 'my digits'"
    again = f"{kept} --frameworks jax --crops 1 --tuning tuned"
    assert f"again: `{again}`" in report({"evaluation": rows}, RUN | {"command_line": line})
    assert "again:" not in printed({"evaluation": rows}, 400, RUN | {"command_line": line})


def test_what_is_too_large_to_show_is_named() -> None:
    said = "are in predictions.parquet"
    assert said in report(evaluation_rows.tables(), RUN | {"files": ["predictions.parquet", "report.md"]})
    assert said not in report(evaluation_rows.tables(), RUN)


def test_a_run_broken_off_says_so() -> None:
    run = RUN | {"status": "interrupted"}
    assert "not finished (status interrupted)" in printed(evaluation_rows.tables(), run=run)
    assert "not finished" in report(evaluation_rows.tables(), run)


@pytest.mark.parametrize(
    ("names", "said"), [((), ""), (("a",), "a"), (("a", "b"), "a and b"), (("a", "b", "c"), "a, b and c")]
)
def test_names_are_enumerated(names: tuple[str, ...], said: str) -> None:
    assert enumerated(names) == said
