"""Several devices, each driven by a process of its own, and what they exchange, over torch.distributed.

The leading process, rank 0, says what is done next, as JSON, and deals out arrays as tensors: over gloo. What the
devices exchange in a computation travels over NCCL between GPUs and over gloo between CPUs, emulated ones too.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from impls.protocol import Arrays, Settings
from impls.with_torch.operators import Tensor

EXCHANGE_LIMIT = timedelta(minutes=5)  # until all devices have come to an exchange, which they do side by side
COMMAND_LIMIT = timedelta(days=30)  # a process that follows waits while the leading one has other work
GRACE_S = 5.0  # for a process to end by itself

Command = dict[str, Any]


class DeviceLost(RuntimeError):
    """The process of another device has ended or hangs: no network that is split over it can go on."""


class Dealt(NamedTuple):
    """An array of the leading process that every device gets: whole, or in equal parts along an axis."""

    array: NDArray[Any]
    axis: int | None


class Engine:
    """This process's place among the devices, and its channel to the others."""

    def __init__(
        self, store: dist.Store, rank: int, devices: int, local_rank: int, started: Iterable[subprocess.Popen] = ()
    ) -> None:
        self.rank = rank
        self.devices = devices
        self.local_rank = local_rank
        self.lost = False
        self.released: list[int] = []  # networks that the others may forget, told with the next command
        self._started = tuple(started)
        self._threads = torch.get_num_threads()
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=devices, timeout=EXCHANGE_LIMIT)
        self._commands = dist.new_group(backend="gloo", timeout=COMMAND_LIMIT)

    def device(self, settings: Settings) -> str:
        """The name of the one device that this process drives."""
        return "cpu" if settings.device == "cpu" else f"cuda:{self.local_rank}"

    def send(self, command: Command, arrays: Mapping[str, Dealt]) -> Arrays:
        """Tell the other processes what is next, and deal out its arrays; returns this device's parts."""
        parts = {name: _parts(dealt, self.devices) for name, dealt in arrays.items()}
        kinds = [[name, str(own.dtype), own.shape, len(rest) > 0] for name, (own, *rest) in parts.items()]
        released, self.released = self.released, []
        text = json.dumps({**command, "released": released, "arrays": kinds}).encode()
        dist.broadcast(torch.tensor([len(text)]), 0, group=self._commands)
        dist.broadcast(torch.frombuffer(bytearray(text), dtype=torch.uint8), 0)
        for own, *rest in parts.values():
            if rest:
                tensors = [torch.from_numpy(part) for part in (own, *rest)]
                dist.scatter(torch.empty_like(tensors[0]), tensors, src=0)
            else:
                dist.broadcast(torch.from_numpy(own), 0)
        return {name: own for name, (own, *_) in parts.items()}

    def receive(self) -> tuple[Command, Arrays] | None:
        """What the leading process sends next; None where it is gone."""
        length = torch.zeros(1, dtype=torch.int64)
        try:
            dist.broadcast(length, 0, group=self._commands)
        except RuntimeError:  # the connection closed
            return None
        text = torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(text, 0)
        command = json.loads(text.numpy().tobytes())
        arrays: Arrays = {}
        for name, dtype, shape, in_parts in command.pop("arrays"):
            tensor = torch.empty(shape, dtype=getattr(torch, dtype))
            if in_parts:
                dist.scatter(tensor, src=0)
            else:
                dist.broadcast(tensor, 0)
            arrays[name] = tensor.numpy()
        return command, arrays

    def collect(self, part: NDArray[Any], axis: int | None) -> NDArray[Any]:
        """The devices' parts put together along an axis, in the leading process; elsewhere the part itself."""
        if axis is None:
            return part
        own = torch.from_numpy(np.ascontiguousarray(part))
        parts = [torch.empty_like(own) for _ in range(self.devices)] if self.rank == 0 else None
        dist.gather(own, parts, dst=0)
        return part if parts is None else np.concatenate([tensor.numpy() for tensor in parts], axis=axis)

    def meet(self) -> None:
        """Return when all processes have come here."""
        dist.all_reduce(torch.zeros(1))

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """What fails inside leaves the processes at different points: none is kept. Raises DeviceLost."""
        if self.lost:
            raise DeviceLost(f"the {self.devices} devices of this network are given up: build it again")
        try:
            yield
        except BaseException as error:
            ended = self._ended()
            self.stop(abruptly=True)
            if ended or isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
                which = "; ".join(ended) or f"one of the processes of ranks 1 to {self.devices - 1} ended or hangs"
                raise DeviceLost(
                    f"{which}: the network on {self.devices} devices cannot go on; what that process wrote says why"
                ) from error
            raise

    def _ended(self) -> list[str]:
        """The processes started here that are gone, given a moment in which the one that failed can end."""
        until = time.monotonic() + 1.0
        while self._started and time.monotonic() < until and all(peer.poll() is None for peer in self._started):
            time.sleep(0.02)
        codes = {rank: peer.poll() for rank, peer in enumerate(self._started, 1)}
        return [f"the process of device {rank} ended with exit status {code}" for rank, code in codes.items() if code]

    def stop(self, *, abruptly: bool = False) -> None:
        """End the processes started here, and this one's part in the exchange."""
        if self.lost:
            return
        self.lost = True
        if not abruptly and self.rank == 0:
            with contextlib.suppress(RuntimeError):
                self.send({"do": "end"}, {})
        for peer in self._started:
            end(peer, 0.0 if abruptly else GRACE_S)
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()
        torch.set_num_threads(self._threads)


