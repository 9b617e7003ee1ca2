"""What prepared data hold, in lines for a person: parts, classes with their counts, what was left out and why."""

from __future__ import annotations

import numpy as np

from harness.data.prepared import Prepared

MOST_CLASSES = 20  # that are named


def lines(prepared: Prepared) -> list[str]:
    """The same wherever data are opened: by prepare, train and evaluate."""
    return [_parts(prepared), _classes(prepared), *map(_visible, prepared.notes), *left_out(prepared)]


def _parts(prepared: Prepared) -> str:
    found = []
    for name, part in prepared.parts.items():
        folder = prepared.folders.get(name)
        found.append(f"{name} {len(part):,} images{f' of {_visible(folder)}/' if folder not in (None, '.') else ''}")
    return f"{_visible(prepared.source)}: {', '.join(found)}; {len(prepared.classes):,} classes"


def _classes(prepared: Prepared) -> str:
    """Every class with its images in each part; of many, the first, and how few and how many the others have."""
    count = len(prepared.classes)
    counts = {name: np.bincount(part.labels, minlength=count) for name, part in prepared.parts.items()}
    shown = [
        f"{_visible(name)} ({', '.join(f'{images[label]:,} {part}' for part, images in counts.items())})"
        for label, name in enumerate(prepared.classes[:MOST_CLASSES])
    ]
    if count > MOST_CLASSES:
        ranges = ", ".join(f"{images.min():,} to {images.max():,} {part}" for part, images in counts.items())
        shown.append(f"and {count - MOST_CLASSES:,} more; a class has {ranges}")
    return f"classes: {', '.join(shown)}"


def left_out(prepared: Prepared) -> list[str]:
    """How many files were left out, where they are listed, and that nothing else was found."""
    where = f", listed in {prepared.path / 'skipped.csv'}" if prepared.reasons or prepared.skipped else ""
    found = [f"left out: {prepared.skipped:,}{where}"]
    if prepared.folders:
        images = sum(map(len, prepared.parts.values()))
        reasons = "; ".join(f"{files:,}: {_visible(why)}" for why, files in prepared.reasons.items() if files)
        found.append(
            f"files found: {images + prepared.skipped:,} = {images:,} images + {prepared.skipped:,} left out"
            f"{f' ({reasons})' if reasons else ''}"
        )
    return found


def _visible(text: str) -> str:
    """Names of folders come from outside: what would move a terminal's cursor is spelt out."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
