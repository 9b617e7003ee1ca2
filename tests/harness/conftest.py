"""Files that the frameworks themselves have made: each framework starts once for all the tests that read them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.environment import CHECKOUT

# Where one framework is tested alone, another's file format may have no library: its tests cannot be collected then.
LIBRARIES = {"exchange/test_exchange_keras.py": "h5py", "exchange/test_exchange_flax.py": "msgpack"}
REQUIRE_ALL = os.environ.get("ALEXBENCH_REQUIRE_ALL", "0") not in ("", "0")
collect_ignore = [
    file for file, library in LIBRARIES.items() if importlib.util.find_spec(library) is None and not REQUIRE_ALL
]
PROGRAMS = Path(__file__).resolve().parent / "exchange"


def made_by(program: str, folder: Path) -> Path:
    """The folder, after the program has put its files there."""
    environment = os.environ | {
        "PYTHONPATH": str(CHECKOUT), "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "",
        "KERAS_BACKEND": "tensorflow",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / program), str(folder)],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="session")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `exchange/keras_program.py` makes."""
    return made_by("keras_program.py", tmp_path_factory.mktemp("keras"))


@pytest.fixture(scope="session")
def flax_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `exchange/flax_program.py` makes."""
    return made_by("flax_program.py", tmp_path_factory.mktemp("flax"))
