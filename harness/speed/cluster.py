"""A run that spans processes, as the engines' own launchers make it: who is who, told by the environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import UsageError

TORCHRUN = (
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "MASTER_ADDR", "MASTER_PORT",
    "TORCHELASTIC_RUN_ID",
)  # fmt: skip
JAX = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
TENSORFLOW = ("TF_CONFIG",)
VARIABLES = (*TORCHRUN, *JAX, *TENSORFLOW)


@dataclass(frozen=True, slots=True)
class Place:
    """This process among those of the run."""

    framework: str
    rank: int
    processes: int

    @property
    def leads(self) -> bool:
        """Whether it is the one that measures."""
        return self.rank == 0


def place(environ: Mapping[str, str]) -> Place | None:
    """Where the launcher's variables put this process; None for an ordinary run. Raises UsageError for nonsense."""
    found = _torchrun(environ) or _jax(environ) or _tensorflow(environ)
    if found is not None and not 0 <= found.rank < found.processes:
        raise UsageError(f"process {found.rank} of {found.processes}: the launcher's variables contradict each other")
    return found if found is not None and found.processes > 1 else None


def _torchrun(environ: Mapping[str, str]) -> Place | None:
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= environ.keys():
        return None
    return Place("torch", _whole("RANK", environ["RANK"]), _whole("WORLD_SIZE", environ["WORLD_SIZE"]))


def _jax(environ: Mapping[str, str]) -> Place | None:
    if not set(JAX) <= environ.keys():
        return None
    return Place("jax", _whole(JAX[2], environ[JAX[2]]), _whole(JAX[1], environ[JAX[1]]))


def _tensorflow(environ: Mapping[str, str]) -> Place | None:
    if not environ.get("TF_CONFIG"):
        return None
    try:
        given = json.loads(environ["TF_CONFIG"])
        cluster = {kind: len(addresses) for kind, addresses in given["cluster"].items()}
        kind, index = given["task"]["type"], int(given["task"]["index"])
        before = {"chief": 0, "worker": cluster.get("chief", 0)}
        return Place("tensorflow", before[kind] + index, cluster.get("chief", 0) + cluster.get("worker", 0))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            'TF_CONFIG is not of the form {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker",'
            ' "index": 0}}'
        ) from None


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{name}={text!r} is not a whole number") from None
