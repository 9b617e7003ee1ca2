"""The picture is drawn whatever the numbers are."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from parity_rows import FRAMEWORKS, LAYERS, passing, row

from reports.figures import error_by_layer as parity_plot


@pytest.fixture
def figure(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    seen: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *arguments: object, **settings: object) -> None:
        seen.append(self)
        save(self, *arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", keep)
    return seen


def test_every_framework_and_tuning_is_in_the_legend(figure: list[Figure], tmp_path: Path) -> None:
    parity_plot.draw(passing(), LAYERS, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    legend = figure[0].axes[0].get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[:2] == ["rounding gauge (1 σ)", "float32 NumPy"]
    assert labels[2:] == [f"{name} {tuning}" for name in sorted(FRAMEWORKS) for tuning in ("stock", "tuned")]
    assert figure[0].axes[0].get_yscale() == "log"


def test_layers_stand_in_the_networks_order(figure: list[Figure], tmp_path: Path) -> None:
    rows = [row("forward", "torch", name) for name in ("fc2", "conv1", "extra")]
    parity_plot.draw(rows, LAYERS, tmp_path / "p.png")
    assert [label.get_text() for label in figure[0].axes[0].get_xticklabels()] == ["conv1", "fc2", "extra"]


def test_the_curve_is_the_worst_relative_error_of_a_layers_cases(figure: list[Figure], tmp_path: Path) -> None:
    rows = [row("forward", "torch", "conv1", rms_error=error, reference_rms=4.0) for error in (1e-6, 8e-6, 2e-6)]
    parity_plot.draw(rows, ["conv1"], tmp_path / "p.png")
    [line] = [line for line in figure[0].axes[0].get_lines() if line.get_label() == "torch stock"]
    assert list(line.get_ydata()) == [2e-6]  # type: ignore[arg-type]


def test_no_point_stands_at_a_layer_that_was_not_measured(figure: list[Figure], tmp_path: Path) -> None:
    """The row of fc2 tells of norm1, which nobody returned."""
    rows = [
        {**row("forward", "mine", "fc2", rms_error=0.5), "layer": "norm1"},
        row("forward", "mine", "norm1", verdict="not-observed", rms_error=None, reference_rms=None),
    ]
    parity_plot.draw(rows, LAYERS, tmp_path / "p.png")
    assert [label.get_text() for label in figure[0].axes[0].get_xticklabels()] == ["fc2"]
    [line] = [line for line in figure[0].axes[0].get_lines() if line.get_label() == "mine stock"]
    assert list(line.get_ydata()) == [0.5]  # type: ignore[arg-type]


def test_the_foot_carries_the_signature_of_all_frameworks(figure: list[Figure], tmp_path: Path) -> None:
    parity_plot.draw(passing(), LAYERS, tmp_path / "p.png")
    said = [text.get_text().replace("\n", "") for text in figure[0].texts]
    assert "paper, float32" in said
    assert said[-1].startswith("alexbench:0.1.0|network:paper|weights:3f2a|seed:0|framework:torch-2.13.0,tensorflow-")


@pytest.mark.parametrize("error", [0.0, math.nan, math.inf])
def test_what_a_log_scale_cannot_show_is_still_drawn(error: float, figure: list[Figure], tmp_path: Path) -> None:
    parity_plot.draw([row("forward", "mine", "conv1", rms_error=error)], [], tmp_path / "p.png")
    edges = figure[0].axes[0].get_ylim()
    drawn = [y for line in figure[0].axes[0].get_lines() for y in list(line.get_ydata())]  # type: ignore[arg-type]
    assert edges[0 if error == 0 else 1] in drawn


def test_rows_without_a_reference_are_nothing_to_draw(tmp_path: Path) -> None:
    rows = [row("layer", "torch", "conv1"), row("forward", "torch", "conv1", reference_rms=None)]
    assert not parity_plot.drawable(rows)
    with pytest.raises(ValueError, match="nothing to draw"):
        parity_plot.draw(rows, LAYERS, tmp_path / "p.png")
