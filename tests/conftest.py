"""Which frameworks a test needs, and what happens where one is missing.

A test says so with the marker `needs("torch")` or by a parameter called `framework`. Where a framework is missing the
test is skipped; with ALEXBENCH_REQUIRE_ALL set it fails, so that a suite that runs nothing cannot pass.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from impls import registry

KNOWN = {**registry.BUILT_IN, **registry.FORWARD_ONLY}
REQUIRE_ALL = os.environ.get("ALEXBENCH_REQUIRE_ALL", "0") not in ("", "0")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--only-framework",
        choices=list(KNOWN),
        help="run the tests that need this framework and no other; fail where it is missing",
    )


def needed_frameworks(item: pytest.Item) -> set[str]:
    """Built-in frameworks a test needs, from its markers and its `framework` parameter."""
    names = {name for marker in item.iter_markers("needs") for name in marker.args}
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    if parameters.get("framework") in KNOWN:
        names.add(parameters["framework"])
    return names


# Files whose frameworks start and compile for a minute: begun first, or one of them would be waited for at the end.
LONGEST = (
    "test_with_frameworks.py", "test_cli_speed_run.py", "test_split_tensorflow.py", "test_split_jax.py",
    "test_cli_parity.py", "test_cli_outside.py", "test_cli_interrupts.py", "test_train_frameworks.py",
    "test_round_trips.py", "test_fresh_processes.py",
)  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
    only = config.getoption("--only-framework")
    if only is None:
        return
    kept = [item for item in items if needed_frameworks(item) == {only}]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def pytest_runtest_setup(item: pytest.Item) -> None:
    required = REQUIRE_ALL or item.config.getoption("--only-framework") is not None
    for framework in sorted(needed_frameworks(item)):
        missing = registry.missing_modules(framework)
        if missing and required:
            pytest.fail(f"{framework} is required here and {', '.join(missing)} is not installed", pytrace=False)
        if missing:
            pytest.skip(f"{framework}: {', '.join(missing)} not installed")


@pytest.fixture(autouse=True)
def _signals_stay_as_they_were() -> Iterator[None]:
    """What a test ignores, the processes of later tests would ignore too."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before
