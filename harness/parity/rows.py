"""Findings as rows of the `parity` table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from harness import environment
from harness.parity.finding import Finding

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose row it is."""

    framework: str
    version: str
    device: str
    precision: str
    network: str
    weights_hash: str
    seed: int

    def signature(self, tuning: str, split: str = "") -> str:
        """What must stand beside a figure."""
        version = f"{self.framework}-{self.version}" if self.version else self.framework
        return environment.signature(
            network=self.network,
            weights=self.weights_hash[:12],
            seed=self.seed,
            framework=version or None,
            device=self.device,
            precision=self.precision,
            tuning=tuning or None,
            split=split or None,
        )


def row(finding: Finding, tuning: str, origin: Origin) -> Row:
    """One finding as a row."""
    judgement, errors = finding.judgement, finding.judgement.errors
    found: Row = {
        "level": finding.level,
        "case": finding.case,
        "tensor": finding.tensor,
        "framework": origin.framework,
        "device": origin.device,
        "precision": origin.precision,
        "ties": finding.ties,
        "baseline_ratio": judgement.baseline_ratio,
        "verdict": judgement.verdict,
        "reason": judgement.reason,
        "signature": origin.signature(tuning, finding.split),
        "tuning": tuning,
        "layer": finding.layer,
        "cause": finding.cause,
        "baseline_rms": finding.baseline_rms,
        "gauge_rms": finding.gauge_rms,
    }
    if errors is not None:
        found |= {
            "elements": errors.elements,
            "max_abs_error": errors.max_abs_error,
            "rms_error": errors.rms_error,
            "max_ulp": errors.max_ulp,
            "gauge_ratio": None if math.isnan(errors.gauge_ratio) else errors.gauge_ratio,
            "zeros": errors.zeros,
            "reference_rms": errors.reference_rms,
        }
    return found
