"""What a worker does, in this process, with the plug-in in NumPy."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import CannotMeasure
from harness.parity.miniature import MINIATURE
from harness.speed import inputs, tasks
from harness.speed.material import Material
from harness.speed.matrix import Setting
from harness.speed.options import SpeedOptions
from harness.speed.seat import task_settings
from impls import tensor_file
from impls.protocol import Batch, Settings

sys.path.append(str(Path(__file__).parent / "plugin"))
import numpy_speed

pytestmark = pytest.mark.usefixtures("miniature")


@pytest.fixture
def miniature(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known by its name, and large enough for no photograph: noise takes their place."""
    from harness.data import images
    from impls import catalog

    monkeypatch.setitem(catalog.NETWORKS, MINIATURE.name, MINIATURE)
    shape = (20, MINIATURE.height, MINIATURE.width, MINIATURE.channels)
    noise = np.round(np.random.default_rng(5).normal(0, 60, shape)).astype(np.float32)
    made = images.ParityImages(noise, ("noise",) * 20, (4, 14))
    monkeypatch.setattr(images, "parity_inputs", lambda paths, network: made)


def prepared(folder: Path, phase: str = "train-step", source: str = "synthetic", batch_size: int = 4) -> Any:
    setting = Setting(MINIATURE.name, "cpu", 1, "none", "float32", batch_size, source, phase)  # type: ignore[arg-type]
    options = SpeedOptions(networks=(MINIATURE.name,), batch_sizes=(batch_size,), recipe="scaled")
    return Material(options, folder).prepare(setting)


def through(runner: tasks.SpeedRunner, ready: Any, folder: Path) -> tuple[dict[str, Any], Any]:
    """Open, compile, first step: its fields, and the check's outcome."""
    runner.run({"do": "speed-open", **ready.open, **task_settings(Settings())})
    assert runner.run({"do": "speed-compile"}) == {"compile_s": None}  # NumPy compiles nothing
    fields = runner.run({"do": "speed-first", "output": str(folder / "first.out")})
    arrays = tensor_file.read(folder / "first.out").arrays
    return fields, ready.check.judge(arrays, fields.get("update_error_ulp"))


@pytest.mark.parametrize("phase", ["train-step", "forward-backward", "forward"])
@pytest.mark.parametrize("batch_size", [3, 4])
def test_a_right_framework_passes_its_check_and_is_timed(tmp_path: Path, phase: str, batch_size: int) -> None:
    runner, ready = tasks.SpeedRunner(numpy_speed.RIGHT), prepared(tmp_path, phase, batch_size=batch_size)
    fields, outcome = through(runner, ready, tmp_path)
    assert outcome.verdict == "pass", outcome.reason
    assert fields["first_step_s"] > 0
    loaded = runner.run({"do": "speed-load", **ready.load})
    times = runner.run({"do": "speed-block", "untimed": 1, "samples": 3, "steps": 2})["times"]
    assert len(times) == 3 and min(times) > 0
    closed = runner.run({"do": "speed-close"})
    assert np.isfinite([loaded["loss"], closed["loss"]]).all() and closed["peak_memory_mb"] > 10
    if phase == "train-step":
        assert closed["unchanged"] == closed["non_finite"] == []
        assert fields["update_error_ulp"] == 0


def test_a_wrong_gradient_is_caught_in_the_update_it_made(tmp_path: Path) -> None:
    _, outcome = through(tasks.SpeedRunner(numpy_speed.GRADIENT), prepared(tmp_path), tmp_path)
    assert outcome.verdict == "fail" and "gradient/conv1/weight" in outcome.reason


def test_a_disk_without_room_for_the_batch_is_one_line(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(CannotMeasure, match=r"cannot write a batch in .*: File too large"):
            prepared(tmp_path, "forward", batch_size=64)  # 1.7 MB
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def ready_weights(ready: Any) -> list[str]:
    return list(tensor_file.read(ready.open["weights"]).arrays)


def test_weights_that_stay_are_named(tmp_path: Path) -> None:
    runner, ready = tasks.SpeedRunner(numpy_speed.FROZEN), prepared(tmp_path)
    through(runner, ready, tmp_path)
    runner.run({"do": "speed-load", **ready.load})
    runner.run({"do": "speed-block", "untimed": 0, "samples": 1, "steps": 2})
    unchanged = runner.run({"do": "speed-close"})["unchanged"]
    assert unchanged == [name for name in ready_weights(ready) if name.endswith("/weight")]


@pytest.mark.parametrize("source", ["synthetic", "host", "file"])
def test_every_input_gives_batches_of_the_same_kind(tmp_path: Path, source: str) -> None:
    ready = prepared(tmp_path, source=source)
    pixels = np.load(ready.load["pixels"])
    batch = Batch(inputs.as_images(pixels), np.load(ready.load["labels"]), {})
    with inputs.made(source, batch, Path(ready.load["file"])) as feed:
        found = [feed.next() for _ in range(6)]
    if source == "synthetic":
        assert found == [None] * 6
        return
    shapes = {(some.images.shape, some.images.dtype.name, some.labels.shape) for some in found if some is not None}
    assert shapes == {(batch.images.shape, "float32", batch.labels.shape)}
    assert not np.array_equal(found[0].images, found[1].images)
    assert all(np.abs(some.images).max() <= 127.5 for some in found)


def test_the_files_thread_ends_with_the_loop(tmp_path: Path) -> None:
    ready = prepared(tmp_path, source="file")
    pixels = np.load(ready.load["file"], mmap_mode="r")
    with inputs.File(pixels, np.zeros(len(pixels), np.int64), 4) as feed:
        thread = feed._thread
        time.sleep(0.05)
    assert not thread.is_alive()


def test_what_the_files_thread_meets_reaches_the_step(tmp_path: Path) -> None:
    pixels = np.zeros((3, 40, 40, 3), np.uint8)
    with inputs.File(pixels, np.zeros(1, np.int64), 2) as feed, pytest.raises(IndexError):
        feed.next()


def test_crops_are_parts_of_the_file_and_the_same_each_time(tmp_path: Path) -> None:
    side, margin = 5, inputs.MARGIN
    pixels = np.random.default_rng(1).integers(0, 256, (3, side + margin, side + margin, 3), np.uint8)
    labels = np.arange(3)
    first, again = (next(inputs.crops(pixels, labels, 2)) for _ in range(2))
    assert np.array_equal(first.images, again.images) and list(first.labels) == [0, 1]
    windows = np.lib.stride_tricks.sliding_window_view(pixels[0], (side, side), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    both = [inputs.as_images(np.ascontiguousarray(view)) for view in (windows, windows[..., ::-1, :])]
    assert any((view == first.images[0]).all(axis=(-1, -2, -3)).any() for view in both)


@pytest.mark.parametrize("backward", [True, False])
def test_a_layer_is_timed_by_itself(tmp_path: Path, backward: bool) -> None:
    from impls.spec_json import layer_to_json

    runner, ready = tasks.SpeedRunner(numpy_speed.RIGHT), prepared(tmp_path)
    for layer in MINIATURE.layers:
        opened = {name: ready.open[name] for name in ("network", "weights", "batch_size")}
        task = {"name": "it", "layer": layer_to_json(layer), "backward": backward, "of_input": True}
        task |= task_settings(Settings())
        assert runner.run({"do": "speed-layer", **opened, **task})["once"] > 0
        assert len(runner.run({"do": "speed-layer-block", "name": "it", "samples": 2, "steps": 1})["times"]) == 2
    runner.run({"do": "speed-forget"})
