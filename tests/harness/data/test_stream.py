"""The stream: a function of seed and step alone, by the recipe, over every image, the same for ever."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepared_in_memory import a_network, made

from harness.data import colours, draws
from harness.data.prepared import Prepared
from harness.data.preprocessing import Preprocessing
from harness.data.stream import Stream, colour_noise_in
from harness.errors import UsageError
from impls.protocol import Batch
from impls.spec import Change, Network

ROOT = Path(__file__).resolve().parents[3]


def a_stream(prepared: Prepared | None = None, network: Network | None = None, **options: Any) -> Stream:
    prepared, network = prepared or made(), network or a_network()
    settings = {"seed": 3, "batch_size": 4, **options}
    return Stream(prepared, network, Preprocessing.of(network, prepared), **settings)


def numbered(images: int, side: int = 8) -> Prepared:
    """Images whose every pixel is their number: a batch shows which it holds."""
    prepared = made(images, side)
    pixels = np.zeros_like(prepared.parts["train"].images)
    pixels[:] = np.arange(images, dtype=np.uint8)[:, None, None, None]
    return replace(prepared, parts={"train": replace(prepared.parts["train"], images=pixels)})


def chosen(batch: Batch) -> list[int]:
    return batch.images[:, 0, 0, 0].astype(int).tolist()


def same(one: Batch, other: Batch) -> bool:
    masks = one.masks.keys() == other.masks.keys()
    return (
        masks
        and np.array_equal(one.images, other.images)
        and np.array_equal(one.labels, other.labels)
        and all(np.array_equal(mask, other.masks[name]) for name, mask in one.masks.items())
    )


def digest(batch: Batch) -> str:
    found = hashlib.sha256(batch.images.astype("<f4").tobytes() + batch.labels.astype("<i8").tobytes())
    for name in sorted(batch.masks):
        found.update(name.encode() + batch.masks[name].astype("<f4").tobytes())
    return found.hexdigest()[:16]


def test_a_batch_has_the_shapes_that_training_takes() -> None:
    batch = a_stream().batch(0)
    assert batch.images.shape == (4, 8, 8, 3) and batch.images.dtype == np.float32
    assert batch.labels.shape == (4,)
    assert {name: mask.shape for name, mask in batch.masks.items()} == {"drop0": (4, 8, 8, 3), "drop1": (4, 5)}
    assert all(set(np.unique(mask)) == {0.0, 1.0} for mask in batch.masks.values())


def test_a_step_is_the_same_in_another_stream_in_another_order_and_in_threads() -> None:
    network = a_network(colour_noise="original-2012")
    steps = list(range(12))
    straight = [a_stream(network=network).batch(step) for step in steps]
    backwards = a_stream(network=network)
    assert all(same(straight[step], backwards.batch(step)) for step in reversed(steps))
    shared = a_stream(network=network)
    with ThreadPoolExecutor(4) as pool:
        assert all(itertools.starmap(same, zip(straight, pool.map(shared.batch, steps), strict=True)))


@pytest.mark.parametrize("other", [{"seed": 4}, {"step": 6}])
def test_another_seed_or_step_is_another_batch(other: dict[str, int]) -> None:
    here = a_stream().batch(5)
    there = a_stream(seed=other.get("seed", 3)).batch(other.get("step", 5))
    assert not np.array_equal(here.images, there.images)
    assert not any(np.array_equal(here.masks[name], there.masks[name]) for name in here.masks)


def test_every_epoch_shows_every_image_once_in_an_order_of_its_own() -> None:
    stream = a_stream(numbered(20), a_network(preprocessing="none"))
    assert stream.steps_per_epoch == 5
    epochs = [[image for step in range(5) for image in chosen(stream.batch(5 * epoch + step))] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_remainder_is_left_out_and_is_another_in_every_epoch() -> None:
    stream = a_stream(numbered(23), a_network(preprocessing="none"))
    assert stream.steps_per_epoch == 5
    left_out = []
    for epoch in range(30):
        shown = {image for step in range(5) for image in chosen(stream.batch(5 * epoch + step))}
        assert len(shown) == 20
        left_out.append(frozenset(range(23)) - shown)
    assert set().union(*left_out) == set(range(23))


def test_labels_stay_with_their_images() -> None:
    prepared = numbered(20)
    batch = a_stream(prepared, a_network(preprocessing="none")).batch(7)
    assert batch.labels.tolist() == prepared.parts["train"].labels[chosen(batch)].tolist()


def test_a_limit_trains_on_the_first_images_only() -> None:
    stream = a_stream(numbered(20), a_network(preprocessing="none"), limit=8)
    assert (stream.images, stream.steps_per_epoch) == (8, 2)
    assert {image for step in range(4) for image in chosen(stream.batch(step))} == set(range(8))
    assert a_stream(limit=1000).images == 20


def positions(stream: Stream, steps: int) -> np.ndarray:
    """Top, left and mirrored of every view [views, 3], read from images whose pixels tell where they are."""
    found = []
    for step in range(steps):
        for view in stream.batch(step).images:
            mirrored = view[0, 0, 1] > view[0, 1, 1]
            left = view[0, -1, 1] if mirrored else view[0, 0, 1]
            found.append((view[0, 0, 0], left, mirrored))
    return np.array(found, dtype=int)


def telling(side: int) -> Prepared:
    """Images whose pixels are (row, column, 0)."""
    prepared = made(64, side)
    rows, columns = np.indices((side, side), dtype=np.uint8)
    pixels = np.broadcast_to(np.stack([rows, columns, 0 * rows], axis=-1), (64, side, side, 3))
    return replace(prepared, parts={"train": replace(prepared.parts["train"], images=np.array(pixels))})


def test_all_2178_views_of_the_paper_are_drawn_and_equally_often() -> None:
    """256 - 224 = 32 pixels of room: 33 * 33 places, mirrored or not (section 4.1 counts 32 * 32 * 2 = 2048)."""
    # The same room around an input of 3.
    stream = a_stream(telling(35), a_network(3, preprocessing="none"), batch_size=64)
    found = positions(stream, 680)
    _, counts = np.unique(found, axis=0, return_counts=True)
    assert len(counts) == 33 * 33 * 2 == 2178
    assert found.min() == 0 and found[:, :2].max() == 32
    expected, freedom = len(found) / 2178, 2177
    assert ((counts - expected) ** 2 / expected).sum() < freedom + 3.09 * math.sqrt(2 * freedom)


def test_a_centre_crop_without_flips_is_always_the_same() -> None:
    stream = a_stream(telling(35), a_network(3, preprocessing="none", crop="centre", flip=False), batch_size=64)
    assert np.unique(positions(stream, 3), axis=0).tolist() == [[16, 16, 0]]


def test_flips_alone_mirror_half_of_the_images() -> None:
    stream = a_stream(telling(35), a_network(3, preprocessing="none", crop="centre"), batch_size=64)
    mirrored = positions(stream, 50)[:, 2]
    assert abs(mirrored.mean() - 0.5) < 4 * 0.5 / math.sqrt(len(mirrored))


@pytest.mark.parametrize(("kind", "shrinking"), [("paper", 1.0), ("original-2012", 1.1)])
def test_colour_noise_is_one_colour_for_each_image(kind: Any, shrinking: float) -> None:
    prepared = made()
    plain = a_stream(prepared, a_network()).batch(2)
    noisy = a_stream(prepared, a_network(colour_noise=kind)).batch(2)
    difference = noisy.images.astype(np.float64) * shrinking - plain.images
    normals = draws.normals(3, "colour", 2, 4 * 3).reshape(4, 3)
    expected = colours.noise(kind, prepared, 3, normals)
    assert np.abs(expected).max() > 0.5
    assert difference == pytest.approx(np.broadcast_to(expected[:, None, None, :], difference.shape), abs=1e-3)


def test_colour_noise_ends_at_the_epoch_the_recipe_says() -> None:
    changes = (Change(epoch=4, colour_noise="paper"), Change(epoch=2, colour_noise="none"), Change(epoch=3))
    network = a_network(colour_noise="original-2012", changes=changes)
    assert [colour_noise_in(network, epoch) for epoch in range(5)] == ["original-2012"] * 2 + ["none"] * 2 + ["paper"]
    noisy, plain = a_stream(network=network), a_stream()
    last_of_epoch_1, first_of_epoch_2 = 2 * noisy.steps_per_epoch - 1, 2 * noisy.steps_per_epoch
    assert not same(noisy.batch(last_of_epoch_1), plain.batch(last_of_epoch_1))
    assert same(noisy.batch(first_of_epoch_2), plain.batch(first_of_epoch_2))


def test_images_are_mapped_from_the_disk_and_give_the_same(tmp_path: Path) -> None:
    prepared = made()
    np.save(tmp_path / "images.npy", prepared.parts["train"].images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    on_disk = replace(prepared, parts={"train": replace(prepared.parts["train"], images=mapped)})
    assert same(a_stream(on_disk).batch(3), a_stream(prepared).batch(3))


def test_too_few_images_name_the_batch_size() -> None:
    with pytest.raises(UsageError, match="20 training images in made do not fill a batch of 21: pass --batch-size 20"):
        a_stream(batch_size=21)
    with pytest.raises(UsageError, match="3 training images in made do not fill a batch of 4"):
        a_stream(limit=3)
    with pytest.raises(UsageError, match="made has no training images"):
        a_stream(limit=0)
    with pytest.raises(UsageError, match="batch of 0"):
        a_stream(batch_size=0)


def test_images_smaller_than_the_input_name_the_side() -> None:
    with pytest.raises(UsageError, match=r"images of 12x12 .* --side 13 or more"):
        a_stream(network=a_network(13))


def test_a_label_that_the_network_has_no_class_for_is_refused() -> None:
    with pytest.raises(UsageError, match=r"label 3 .'class 3'., network 'small' has 3 classes"):
        a_stream(made(classes=4))


def test_data_without_a_training_part_are_refused() -> None:
    with pytest.raises(UsageError, match="no part 'train'"):
        a_stream(replace(made(), parts={}))


def test_a_preprocessing_of_other_data_is_refused() -> None:
    network = a_network()
    with pytest.raises(UsageError, match="mean image is of side 16"):
        Stream(made(), network, Preprocessing.of(network, made(side=16)), seed=0, batch_size=4)


GOLDEN = {
    "mean-image": "3ede7c113265ccc1",
    "mean-image-centre": "c30da745c7a12926",
    "mean-colour": "62e6e17c09e6952e",
    "mean-and-std": "2d8b4705570bdb94",
    "unit-scale": "896252a481f5dd58",
    "none": "76999aacb3628c76",
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_the_stream_is_what_it_has_always_been(kind: Any) -> None:
    """A change here makes every earlier run impossible to resume or to repeat."""
    stream = a_stream(network=a_network(preprocessing=kind, colour_noise="original-2012"))
    assert digest(stream.batch(11)) == GOLDEN[kind]


def test_it_needs_numpy_only() -> None:
    """Training runs in other interpreters too, which may have a framework and NumPy and nothing else."""
    code = "import harness.data.stream, harness.data.feed, sys, json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    others = {name.partition(".")[0] for name in json.loads(done.stdout)} - sys.stdlib_module_names
    assert not others & {"PIL", "pandas", "pyarrow", "click", "sklearn", "scipy", "torch", "tensorflow", "jax"}
