"""Runs of `alexbench evaluate`: what they leave, what they refuse, and what a framework that fails costs."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from evaluate_program import evaluate, table, under_way
from program import Done, alexbench, complaint, is_plain, run_json, told, wait_until, workers_of

from harness import cli_exit
from harness.cli import cli
from impls import catalog, registry, weights

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="workers are found through /proc")

NETWORK = catalog.get("cifar-4layer")
Run = Callable[..., Done]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three networks, the second with the mark that some plug-ins' faults look for, and the first once more."""
    folder, made = tmp_path_factory.mktemp("networks"), []
    for name, seed in (("a", 0), ("b", 1), ("c", 2), ("a-again", 0)):
        arrays = weights.generate(NETWORK, "scaled", seed)
        if seed == 1:
            arrays["fc4/bias"][0] = 0.5
        made.append(folder / f"{name}.safetensors")
        weights.save(made[-1], NETWORK.name, arrays)
    return made


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def run(out: Path, tmp_path: Path, cache: Path) -> Run:
    def of(*arguments: object, **options: object) -> Done:
        given = ("--data", "digits") if "--data" not in arguments else ()
        settings = {"out": out, "plugins": tmp_path / "plugins", "cache": cache, **options}
        return evaluate(*arguments, *given, **settings)  # type: ignore[arg-type]

    return of


def test_a_run_leaves_scores_classes_predictions_and_a_report(run: Run, out: Path, files: list[Path]) -> None:
    done = run("--weights", files[0], files[2], "--frameworks", "numpy", "--limit", 30)
    assert done.returncode == 0, told(done)
    rows = table(out)
    assert [(row["weights"], row["crops"], row["networks"]) for row in rows if row["networks"] == "2"] == [
        ("ensemble of 2", "1", "2"),
        ("ensemble of 2", "10", "2"),
    ]
    assert len(rows) == 6 and {row["status"] for row in rows} == {"measured"}
    for row in rows:
        low, error, high = (float(row[f"top1_{name}"]) for name in ("low", "error", "high"))
        assert 0 <= low <= error <= high <= 1
        assert float(row["top5_error"]) <= error
        assert (row["images"], row["data"], row["part"], row["comparable"]) == ("30", "digits", "val", "no")
        assert f"|crops:{row['crops']}" in row["signature"] and "|images:30|" in row["signature"]
        assert row["differing_views"] == {"1": "1", "10": "2"}[row["crops"]]  # a digit is as large as the input
    kept = pq.read_table(out / "predictions.parquet").to_pandas()
    assert len(kept) == 6 * 30
    classes = table(out, "class-error")
    for row in rows:
        own = kept[(kept.weights == row["weights"]) & (kept.crops == int(row["crops"]))]
        assert 1 - own.top1_credit.mean() == pytest.approx(float(row["top1_error"]))
        of_classes = [one for one in classes if (one["weights"], one["crops"]) == (row["weights"], row["crops"])]
        wrong = sum(int(one["images"]) * float(one["top5_error"]) for one in of_classes)
        assert wrong / 30 == pytest.approx(float(row["top5_error"]))
    facts = run_json(out)
    assert facts["status"] == "complete" and facts["data"]["source"] == "digits" and not facts["failures"]
    assert {"predictions.parquet", "report.md", "evaluation.csv"} <= set(facts["files"])
    assert is_plain(done.stdout) and "ensemble of 2" in done.stdout
    assert "ensemble of 2" in (out / "report.md").read_text()


def test_the_same_weights_are_scored_once_and_no_ensemble_of_one(run: Run, out: Path, files: list[Path]) -> None:
    done = run("--weights", files[0], files[3], "--frameworks", "numpy", "--limit", 5, "--crops", 1)
    assert done.returncode == 0
    assert "a-again.safetensors holds the same weights as" in done.stderr
    assert len(table(out)) == 1


def test_no_ensemble_where_none_is_wanted(run: Run, out: Path, files: list[Path]) -> None:
    given = ("--weights", files[0], "--weights", files[2], "--no-ensemble", "--limit", 5, "--crops", 1)
    assert run(*given, "--frameworks", "numpy").returncode == 0
    assert [row["file"] for row in table(out)] == [str(files[0]), str(files[2])]