def end(peer: subprocess.Popen, grace_s: float) -> None:
    """Have a process that was started here end, by itself or not."""
    try:
        peer.wait(grace_s)
    except subprocess.TimeoutExpired:
        peer.kill()
        peer.wait()
    if peer.stdin is not None:
        peer.stdin.close()


def _parts(dealt: Dealt, devices: int) -> list[NDArray[Any]]:
    """One array for every device, or one for all; copies that PyTorch may own."""
    if dealt.axis is None:
        return [np.array(dealt.array, order="C")]
    return [np.array(part, order="C") for part in np.split(dealt.array, devices, axis=dealt.axis)]


class _Gather(torch.autograd.Function):
    """Every device's x, one after the other along an axis. Backward: the sum over the devices, own part of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int) -> Tensor:
        ctx.axis = axis
        x = _dense(x)
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x)
        return torch.cat(parts, dim=axis)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        parts = [_dense(part) for part in dy.chunk(dist.get_world_size(), dim=ctx.axis)]
        dx = torch.empty_like(parts[0])
        dist.reduce_scatter(dx, parts)
        return dx, None


def gather(x: Tensor, axis: int) -> Tensor:
    """Batch (axis 0) or channels (axis 1) of all devices, in order."""
    return _Gather.apply(x, axis)


def with_halo(x: Tensor, reach: int) -> Tensor:
    """[N, C / devices, H, W] with `reach` channels of both neighbours around them, zeros where there is none."""
    rank, devices = dist.get_rank(), dist.get_world_size()
    edges = gather(torch.cat([x[:, :reach], x[:, -reach:]], dim=1), 1).chunk(2 * devices, dim=1)
    left = edges[2 * rank - 1] if rank > 0 else torch.zeros_like(edges[0])
    right = edges[2 * rank + 2] if rank + 1 < devices else torch.zeros_like(edges[0])
    return torch.cat([left, x, right], dim=1)


class GradientSums:
    """Sums these tensors' gradients over the devices, each as soon as it is there, while the backward pass goes on."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._pending: list[dist.Work] = []
        for tensor in tensors:
            tensor.register_hook(self._begin)

    def _begin(self, gradient: Tensor) -> Tensor:
        total = _dense(gradient)  # summed in place: nothing else reads a parameter's gradient during the pass
        self._pending.append(dist.all_reduce(total, async_op=True))
        return total

    def wait(self) -> None:
        """The gradients of the last backward pass are sums now."""
        pending, self._pending = self._pending, []
        for work in pending:
            work.wait()


def _dense(x: Tensor) -> Tensor:
    """x without gaps in memory, in the order it has: what is exchanged must lie alike on all devices."""
    if x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)):
        return x
    return torch.empty_like(x).copy_(x)
