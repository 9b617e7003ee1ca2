"""Made-up tables of a run of `alexbench paper`, as the harness would hand them over."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

RUN: Row = {
    "alexbench": "0.1.0",
    "command": "paper",
    "status": "complete",
    "started": "2030-01-02T03:04:05.000Z",
    "signature": "alexbench:0.1.0|network:paper",
    "arguments": {"ablations": True},
    "failures": [],
    "files": ["figure3-torch-best.png", "figure4-top5-torch-best.png", "other.png", "../figure3-x.png"],
}
DIGITS = "alexbench:0.1.0|network:miniature|framework:torch-2.13.0|data:9a8b"


def claim(verdict: str, name: str, paper: str, ours: str | None = None, **changes: Any) -> Row:
    row = dict.fromkeys(("source", "low", "high", "on", "command", "note"))
    signed = "alexbench:0.1.0|network:paper" if ours else None
    given = {"section": "3.5", "claim": name, "paper": paper, "ours": ours, "verdict": verdict, "signature": signed}
    return {**row, **given, **changes}


def ledger() -> list[Row]:
    return [
        claim("holds", "parameters", "60 million", "60,965,224", section="abstract"),
        claim("holds", "neurons", "650,000", "659,272", section="abstract"),
        claim(
            "contradicted", "neurons of the first hidden layer", "253,440", "290,400", source="figure 2",
            note="55 x 55 x 96; 253,440 would be 55 x 48 x 96",
        ),
        claim(
            "measured", "what the error becomes without local response normalisation", "+1.4 / +1.2 points",
            "-0.30 ± 0.50 points, n = 5 seeds", low=-0.008, high=0.002, on="digits, miniature in torch, 8 epochs",
            note="no difference is shown", signature=DIGITS, section="3.3", command="alexbench paper --ablations",
        ),
        claim(
            "needs ImageNet", "top-1 / top-5 error of CNN, ILSVRC-2010 test, 10 crops", "37.5 / 17.0 %", section="6",
            command="alexbench train --network paper --data imagenet:PATH --out RUN; then alexbench evaluate",
        ),
        claim("needs CIFAR-10", "epochs until 25 % training error", "6 times", section="3.1"),
    ]  # fmt: skip


def published(*, given: bool = True, comparable: bool = False) -> list[Row]:
    """Table 1 with the user's score beside its last row, or without one."""
    ours: Row = {
        "ours_top1": 0.025, "ours_low1": 0.015, "ours_high1": 0.045, "ours_top5": 0.0025, "ours_low5": 0.001,
        "ours_high5": 0.005, "data": "ILSVRC-2010 test" if comparable else "digits val",
        "comparable": "yes" if comparable else "no", "run": "miniature, weights 3f2a, in torch", "signature": DIGITS,
        "note": "" if comparable else "the data differ: 355 images of digits val, not ILSVRC-2010 test",
    }  # fmt: skip
    cnn = {"table": "Table 1", "model": "CNN, ILSVRC-2010 test", "paper_top1": 0.375, "paper_top5": 0.17}
    return [
        {
            "table": "Table 1", "model": "Sparse coding, ILSVRC-2010 test", "paper_top1": 0.471, "paper_top5": 0.282,
            "note": "another group's model",
        },
        cnn | (ours if given else {"note": "no evaluation like it"}),
        {"table": "Table 2", "model": "SIFT + FVs, ILSVRC-2012 test", "paper_top5": 0.262},
    ]  # fmt: skip


def ablation(name: str, *differences: float) -> list[Row]:
    return [
        {
            "ablation": name,
            "variant": name,
            "seed": seed,
            "baseline_error": 0.05,
            "variant_error": 0.05 + difference,
            "difference": difference,
            "epochs": 8,
            "data": "digits",
            "signature": DIGITS,
            "framework": "torch",
            "network": "miniature",
        }
        for seed, difference in enumerate(differences)
    ]


def errors(variant: str, seed: int = 0, halving: float = 2.0, epochs: int = 12, **changes: Any) -> list[Row]:
    """A training error that halves every so many epochs."""
    return [
        {
            "framework": "torch",
            "variant": variant,
            "seed": seed,
            "epoch": epoch,
            "training_error": 0.9 * 0.5 ** (epoch / halving) + 0.001 * seed,
            "network": "miniature",
            "data": "digits",
            "signature": DIGITS,
        }
        | changes
        for epoch in range(1, epochs + 1)
    ]


def tables() -> dict[str, list[Row]]:
    return {
        "ledger": ledger(),
        "published": published(),
        "ablation": [*ablation("no-lrn", -0.003, 0.001, -0.005), *ablation("tanh", 0.04, 0.05, 0.045)],
        "training-error": [row for seed in range(2) for row in errors("relu", seed) + errors("tanh", seed, 6.0)],
    }
