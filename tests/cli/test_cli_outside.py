"""`--impl ./mine.py:build`: somebody's own network, right, wrong in one layer, or wrong in every other way."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from textwrap import dedent, indent

import pytest
from conftest import WriteImpl
from program import (
    LAYERS,
    ROOT,
    Done,
    alexbench,
    complaint,
    is_plain,
    parity,
    plain_network,
    rows,
    run_json,
    started,
    surroundings,
    told,
    verdicts,
    wait_until,
    workers_of,
)

Rows = dict[str, list[dict[str, str]]]

LOGITS_ALONE = 'KEEP = ("fc4",)'


def compare(file: Path, *arguments: object, attribute: str = "build") -> Done:
    """Compare the network in a file as its author would: from its folder."""
    out = file.parent / "out"
    done = parity("--impl", f"./{file.name}:{attribute}", *arguments, out=out, cwd=file.parent)
    assert is_plain(done.stdout)
    if done.returncode not in (2, 70):
        assert run_json(out)["status"] == "complete"
        assert {"parity.csv", "parity.parquet", "report.md"} <= {path.name for path in out.iterdir()}
    return done


def after_activations(lines: str) -> str:
    """The correct network, whose activations are `found` where these lines begin."""
    start = """
        import ctypes, os, signal, sys, threading, time

        correct = build

        def build(network, weights):
            def activations(images):
                found = correct(network, weights)(images)
        """
    return f"{dedent(start)}{indent(dedent(lines), ' ' * 8)}\n    return activations\n"


def side_by_side(folder: Path, texts: dict[str, str], photograph: Path, *arguments: object) -> tuple[Done, Rows]:
    """Compare many files in one run, for time; their rows by the key of their text."""
    targets = {key: f"./mine{number}.py:build" for number, key in enumerate(texts)}
    for key, text in texts.items():
        (folder / targets[key].removesuffix(":build")).write_text(text)
    given = [part for target in targets.values() for part in ("--impl", target)]
    out = folder / "out"
    done = parity(*given, "--images", photograph, *arguments, out=out, cwd=folder, timeout=300)
    assert is_plain(done.stdout)
    assert run_json(out)["status"] == "complete"
    return done, {key: rows(out, framework=target) for key, target in targets.items()}


# --- a correct one ----------------------------------------------------------------------------------------------------


def test_a_correct_network_passes(mine: WriteImpl) -> None:
    file = mine("")
    done = compare(file, "--keep-impl")
    assert done.returncode == 0, done.stdout
    assert "Equal: all 13 checks passed in ./mine.py:build" in told(done)
    found = rows(file.parent / "out")
    assert verdicts(found) == {"pass"}
    assert [row["tensor"] for row in found] == [*LAYERS, "top5"]
    assert {(row["level"], row["framework"]) for row in found} == {("forward", "./mine.py:build")}
    own = {"file": "mine.py", "sha256": sha256(file.read_bytes()).hexdigest(), "kept": "impl/mine.py"}
    assert run_json(file.parent / "out")["impl"] == {"./mine.py:build": own}
    assert (file.parent / "out" / own["kept"]).read_bytes() == file.read_bytes()


def test_logits_alone_pass_and_the_rest_is_not_observed(mine: WriteImpl) -> None:
    file = mine(LOGITS_ALONE)
    done = compare(file)
    assert done.returncode == 0, done.stdout
    assert "Equal in the 1 of 12 layers that were returned: 2 checks passed in ./mine.py:build." in told(done)
    assert "pass (1 of 12)" in told(done) and "not observed" not in told(done)
    found = rows(file.parent / "out")
    assert [row["tensor"] for row in found if row["verdict"] == "pass"] == ["fc4", "top5"]
    assert [row["tensor"] for row in found if row["verdict"] == "not-observed"] == LAYERS[:-1]


def test_arrays_come_in_any_form_that_holds_the_numbers(tmp_path: Path, photograph: Path) -> None:
    forms = [
        "{name: value.astype(np.float64) for name, value in found.items()}",
        "{name: value.tolist() for name, value in found.items()}",
        "{name: np.asfortranarray(value) for name, value in found.items()}",
        "{name: value[...] for name, value in reversed(found.items())}",
    ]
    texts = {form: plain_network(after_activations(f"return {form}")) for form in forms}
    done, _ = side_by_side(tmp_path, texts, photograph)
    assert done.returncode == 0, told(done)
    assert "Equal: all 52 checks passed" in told(done)


@pytest.mark.needs("torch")
def test_a_correct_network_in_torch_passes(mine: WriteImpl) -> None:
    lines = """
    import torch
    from torch.nn import functional as F

    def build(network, weights):
        tensors = {
            name: torch.tensor(value.transpose(3, 2, 0, 1) if value.ndim == 4 else value).requires_grad_()
            for name, value in weights.items()
        }

        def activations(images):
            x, found = torch.tensor(images).permute(0, 3, 1, 2), {}
            for layer in network.layers:
                kind = type(layer).__name__
                if kind == "Conv":
                    x = F.conv2d(x, tensors[layer.name + "/weight"], tensors[layer.name + "/bias"], padding=2)
                elif kind == "ReLU":
                    x = F.relu(x)
                elif kind == "MaxPool":
                    x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), layer.size, layer.stride)
                elif kind == "SpatialNorm":
                    area = layer.size * layer.size
                    total = area * F.avg_pool2d(x * x, layer.size, stride=1, padding=1)
                    x = x / (layer.k + layer.alpha * total) ** layer.beta
                else:
                    x = x.permute(0, 2, 3, 1).flatten(1) @ tensors["fc4/weight"] + tensors["fc4/bias"]
                found[layer.name] = x.permute(0, 2, 3, 1) if x.ndim == 4 else x
            return found

        return activations
    """
    done = compare(mine(dedent(lines), alone=True))
    assert done.returncode == 0, done.stdout
    assert "Equal: all 13 checks" in told(done)


def test_a_network_may_be_a_class_with_annotations(mine: WriteImpl) -> None:
    lines = """
    from __future__ import annotations

    from dataclasses import dataclass

    import numpy as np

    from impls.oracle import network as oracle

    @dataclass
    class Mine:
        network: object
        weights: dict

        def __call__(self, images):
            return {name: np.asarray(y) for name, y in oracle.forward(self.network, self.weights, images).items()}
    """
    done = compare(mine(dedent(lines), alone=True), attribute="Mine")
    assert done.returncode == 0, told(done)


def test_a_file_may_import_its_neighbours_from_anywhere(mine: WriteImpl, tmp_path: Path) -> None:
    mine("", name="my_layers.py")
    mine("from my_layers import build", alone=True)
    (tmp_path / "elsewhere").mkdir()
    done = parity("--impl", f"{tmp_path}/mine.py:build", out=tmp_path / "out", cwd=tmp_path / "elsewhere")
    assert done.returncode == 0, told(done)


@pytest.mark.parametrize("name", ["numpy.py", "my net.py"])
def test_a_file_may_have_any_name(mine: WriteImpl, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "nets"
    folder.mkdir()
    mine("").rename(folder / name)
    done = parity("--impl", f"nets/{name}:build", out=tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 0, told(done)


@pytest.mark.parametrize("package", ["harness", "impls"])
def test_a_folder_of_the_users_does_not_hide_one_of_ours(mine: WriteImpl, tmp_path: Path, package: str) -> None:
    """Run as the installed command runs: with nothing of the user's folder on the path."""
    mine("")
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("raise RuntimeError('not yours')\n")
    (tmp_path / "bin").mkdir()
    entry = tmp_path / "bin" / "alexbench"
    entry.write_text("from harness.cli import main\nmain()\n")
    arguments = ["parity", "--network", "cifar-4layer", "--impl", "./mine.py:build", "--out", "out"]
    done = subprocess.run(
        [sys.executable, str(entry), *arguments],
        cwd=tmp_path,
        env=surroundings(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_two_networks_are_told_apart(mine: WriteImpl, tmp_path: Path) -> None:
    mine("", name="right.py")
    mine('WRONG["relu2"] = lambda layer, x, weights: x', name="wrong.py")
    out = tmp_path / "out"
    done = parity("--impl", "./right.py:build", "--impl", "./wrong.py:build", out=out, cwd=tmp_path)
    assert done.returncode == 1
    assert verdicts(rows(out, framework="./right.py:build")) == {"pass"}
    assert "fail" in verdicts(rows(out, framework="./wrong.py:build"))


# --- one wrong layer --------------------------------------------------------------------------------------------------

# name: (the layer at fault, what it does instead)
WRONG_LAYERS = {
    "alpha divided by the window": (
        "norm1",
        "lambda layer, x, weights: spatial_norm(layer, x, weights, alpha_over=layer.size**2)",
    ),
    "alpha times the window": (
        "norm2",
        "lambda layer, x, weights: spatial_norm(layer, x, weights, alpha_over=layer.size**-2)",
    ),
    "no norm": ("norm1", "lambda layer, x, weights: x"),
    "no ReLU": ("relu2", "lambda layer, x, weights: x"),
    "leaky ReLU": ("relu1", "lambda layer, x, weights: np.where(x > 0, x, np.float32(0.01) * x)"),
    "flattened C, H, W": ("fc4", "lambda layer, x, weights: dense(layer, x.transpose(0, 3, 1, 2), weights)"),
    "no bias in a convolution": (
        "conv2",
        "lambda layer, x, weights: conv(layer, x, {**weights, 'conv2/bias': np.zeros(32, np.float32)})",
    ),
    "no bias in a dense layer": (
        "fc4",
        "lambda layer, x, weights: dense(layer, x, {**weights, 'fc4/bias': np.zeros(10, np.float32)})",
    ),
    "padding on the other side": (
        "pool1",
        "lambda layer, x, weights: windows(np.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0))), 3, 2).max(axis=(4, 5))",
    ),
    "padding on both sides": (
        "pool2",
        "lambda layer, x, weights: windows(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), 3, 2).max(axis=(4, 5))",
    ),
    "windows of two": ("pool1", "lambda layer, x, weights: windows(x, 2, 2).max(axis=(4, 5))"),
    "kernels flipped": (
        "conv3",
        "lambda layer, x, weights: conv(layer, x, {**weights, 'conv3/weight': weights['conv3/weight'][::-1, ::-1]})",
    ),
    "channels reversed": ("conv1", "lambda layer, x, weights: conv(layer, x[..., ::-1], weights)"),
}


def wrong(mistake: str, kept: str) -> str:
    layer, instead = WRONG_LAYERS[mistake]
    return f"WRONG[{layer!r}] = {instead}\n" + (LOGITS_ALONE if kept == "logits" else "")


@pytest.fixture(scope="module")
def wrong_layers(tmp_path_factory: pytest.TempPathFactory, photograph: Path) -> tuple[Done, Rows]:
    """Every mistake in a network that returns all its layers, and in one that returns its logits."""
    texts = {
        f"{mistake} {kept}": plain_network(wrong(mistake, kept))
        for mistake in WRONG_LAYERS
        for kept in ("all", "logits")
    }
    return side_by_side(tmp_path_factory.mktemp("wrong"), texts, photograph)


@pytest.mark.parametrize("mistake", WRONG_LAYERS)
def test_a_single_wrong_layer_is_named(mistake: str, wrong_layers: tuple[Done, Rows]) -> None:
    layer, _ = WRONG_LAYERS[mistake]
    found = wrong_layers[1][f"{mistake} all"]
    first = next(row for row in found if row["verdict"] == "fail")
    assert (first["tensor"], first["layer"]) == (layer, layer)
    assert {row["verdict"] for row in found[: LAYERS.index(layer)]} <= {"pass"}


@pytest.mark.parametrize("mistake", WRONG_LAYERS)
def test_a_single_wrong_layer_is_named_by_the_logits_alone(mistake: str, wrong_layers: tuple[Done, Rows]) -> None:
    layer, _ = WRONG_LAYERS[mistake]
    first = next(row for row in wrong_layers[1][f"{mistake} logits"] if row["verdict"] == "fail")
    assert (first["tensor"], first["layer"]) == ("fc4", layer)
    assert first["cause"].startswith("yours has "), first["cause"]


def test_wrong_layers_are_found_wanting(wrong_layers: tuple[Done, Rows]) -> None:
    done, _ = wrong_layers
    assert done.returncode == 1
    assert "more in report.md" in told(done)  # the terminal shows the first few


def test_the_layer_and_the_likely_cause_are_on_the_terminal(mine: WriteImpl) -> None:
    done = compare(mine(wrong("no ReLU", "all")))
    assert done.returncode == 1
    assert "fail forward ./mine.py:build relu2" in told(done)
    assert "likely cause: yours has a missing ReLU" in told(done)


POOL_AFTER_NORM = """
from types import SimpleNamespace

NORM = SimpleNamespace(size=3, alpha=5e-5 / 9, beta=0.75, k=1)
WRONG["pool1"] = lambda layer, x, weights: max_pool(layer, spatial_norm(NORM, x, weights), weights)
WRONG["norm1"] = lambda layer, x, weights: x
"""


@pytest.mark.parametrize("kept", ["every layer", "logits alone"])
def test_pool_and_norm_in_the_wrong_order_are_named(mine: WriteImpl, kept: str) -> None:
    file = mine(POOL_AFTER_NORM + (LOGITS_ALONE if kept == "logits alone" else ""))
    done = compare(file)
    assert done.returncode == 1
    first = rows(file.parent / "out", verdict="fail")[0]
    assert first["layer"] == "pool1"
    assert "wrong order" in first["cause"]
    assert "wrong order" in told(done)


def test_a_cause_that_is_none_is_not_made_up(mine: WriteImpl) -> None:
    """A convolution of inputs that are not negative is that of their ReLU: what fails by less is no wrong order."""
    half = 'WRONG["conv2"] = lambda layer, x, weights: conv(layer, x.astype(np.float16).astype(np.float32), weights)'
    file = mine(half)
    assert compare(file).returncode == 1
    first = rows(file.parent / "out", verdict="fail")[0]
    assert first["layer"] == "conv2"
    assert "order" not in first["cause"]


def test_alpha_over_n_is_named_in_a_network_with_response_normalisation(
    mine: WriteImpl, tmp_path: Path, photograph: Path
) -> None:
    mine('WRONG["norm1"] = lambda layer, x, weights: lrn(layer, x, weights, alpha_over=layer.size)')
    done = alexbench(
        "parity", "--network", "one-tower", "--images", photograph, "--impl", "./mine.py:build", cwd=tmp_path
    )
    assert done.returncode == 1
    assert "./mine.py:build norm1" in told(done)
    assert "yours has the reference's α divided by n = 5" in told(done)


# --- what is no answer ------------------------------------------------------------------------------------------------

# what activations() does: what is said of it
NO_ANSWERS = {
    "return None": "activations(images) returned nothing (None), expected a dict",
    "return {}": "activations(images) lacks the logits 'fc4'; it has nothing",
    "return [found['fc4']]": "activations(images) returned a list, expected a dict",
    "return found['fc4']": "activations(images) returned a ndarray, expected a dict",
    "return {**found, 'conv_1': found['conv1']}": "has 'conv_1', which is no layer of cifar-4layer",
    "found['fc_4'] = found.pop('fc4'); return found": "lacks the logits 'fc4'; it has conv1, relu1",
    "return {'fc4': 'ten'}": "layer 'fc4': a str is not an array of numbers",
    "return {'fc4': [[1, 2], [3]]}": "layer 'fc4': a list is not an array of numbers",
    "return {'fc4': None}": "layer 'fc4': nothing (None) is not an array of numbers",
    "return {'fc4': found['fc4'].astype(str)}": "layer 'fc4': ",
    "return {'fc4': found['fc4'] + 1j}": "layer 'fc4': ",
    "return {**found, 'fc4': found['fc4'][:, :9]}": "shape [10, 9], expected [10, 10]",
    "return {**found, 'fc4': found['fc4'][:1]}": "shape [1, 10], expected [10, 10]",
    "return {**found, 'fc4': np.empty((0, 10))}": "shape [0, 10], expected [10, 10]",
    "return {**found, 'conv1': found['conv1'][..., None]}": "shape [10, 32, 32, 32, 1], expected [10, 32, 32, 32]",
    "return {**found, 'conv1': found['conv1'].transpose(0, 3, 1, 2)}": "conv1",
    "return {**found, 'fc4': found['fc4'] * np.nan}": "NaN or infinity differ from the reference in 100 of 100",
    "found['conv3'][0, 0, 0, 0] = np.inf; return found": "NaN or infinity differ from the reference in 1 of",
    "return {'fc4': found['fc4'] * 0}": "fc4",
}


@pytest.fixture(scope="module")
def no_answers(tmp_path_factory: pytest.TempPathFactory, photograph: Path) -> tuple[Done, Rows]:
    texts = {lines: plain_network(after_activations(lines)) for lines in NO_ANSWERS}
    return side_by_side(tmp_path_factory.mktemp("answers"), texts, photograph)


@pytest.mark.parametrize("lines", NO_ANSWERS)
def test_what_is_no_answer_is_said(lines: str, no_answers: tuple[Done, Rows]) -> None:
    first = next(row for row in no_answers[1][lines] if row["verdict"] != "pass")
    assert first["verdict"] in ("fail", "not-observed")
    assert "fail" in verdicts(no_answers[1][lines])
    failed = next(row for row in no_answers[1][lines] if row["verdict"] == "fail")
    assert NO_ANSWERS[lines] in f"{failed['reason']} {failed['layer']}"


def test_what_is_no_answer_is_found_wanting(no_answers: tuple[Done, Rows]) -> None:
    assert no_answers[0].returncode == 1


# what activations() does: what is said of it
BREAKDOWNS = {
    "raise RuntimeError('conv1 is gone')": "RuntimeError: conv1 is gone",
    "raise KeyError": "KeyError",
    "sys.exit(5)": "SystemExit: 5",
    "sys.exit(0)": "SystemExit: 0",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "class Odd(BaseException): pass\nraise Odd('oddly')": "Odd: oddly",
    "os._exit(3)": "ended with exit status 3 before its work was done",
    "os._exit(0)": "ended with exit status 0 before its work was done",
    "os.kill(os.getpid(), signal.SIGKILL)": "killed by SIGKILL",
    "ctypes.string_at(0)": "killed by SIGSEGV",
    "os.abort()": "killed by SIGABRT",
    "while True: time.sleep(1)": "gave no sign of life for 5 s",
    "while True: pass": "gave no sign of life for 5 s",
    "def deeper(): deeper()\ndeeper()": "RecursionError",
    "raise MemoryError": "MemoryError",
    "print('last words', file=sys.stderr, flush=True); os._exit(7)": "last words",
}


@pytest.fixture(scope="module")
def breakdowns(tmp_path_factory: pytest.TempPathFactory, photograph: Path) -> tuple[Done, Rows]:
    texts = {lines: plain_network(after_activations(lines)) for lines in BREAKDOWNS}
    return side_by_side(tmp_path_factory.mktemp("breakdowns"), texts, photograph, "--timeout", 5)


@pytest.mark.parametrize("lines", BREAKDOWNS)
def test_what_breaks_down_is_said_with_its_end(lines: str, breakdowns: tuple[Done, Rows]) -> None:
    (row,) = breakdowns[1][lines]
    assert row["verdict"] == "error"
    assert BREAKDOWNS[lines] in row["reason"]
    assert "harness" not in row["reason"], "where in our code it happened is nothing to the reader"


def test_what_breaks_down_is_neither_a_verdict_nor_forgotten(breakdowns: tuple[Done, Rows]) -> None:
    done, found = breakdowns
    assert done.returncode == 4
    assert f"Not proved: {len(found)} ended in an error" in told(done)


# a file: (exit code, what is said of it)
FILES = {
    "def build(network, weights): raise ValueError('no such kernel')": (4, "ValueError: no such kernel"),
    "def build(network, weights): pass": (1, "build(...) returned nothing (None), expected a function"),
    "def build(): pass": (4, "TypeError: build() takes 0 positional arguments but 2 were given"),
    "build = 3": (1, "expected build(network, weights)"),
    "1 / 0": (4, "ZeroDivisionError: division by zero"),
    "import sys; sys.exit(2)": (4, "SystemExit: 2"),
    "def build(network, weights:": (4, "SyntaxError: '(' was never closed"),
    "import no_such_module": (3, "ModuleNotFoundError: No module named 'no_such_module'"),
    "\0": (4, "null bytes"),
    "import time; time.sleep(100)": (4, "gave no sign of life for 5 s"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, photograph: Path) -> tuple[Done, Rows]:
    return side_by_side(tmp_path_factory.mktemp("files"), {text: text for text in FILES}, photograph, "--timeout", 5)


@pytest.mark.parametrize("text", FILES, ids=[repr(text) for text in FILES])
def test_a_file_that_builds_nothing_is_said(text: str, files: tuple[Done, Rows]) -> None:
    code, said = FILES[text]
    (row,) = files[1][text]
    assert row["verdict"] == ("fail" if code == 1 else "error")
    assert said in row["reason"]
    assert "NotLoadable" not in row["reason"]  # a name of ours, which says nothing to the reader


@pytest.mark.parametrize("text", [text for text in FILES if "import" in text or "(network, weights:" in text][1:4])
def test_a_file_that_builds_nothing_has_its_exit_code(mine: WriteImpl, text: str) -> None:
    done = compare(mine(text, alone=True), "--timeout", 5)
    assert done.returncode == FILES[text][0]
    assert FILES[text][1] in told(done)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("./mine.py:buidl", "mine.py has no attribute 'buidl': did you mean 'build'? it has "),
        ("./nowhere.py:build", "there is no file './nowhere.py'"),
        ("./mine.py", "is not of the form ./file.py:attribute"),
        ("./mine.py:", "is not of the form ./file.py:attribute"),
        (":build", "is not of the form ./file.py:attribute"),
        ("./notes.txt:build", "'./notes.txt"),
        ("./mine:build", "'./mine"),
        (".:build", "'.:build'"),
    ],
)
def test_a_target_that_is_none_is_a_usage_error(mine: WriteImpl, tmp_path: Path, target: str, said: str) -> None:
    mine("")
    (tmp_path / "notes.txt").write_text("conv, relu, pool")
    done = parity("--impl", target, out=tmp_path / "out", cwd=tmp_path)
    assert said in complaint(done, 2)
    assert not (tmp_path / "out").exists()


# --- what is bad manners and no mistake -------------------------------------------------------------------------------

MANNERS = {
    "prints megabytes": "print('x' * 4_000_000); print('y' * 4_000_000, file=sys.stderr); os.write(1, b'z' * 9)",
    "writes into its images": "images[:] = 0",
    "writes into its weights": "[value.fill(0) for value in weights.values()]",
    "changes the folder": "os.chdir('/')",
    "reads what nobody typed": "sys.stdin.read()",
    "changes the environment": "os.environ.clear(); sys.path.clear(); sys.argv.clear()",
    "leaves a thread": "threading.Thread(target=time.sleep, args=(60,)).start()",
    "closes what it prints to": "sys.stdout.close(); sys.stderr.close()",
    "prints what looks like an event": """print('{"event": "finished", "peak_memory_mb": 1}', flush=True)""",
    "sets NumPy's modes": "np.random.seed(0); np.seterr(all='raise'); np.set_printoptions(precision=1)",
    "forks": "os.fork() or os._exit(0)",
}


@pytest.fixture(scope="module")
def manners(tmp_path_factory: pytest.TempPathFactory, photograph: Path) -> tuple[Done, Rows]:
    texts = {manner: plain_network(after_activations(f"{MANNERS[manner]}\nreturn found")) for manner in MANNERS}
    return side_by_side(tmp_path_factory.mktemp("manners"), texts, photograph)


@pytest.mark.parametrize("manner", MANNERS)
def test_bad_manners_change_nothing(manner: str, manners: tuple[Done, Rows]) -> None:
    assert [(row["tensor"], row["verdict"], row["reason"]) for row in manners[1][manner]] == [
        (name, "pass", "") for name in [*LAYERS, "top5"]
    ]


def test_bad_manners_cost_nobody_else(manners: tuple[Done, Rows]) -> None:
    done, found = manners
    assert done.returncode == 0, told(done)
    assert f"Equal: all {13 * len(found)} checks passed" in told(done)
    assert len(done.stdout + done.stderr) < 6000


def test_equal_is_said_where_the_exit_code_says_so(mine: WriteImpl) -> None:
    done = compare(mine(after_activations("sys.stdout.close(); return found")))
    assert ("Equal" in done.stdout) == (done.returncode == 0), told(done)


def test_a_process_that_a_network_started_ends_with_it(mine: WriteImpl, tmp_path: Path) -> None:
    mine(after_activations("import subprocess\nsubprocess.Popen(['sleep', '300'])\nreturn found"))
    out = tmp_path / "out"
    with started("--impl", "./mine.py:build", out=out, cwd=tmp_path) as process:
        process.wait(60)
        wait_until(lambda: not workers_of(out), 5)