def test_frameworks_that_part_are_listed_with_both_probabilities(run: Run, out: Path, files: list[Path]) -> None:
    done = run("--weights", files[0], "--frameworks", "numpy,numpy-sign", "--limit", 20, "--crops", 1)
    assert done.returncode == 0
    rows = table(out, "agreement")
    assert len(rows) == 20  # what is most probable in one is least in the other
    for row in rows:
        assert (row["framework_a"], row["framework_b"]) == ("numpy", "numpy-sign")
        assert row["predicted_a"] != row["predicted_b"] and 0 < float(row["margin_a"]) < 1
    assert "numpy and numpy-sign differ on 20 of 20 images" in told(done)


def test_a_framework_that_fails_leaves_the_others_and_decides_the_exit_code(
    run: Run, out: Path, files: list[Path]
) -> None:
    given = ("--weights", files[0], files[1], "--limit", 12, "--crops", 1)
    done = run(*given, "--frameworks", "numpy-killed,numpy")
    assert done.returncode == 4, told(done)
    assert {row["weights"][:8]: row["status"] for row in table(out, framework="numpy")} == {
        row["weights"][:8]: "measured" for row in table(out, framework="numpy")
    }
    first, second, ensemble = table(out, framework="numpy-killed")
    assert (first["status"], second["status"], ensemble["status"]) == ("measured", "crashed", "crashed")
    assert "SIGKILL" in second["reason"] and "1 of its networks" in ensemble["reason"]
    assert not second["top1_error"] and not ensemble["top5_error"]
    assert len(run_json(out)["failures"]) == 2
    assert len(pq.read_table(out / "predictions.parquet")) == 4 * 12


@pytest.mark.parametrize(
    ("frameworks", "code", "status"),
    [
        ("numpy-nan", 1, "not-finite"),
        ("numpy-memory", 3, "does-not-fit"),
        ("numpy-nan,numpy-raises", 1, "not-finite"),
    ],
)
def test_the_exit_code_says_what_kept_a_score_from_being(
    run: Run, out: Path, files: list[Path], frameworks: str, code: int, status: str
) -> None:
    done = run("--weights", files[1], "--frameworks", frameworks, "--limit", 12, "--crops", 1)
    assert done.returncode == code, told(done)
    assert table(out)[0]["status"] == status
    assert not (out / "predictions.parquet").exists()


def test_an_interrupt_keeps_what_was_scored(out: Path, tmp_path: Path, cache: Path, files: list[Path]) -> None:
    given = ("--weights", files[0], "--data", "digits", "--frameworks", "numpy,numpy-slow", "--limit", 40)
    more = {"out": out, "plugins": tmp_path / "plugins", "cache": cache}
    with under_way(*given, "--crops", 1, "--batch-size", 2, **more) as process:
        wait_until((out / ".rows-evaluation.jsonl").exists)
        wait_until(lambda: workers_of(out))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert [row["framework"] for row in table(out)] == ["numpy"]
    assert run_json(out)["status"] == "interrupted"
    assert len(pq.read_table(out / "predictions.parquet")) == 40
    assert not workers_of(out) and not list(out.glob(".work-*"))


def test_a_later_run_in_the_same_folder_removes_the_predictions_of_the_earlier(
    run: Run, out: Path, files: list[Path]
) -> None:
    given = ("--weights", files[1], "--limit", 4, "--crops", 1)
    assert run(*given, "--frameworks", "numpy").returncode == 0
    assert (out / "predictions.parquet").exists()
    refused = run(*given, "--frameworks", "numpy-raises")
    assert refused.returncode == 2 and (out / "predictions.parquet").exists()
    assert run(*given, "--frameworks", "numpy-raises", "--overwrite").returncode == 4
    assert not (out / "predictions.parquet").exists()


def bad_preprocessing(folder: Path) -> Path:
    path = folder / "bad.safetensors"
    weights.save(path, NETWORK.name, weights.generate(NETWORK, "scaled", 0), preprocessing='{"kind": "none"}')
    return path


def of_the_paper(folder: Path) -> Path:
    """Weights too small to be any network's."""
    path = folder / "paper.safetensors"
    weights.save(path, "paper", weights.generate(NETWORK, "scaled", 0))
    return path


