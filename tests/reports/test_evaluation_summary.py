"""The summary of an evaluation: intervals with every error, comparisons only where they are fair, who agrees."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import evaluation_rows
import pytest
from evaluation_rows import RUN, apart, classes, failed, imagenet, score
from rich.console import Console

from reports import evaluation_markdown, evaluation_summary
from reports.summaries.evaluation import called, comparison, digest, enumerated, harmony

GOLDEN = Path(__file__).parent / "golden"


def printed(tables: dict[str, Any], width: int = 80, run: Any = RUN, **settings: Any) -> str:
    file = io.StringIO()
    evaluation_summary.show(tables, run, Console(file=file, width=width, **settings))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


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
    assert evaluation_markdown.markdown(mixed(), RUN, {}) == (GOLDEN / "evaluation-report.md").read_text()


def test_every_error_has_its_interval_and_its_signature() -> None:
    tables = evaluation_rows.tables()
    report = evaluation_markdown.markdown(tables, RUN, {})
    for row in tables["evaluation"]:
        assert f"`{row['signature']}`" in report
    assert report.count("3.00 (2.00 to 5.00)") == 3
    assert report.count("2.50 (1.50 to 4.50)") == 3


def test_a_published_figure_stands_beside_ours_only_where_the_images_are_the_same() -> None:
    other = imagenet(comparable="no", data="digits", images=360)
    for rows, seen in (([imagenet()], True), ([other], False)):
        assert ("40.70 / 18.20" in printed({"evaluation": rows}, 120)) is seen
        assert ("published 40.70 %" in printed({"evaluation": rows}, 80)) is seen
        assert ("40.70 / 18.20" in evaluation_markdown.markdown({"evaluation": rows}, RUN, {})) is seen
    [panel] = digest({"evaluation": [other]}).panels
    published = "the errors published of the network paper are of ImageNet"
    assert comparison(panel) == [f"Not comparable: {published}, these are of 360 images of digits val."]


def test_a_share_of_imagenet_is_not_the_whole() -> None:
    [panel] = digest({"evaluation": [imagenet(comparable="no", images=500)]}).panels
    [said] = comparison(panel)
    assert "are of the whole of a part of ImageNet, these are of 500 images of imagenet-2012 val" in said


def test_a_network_nobody_published_is_said_to_be_one() -> None:
    [panel] = digest({"evaluation": [score("torch")]}).panels
    assert comparison(panel) == ["No error is published of the network cifar-4layer on digits val."]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.40, 0.42, "inside our interval"), (0.408, 0.42, "outside our interval"), (None, None, "+0.31 points)")],
)
def test_a_comparison_says_whether_the_figure_is_in_our_interval(
    low: float | None, high: float | None, said: str
) -> None:
    [panel] = digest({"evaluation": [imagenet(top1_low=low, top1_high=high)]}).panels
    assert said in comparison(panel)[0].split(";")[0]


def test_views_that_are_the_same_are_said_to_be() -> None:
    tables = {"evaluation": [score("torch", 10, differing_views=2), score("jax", 10, differing_views=2)]}
    for text in (printed(tables, 200), evaluation_markdown.markdown(tables, RUN, {})):
        assert text.count("Of the 10 views only 2 differ") == 1
    assert "views only" not in printed(evaluation_rows.tables(), 200)


def test_frameworks_that_agree_are_said_to() -> None:
    found = digest(evaluation_rows.tables())
    assert [one.sentence for one in found.agreements] == [
        "3f2a91c0, centre crop: jax, tensorflow and torch agree on every one of 360 images.",
        "3f2a91c0, 10 crops: jax, tensorflow and torch agree on every one of 360 images.",
    ]
    assert found.sentence.endswith("the frameworks agree on every image.")


def test_frameworks_that_agree_with_all_weights_and_crops_say_so_once() -> None:
    tables = evaluation_rows.tables()
    said = "jax, tensorflow and torch agree on every one of 360 images, in all settings of weights and crops."
    assert harmony(digest(tables).agreements) == [said]
    for text in (printed(tables, 200), evaluation_markdown.markdown(tables, RUN, {})):
        assert text.count("agree on every one of") == 1
    tables["evaluation"] += [score(name, 1, "77aa") for name in evaluation_rows.FRAMEWORKS]
    found = digest(tables | {"agreement": [apart(7)]})
    assert harmony(found.agreements) == [said.replace("all settings", "2 of 3 settings")]


def test_every_hash_is_told_its_file_by_no_more_than_tells_files_apart() -> None:
    assert called([("3f2a", "/runs/a/torch-best.safetensors")]) == ["3f2a is torch-best.safetensors"]
    files = [("3f2a", "/runs/a/torch-best.safetensors"), ("77aa", "/runs/b/torch-best.safetensors")]
    assert called(files) == ["3f2a is a/torch-best.safetensors", "77aa is b/torch-best.safetensors"]
    assert called([]) == []
    tables = {
        "evaluation": [score("torch"), failed("torch", "crashed", "gone", 10) | {"weights": "77aa", "file": "b.st"}]
    }
    for text in (printed(tables), evaluation_markdown.markdown(tables, RUN, {})):
        assert "torch-best.safetensors" in text and "b.st" in text


def test_weights_stand_in_the_order_they_were_given() -> None:
    rows = [score(name, crops, weights) for name in ("torch", "jax") for weights in ("ff", "aa") for crops in (1, 10)]
    [panel] = digest({"evaluation": [score("torch", 1, "ensemble of 2"), *rows]}).panels
    assert list(dict.fromkeys(row["weights"] for row in panel.rows)) == ["ff", "aa", "ensemble of 2"]


def test_where_all_does_not_fit_the_errors_keep_their_line() -> None:
    wide = {"top1_error": 0.9014, "top1_low": 0.866, "top1_high": 0.9283, "top5_error": 0.5127, "top5_low": 0.4608}
    tables = {"evaluation": [score("tensorflow", 1, "277c7f7c99d2", **wide, top5_high=0.5643)]}
    assert "90.14 (86.60 to 92.83) 51.27 (46.08 to 56.43)" in printed(tables)
    assert "images/s" not in printed(tables) and "images/s" in printed(tables, 200)


def test_one_framework_alone_agrees_with_nobody() -> None:
    found = digest(evaluation_rows.tables(("torch",)))
    assert not found.agreements
    assert "agree" not in found.sentence


def test_an_image_on_which_three_differ_counts_once() -> None:
    tables = evaluation_rows.tables(crops=(1,))
    tables["agreement"] = [apart(3), apart(3, "torch", "tensorflow"), apart(9)]
    assert "differ on 2 of 360 images" in digest(tables).agreements[0].sentence


def test_a_disagreement_shows_probabilities_and_margins() -> None:
    tables = evaluation_rows.tables(crops=(1,)) | {"agreement": [apart(3)]}
    assert "torch 8 0.412500 (margin 1.2e-07); jax 3 0.412500 (margin 3.4e-08)" in printed(tables, 200)
    report = evaluation_markdown.markdown(tables, RUN, {})
    assert "0.41250001 | 1.2e-07" in report and "0.41250003 | 3.4e-08" in report
    del tables["agreement"][0]["margin_a"]
    assert "torch 8 0.412500 (margin -)" in printed(tables, 200)


def test_the_first_disagreements_are_listed_and_the_others_counted() -> None:
    tables = evaluation_rows.tables(crops=(1,)) | {"agreement": [apart(image) for image in range(100, 145)]}
    for text in (printed(tables), evaluation_markdown.markdown(tables, RUN, {})):
        assert "digits/0119" in text and "digits/0120" not in text
        assert "nd 25 more in" in text


def test_the_worst_classes_are_those_of_the_most_views() -> None:
    tables = {"class-error": [*classes("torch", 1), *classes("torch", 10), *classes("jax", 10)]}
    tables["class-error"][12]["top1_error"] = 0.9
    [worst] = digest(tables).worst
    assert (worst.framework, worst.crops) == ("torch", "10")
    assert [row["name"] for row in worst.rows] == ["2", "8", "6", "4"]
    said = evaluation_summary.worst_classes(worst)
    assert said == "Worst classes (torch, 3f2a91c0, 10 crops): 2 90.00 %, 8 22.22 %, 6 16.67 %, 4 11.11 %"


def test_without_an_error_there_is_no_worst_class() -> None:
    rows = [row | {"top1_error": 0.0} for row in classes("torch")]
    [worst] = digest({"class-error": rows}).worst
    assert not evaluation_summary.worst_classes(worst)
    assert "Classes" not in evaluation_markdown.markdown({"class-error": rows}, RUN, {})


@pytest.mark.parametrize(
    ("rows", "sentence"),
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
def test_the_last_line_says_what_was_measured(rows: list[Any], sentence: str) -> None:
    assert digest({"evaluation": rows}).sentence == sentence
    assert printed({"evaluation": rows}, 200).splitlines()[-1] == sentence


def test_a_score_measured_twice_counts_once_and_the_last_time() -> None:
    found = digest({"evaluation": [failed("jax", "crashed", "killed"), score("jax")]})
    assert not found.failures
    assert len(found.panels[0].rows) == 1


def test_outside_text_is_never_taken_for_markup_nor_obeyed() -> None:
    evil = "[red]x[/bold] \x1b[2J | `<b>` *y*"
    rows = [score("torch", data=evil), score("jax", data=evil), failed("mine", "crashed", f"{evil}\nsecond \x07line")]
    worst = [row | {"name": evil} for row in classes("torch")]
    tables = {"evaluation": rows, "agreement": [apart(1) | {"name": evil, "predicted_a": evil}], "class-error": worst}
    text = printed(tables, 300)
    assert "[red]x[/bold]" in text
    assert not {"\x1b", "\x07"} & set(text)
    report = evaluation_markdown.markdown(tables, RUN, {})
    assert not {"\x1b", "\x07"} & set(report)
    assert " <b>" not in report


def test_many_failures_leave_the_summary_short() -> None:
    rows = [failed("jax", "crashed", "\n".join(map(str, range(50))), crops) for crops in range(1, 30)]
    assert "21 more without a score" in printed({"evaluation": rows})
    assert "\n  49\n" in printed({"evaluation": rows}) and "\n  20\n" not in printed({"evaluation": rows})


def test_a_run_broken_off_says_so() -> None:
    run = RUN | {"status": "interrupted"}
    assert "not finished (status interrupted)" in printed(evaluation_rows.tables(), run=run)
    assert "not finished" in evaluation_markdown.markdown(evaluation_rows.tables(), run, {})


@pytest.mark.parametrize(
    ("names", "said"), [((), ""), (("a",), "a"), (("a", "b"), "a and b"), (("a", "b", "c"), "a, b and c")]
)
def test_names_are_enumerated(names: tuple[str, ...], said: str) -> None:
    assert enumerated(names) == said
