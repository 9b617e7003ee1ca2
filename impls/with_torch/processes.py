"""The processes that drive several devices: how they come to be, and find each other.

The process that builds a network leads. It starts the others itself, on this machine, unless torchrun's environment is
there: then they run already, on other machines perhaps, and follow.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import threading
import time
from collections.abc import Iterable
from datetime import timedelta

import torch
import torch.distributed as dist

from impls import child_process
from impls.protocol import Settings, Unsupported
from impls.with_torch.engine import DeviceLost, Engine, end

JOIN_LIMIT = timedelta(minutes=5)  # until all processes are there, once the leading one is
LEADER_LIMIT = timedelta(hours=12)  # until the leading one needs several devices


def leading(settings: Settings, present: Engine | None) -> Engine:
    """The devices of these settings, led by this process: those there are already, or new ones. Raises Unsupported."""
    if not (dist.is_available() and dist.is_gloo_available()):
        raise Unsupported(f"split {settings.split!r} needs torch.distributed with gloo, which this PyTorch lacks")
    if settings.device not in ("cpu", "cuda"):
        raise Unsupported(f"device {settings.device!r} is one; {settings.devices} are called cpu (emulated) or cuda")
    if settings.device == "cuda" and not spans_processes():
        _check_gpus(settings.devices)
    if settings.device == "cuda" and not dist.is_nccl_available():
        raise Unsupported(f"{settings.devices} GPUs exchange by NCCL, which PyTorch {torch.__version__} here lacks")
    if present is not None and not present.lost and present.devices == settings.devices:
        return present
    if present is not None and spans_processes():
        raise DeviceLost("the processes that torchrun started are gone: run the command again in all of them")
    if present is not None:
        present.stop()
    engine = _join(settings) if spans_processes() else _start(settings)
    atexit.register(engine.stop)
    return engine


def spans_processes() -> bool:
    """Whether torchrun, or somebody in its stead, has started more processes than this one."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def following() -> Engine:
    """This process's place in a run that another one leads. Raises Unsupported."""
    if not spans_processes() or os.environ["RANK"] == "0":
        found = ", ".join(f"{name}={os.environ.get(name, '')!r}" for name in ("RANK", "WORLD_SIZE"))
        raise Unsupported(f"nobody to follow: torchrun sets RANK above 0 in the processes that follow; found {found}")
    store, rank, devices = _meeting_point(LEADER_LIMIT)
    store.wait(["gpu/0"], LEADER_LIMIT)
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    store.set(f"gpu/{rank}", str(int(local_rank < torch.cuda.device_count())))
    return Engine(store, rank, devices, local_rank)


def _join(settings: Settings) -> Engine:
    """Lead the processes that torchrun started."""
    rank, devices = os.environ["RANK"], os.environ["WORLD_SIZE"]
    if rank != "0":
        raise Unsupported(f"this process has rank {rank} of {devices}: it can follow only, and rank 0 builds")
    if int(devices) != settings.devices:
        raise Unsupported(
            f"{settings.devices} devices asked for, and torchrun started {devices} processes, not one for each"
        )
    store, _, _ = _meeting_point(JOIN_LIMIT)
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    store.set("gpu/0", str(int(local_rank < torch.cuda.device_count())))
    _await_all(store, settings.devices, ())
    with_gpu = sum(store.get(f"gpu/{other}") == b"1" for other in range(settings.devices))
    if settings.device == "cuda" and with_gpu < settings.devices:
        raise Unsupported(f"{settings.devices} GPUs asked for, found by {with_gpu} of {devices} processes")
    return Engine(store, 0, settings.devices, local_rank)


def _meeting_point(limit: timedelta) -> tuple[dist.Store, int, int]:
    """Where the processes find each other, their own rank and number.

    Who comes a second time (the next framework process of a long run) meets who comes a second time elsewhere.
    """
    store, rank, devices = next(dist.rendezvous("env://", timeout=limit))
    turn = store.add(f"alexbench/turn/{rank}", 1)
    return dist.PrefixStore(f"alexbench/{turn}", store), rank, devices


def _start(settings: Settings) -> Engine:
    """Start a process for every device but the first, on this machine."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=JOIN_LIMIT)
    threads = max(1, torch.get_num_threads() // settings.devices)
    started: list[subprocess.Popen] = []
    try:
        for rank in range(1, settings.devices):
            started.append(_start_one(rank, settings.devices, store.port, threads))  # noqa: PERF401 - ended if one fails
        turn = dist.PrefixStore(f"alexbench/{store.add('alexbench/turn/0', 1)}", store)
        turn.set("gpu/0", "1")
        _await_all(turn, settings.devices, started)
        engine = Engine(turn, 0, settings.devices, 0, started)
    except BaseException:
        for peer in started:
            end(peer, 0.0)
        raise
    torch.set_num_threads(threads)
    return engine


def _check_gpus(asked: int) -> None:
    found = torch.cuda.device_count()
    if found < asked:
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(found)) or "none"
        raise Unsupported(f"{asked} GPUs asked for; PyTorch {torch.__version__} found {found}: {names}")


def _start_one(rank: int, devices: int, port: int, threads: int) -> subprocess.Popen:
    count = str(threads)
    environment = child_process.environment()
    environment.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(devices))
    environment.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS=count, MKL_NUM_THREADS=count)
    environment.pop("TORCHELASTIC_USE_AGENT_STORE", None)
    return subprocess.Popen(child_process.command(__name__), stdin=subprocess.PIPE, env=environment)


def _await_all(store: dist.Store, devices: int, started: Iterable[subprocess.Popen]) -> None:
    """Return when every process has come. Raises DeviceLost where one has ended or does not come."""
    until = time.monotonic() + JOIN_LIMIT.total_seconds()
    while not store.check([f"gpu/{rank}" for rank in range(devices)]):
        codes = {rank: peer.poll() for rank, peer in enumerate(started, 1)}
        for rank, code in codes.items():
            if code is not None:
                raise DeviceLost(f"the process of device {rank} ended with exit status {code} before it had joined")
        if time.monotonic() > until:
            missing = [str(rank) for rank in range(devices) if not store.check([f"gpu/{rank}"])]
            raise DeviceLost(f"the processes of ranks {', '.join(missing)} did not come within {JOIN_LIMIT}")
        time.sleep(0.02)


def main() -> None:
    """The process of one further device; ends with the one that started it, whose pipe it reads."""

    def end_with_parent() -> None:
        os.read(0, 1)  # nothing is ever written there: it returns when the pipe closes
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    from impls.with_torch.framework import FRAMEWORK

    FRAMEWORK.follow()


if __name__ == "__main__":
    main()