def test_what_cannot_be_is_refused_in_one_line_before_anything_is_scored(
    tmp_path: Path,
    cache: Path,
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ALEXBENCH_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.safetensors").write_text("no weights")
    with_weights = ("--weights", files[0], "--data", "digits")
    cases: list[tuple[tuple[object, ...], int, str]] = [
        (("--data", "digits"), 2, "no weights given"),
        ((files[0], "--data", "digits"), 2, "files are given with --weights"),
        (("--weights", tmp_path / "none", "--data", "digits"), 2, "No such file"),
        (("--weights", tmp_path / "text.safetensors", "--data", "digits"), 2, "not a safetensors file"),
        (("--weights", of_the_paper(tmp_path), "--data", "digits"), 2, "lacks tensor"),
        (("--weights", bad_preprocessing(tmp_path), "--data", "digits"), 2, "preprocessing is damaged"),
        ((*with_weights, "--crops", "5"), 2, "number of crops 5 is not known: choose from 1, 10"),
        ((*with_weights, "--part", "tset"), 2, "did you mean 'test'"),
        ((*with_weights, "--part", "test"), 2, "no part 'test'"),
        ((*with_weights, "--frameworks", "toch"), 2, "did you mean 'torch'"),
        ((*with_weights, "--precision", "tf32"), 3, "needs an NVIDIA GPU"),
        ((*with_weights, "--timeout", "nan"), 2, "no number of seconds"),
        ((*with_weights, "--out", files[0].parent), 2, "a.safetensors is read here"),
        (("--weights", files[0], "--data", "/no/such"), 2, "/no/such"),
    ]
    for arguments, code, words in cases:
        found = cli_exit.run(cli, ["evaluate", *map(str, arguments)])
        said = capsys.readouterr()
        assert (found, words in said.err.splitlines()[-1]) == (code, True), (arguments, found, said.err)
        assert "Traceback" not in said.err and not said.out
    assert not (tmp_path / "runs").exists()
    assert complaint(alexbench("evaluate", "--weights", files[0], cwd=tmp_path), 2)


def test_data_that_do_not_fit_the_network_are_refused(tmp_path: Path, cache: Path, files: list[Path]) -> None:
    small = tmp_path / "small"
    prepare = ("prepare", "--data", "digits", "--out", small, "--side", 16)
    assert alexbench(*prepare, cwd=tmp_path).returncode == 0
    done = alexbench("evaluate", "--weights", files[0], "--data", small, cwd=tmp_path)
    assert done.returncode == 2
    assert "16x16 are smaller than the input of network 'cifar-4layer', 32x32" in done.stderr
    facts = json.loads((small / "prepared.json").read_text())
    facts["classes"] = [*facts["classes"], "eleventh"]
    (small / "prepared.json").write_text(json.dumps(facts))
    done = alexbench("evaluate", "--weights", files[0], "--data", small, cwd=tmp_path)
    assert done.returncode == 2
    assert "has 11 classes" in done.stderr and "answers with 10" in done.stderr


def test_a_disk_without_room_for_the_probabilities_is_said_so(
    run: Run, small_disk: Callable[[int], Path | None], files: list[Path]
) -> None:
    place = small_disk(32)
    if place is None:
        pytest.skip("needs to mount a small disk")
    done = run("--weights", files[0], "--frameworks", "numpy", "--crops", 1, "--part", "train", out=place / "out")
    assert done.returncode == 3, told(done)
    assert "No space left on device" in done.stderr.splitlines()[-1]


@pytest.mark.needs(*registry.BUILT_IN)
def test_the_three_frameworks_give_the_same_score_of_the_same_weights(run: Run, out: Path, files: list[Path]) -> None:
    done = run("--weights", files[0], "--limit", 40, "--frameworks", ",".join(registry.BUILT_IN))
    assert done.returncode == 0, told(done)
    for crops in ("1", "10"):
        rows = table(out, crops=crops)
        assert [row["framework"] for row in rows] == list(registry.BUILT_IN)
        listed = {row["image"] for row in table(out, "agreement", crops=crops)}
        if not listed:
            assert len({(row["top1_error"], row["top5_error"]) for row in rows}) == 1
            assert f"agree on every one of {rows[0]['images']} images" in told(done)
        for row in table(out, "agreement", crops=crops):
            assert min(float(row["margin_a"]), float(row["margin_b"])) < 1e-4
