"""What a person would have at hand: a photograph, weights, a network of their own, other interpreters, a small disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from program import plain_network

from impls import catalog, weights

FRAMEWORK_PACKAGES = ("torch", "tensorflow", "jax", "flax", "keras", "functorch", "nvidia", "triton", "onnxruntime")

WriteImpl = Callable[..., Path]


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """[60, 80, 3] uint8."""
    coarse = np.random.default_rng(7).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((80, 60)))


@pytest.fixture(scope="session")
def photograph(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("photographs") / "one.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "cifar.safetensors"
    weights.write(catalog.get("cifar-4layer"), "scaled", 0, path)
    return path


@pytest.fixture
def mine(tmp_path: Path) -> WriteImpl:
    """Writes mine.py: the plain NumPy network with these lines at its end, or these lines alone."""

    def write(lines: str, *, alone: bool = False, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(lines if alone else plain_network(lines))
        return path

    return write


@pytest.fixture(scope="session")
def without_frameworks(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has everything this one has, but for the frameworks: a virtual environment of links."""
    root = tmp_path_factory.mktemp("without") / "venv"
    python = bare_environment(root)
    site = next(root.glob("lib*/python3*/site-packages"))
    for folder in map(Path, filter(None, sys.path)):
        if folder.name not in ("site-packages", "dist-packages") or not folder.is_dir():
            continue
        for entry in folder.iterdir():
            if not entry.name.lower().startswith((*FRAMEWORK_PACKAGES, "__pycache__")):
                link = site / entry.name
                if not link.exists():
                    link.symlink_to(entry)
    return python


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with the standard library and nothing else."""
    return bare_environment(tmp_path_factory.mktemp("bare") / "venv")


def bare_environment(root: Path) -> str:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    return str(root / "bin" / "python")


@pytest.fixture
def small_disk(tmp_path: Path) -> Callable[[int], Path | None]:
    """Mounts a disk of so many KiB where this process may; None where it may not."""
    mounted: list[Path] = []

    def mount(size_k: int) -> Path | None:
        if os.geteuid() != 0 or shutil.which("mount") is None:
            return None
        place = tmp_path / "disk"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_k}k", "tmpfs", str(place)], capture_output=True, check=False
        )
        if done.returncode:
            return None
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=False)
