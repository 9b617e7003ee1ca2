"""Jobs scored by workers: what they leave, one worker for all of a framework's jobs, and what a fallen one costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data.prepared import open_prepared
from harness.data.preprocessing import Preprocessing
from harness.data.views import test_views as views_of
from harness.errors import CannotMeasure, MeasuredWanting, UsageError, WorkerFailed
from harness.evaluation import metrics, run
from harness.evaluation.features import features
from harness.evaluation.job import Job, Scored, Unscored
from impls import catalog, weights
from impls.oracle import network as oracle

pytestmark = pytest.mark.usefixtures("plugins")

NETWORK = catalog.get("cifar-4layer")
MakeJob = Callable[..., Job]


def silent(text: str) -> None:
    """Nobody reads it."""


def reference(job: Job) -> np.ndarray:
    """Probabilities [images, classes] by the oracle in float64."""
    prepared, loaded = open_prepared(job.data), weights.load(job.weights, job.network)
    text = loaded.metadata.get("preprocessing")
    found = Preprocessing.of(job.network, prepared) if text is None else Preprocessing.from_text(text)
    views = views_of(prepared.part(job.part).images[: job.limit], job.network, found, job.crops)
    logits = oracle.forward(job.network, loaded.arrays, views.reshape(-1, 32, 32, 3))[job.network.logits]
    return metrics.averaged(logits.reshape(len(views), job.crops, -1))


@pytest.mark.parametrize(("crops", "batch_size"), [(1, 8), (10, 30), (10, 4), (1, 100)])
def test_probabilities_are_those_of_the_reference_whatever_the_batch(
    job: MakeJob, tmp_path: Path, crops: int, batch_size: int
) -> None:
    one = job(crops=crops, batch_size=batch_size)
    scored = run.score(one, tmp_path, silent)
    found = np.load(scored.probabilities, allow_pickle=False)
    assert found.dtype == np.float64 and found.shape == (23, 10)
    assert found == pytest.approx(reference(one), abs=1e-5)
    assert scored.version == np.__version__ and scored.seconds > 0
    assert scored.preprocessing == "mean-image, from the prepared folder"


def test_a_limit_scores_the_first_images_only(job: MakeJob, tmp_path: Path) -> None:
    found = np.load(run.score(job(limit=5), tmp_path, silent).probabilities)
    assert found == pytest.approx(reference(job())[:5], abs=1e-5)


def test_images_are_preprocessed_as_the_weights_file_says(job: MakeJob, tmp_path: Path) -> None:
    own = Preprocessing("mean-colour", 36, 3, np.array([[[90, 100, 110]]], np.float32))
    file = tmp_path / "trained.safetensors"
    weights.save(file, NETWORK.name, weights.load(job().weights, NETWORK).arrays, preprocessing=own.to_text())
    one = Job("numpy", NETWORK, file, job().data, tuning="stock")
    scored = run.score(one, tmp_path, silent)
    assert scored.preprocessing == "mean-colour, from the weights file"
    found = np.load(scored.probabilities)
    assert found == pytest.approx(reference(one), abs=1e-5)
    assert found != pytest.approx(reference(job()), abs=1e-3)


def test_one_worker_scores_all_jobs_of_a_framework_and_answers_come_in_the_order_asked(
    job: MakeJob, tmp_path: Path
) -> None:
    said: list[str] = []
    jobs = [job(file=file, crops=crops) for crops in (1, 10) for file in (0, 2)]
    scored = run.score_all(jobs, tmp_path, said.append)
    assert [one.job for one in scored] == jobs
    assert said.count("numpy: starting") == 1
    for one in scored:
        assert np.load(one.probabilities) == pytest.approx(reference(one.job), abs=1e-5)


def test_progress_counts_every_image_of_every_job(job: MakeJob, tmp_path: Path) -> None:
    counted: dict[int, int] = {}

    def advance(one: Job, images: int) -> None:
        counted[one.crops] = counted.get(one.crops, 0) + images

    assert len(list(run.results([job(), job(crops=10)], tmp_path, silent, advance))) == 2
    assert counted == {1: 23, 10: 23}


@pytest.mark.parametrize(
    ("framework", "status", "words"),
    [
        ("numpy-killed", "crashed", "SIGKILL"),
        ("numpy-raises", "crashed", "ArithmeticError: these weights are too much"),
    ],
)
def test_what_falls_costs_its_own_job_and_the_others_are_scored(
    job: MakeJob, tmp_path: Path, framework: str, status: str, words: str
) -> None:
    jobs = [job(framework, file) for file in range(3)]
    found = list(run.results(jobs, tmp_path, silent))
    first, fallen, last = found
    assert isinstance(fallen, Unscored) and fallen.status == status and words in fallen.reason
    assert fallen.job == jobs[1]
    for one in (first, last):
        assert isinstance(one, Scored)
        assert np.load(one.probabilities) == pytest.approx(reference(one.job), abs=1e-5)
    with pytest.raises(WorkerFailed, match=status):
        run.score_all(jobs, tmp_path, silent)


def test_not_a_number_is_found_wanting_and_leaves_no_probabilities(job: MakeJob, tmp_path: Path) -> None:
    (found,) = run.results([job("numpy-nan")], tmp_path, silent)
    assert isinstance(found, Unscored) and found.status == "not-finite"
    assert "images 0 to 7: 1 of 80 logits" in found.reason
    assert not list(tmp_path.glob("shared-*"))
    with pytest.raises(MeasuredWanting):
        run.score(job("numpy-nan"), tmp_path, silent)


def test_memory_that_is_not_there_is_said_so(job: MakeJob, tmp_path: Path) -> None:
    (found,) = run.results([job("numpy-memory")], tmp_path, silent)
    assert isinstance(found, Unscored) and found.status == "does-not-fit" and "9.9 TiB" in found.reason


def test_a_worker_that_hangs_is_ended(job: MakeJob, tmp_path: Path) -> None:
    (found,) = run.results([job("numpy-hangs", timeout_s=4.0)], tmp_path, silent)
    assert isinstance(found, Unscored) and found.status == "timed-out" and "--timeout" in found.reason


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"device": "cuda"}, "unsupported"), ({"precision": "bfloat16"}, "unsupported"), ({"python": "/no"}, "missing")],
)
def test_what_cannot_be_asked_of_a_framework_costs_all_its_jobs_once(
    job: MakeJob, tmp_path: Path, changes: dict[str, str], status: str
) -> None:
    found = list(run.results([job(**changes), job(crops=10, **changes)], tmp_path, silent))
    assert [one.status for one in found if isinstance(one, Unscored)] == [status, status]
    with pytest.raises(CannotMeasure):
        run.score(job(**changes), tmp_path, silent)


def test_features_are_a_layers_activations_for_the_centre_crop(job: MakeJob, tmp_path: Path) -> None:
    one = job()
    found = features(one, "pool3", [7, 0, 7], tmp_path)
    prepared, loaded = open_prepared(one.data), weights.load(one.weights, NETWORK)
    chosen = np.stack([prepared.part("val").images[index] for index in (7, 0, 7)])
    views = views_of(chosen, NETWORK, Preprocessing.of(NETWORK, prepared), 1)[:, 0]
    expected = oracle.forward(NETWORK, loaded.arrays, views)["pool3"].reshape(3, -1)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-2)
    assert not list(tmp_path.glob("features-*"))


def test_features_of_many_images_come_in_their_order(job: MakeJob, tmp_path: Path) -> None:
    one, order = job(), [*range(22, -1, -1)] * 2
    found = features(one, "fc4", order, tmp_path)
    alone = np.load(run.score(one, tmp_path, silent).probabilities)
    assert metrics.softmax(found) == pytest.approx(alone[order], abs=1e-6)


def test_features_of_what_is_not_there_are_refused(job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no layer 'fc9'; it has conv1"):
        features(job(), "fc9", [0], tmp_path)
    with pytest.raises(UsageError, match="no image 23: part val has 23"):
        features(job(), "fc4", [0, 23], tmp_path)
    with pytest.raises(UsageError, match="no images"):
        features(job(), "fc4", [], tmp_path)
