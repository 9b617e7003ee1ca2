"""Several devices in TensorFlow, the processes they may lie in, and what they exchange.

One graph holds the work of all devices: every operation is placed on its device, and TensorFlow sends what one needs
of another. The whole-network copies of split `data` on the devices of one machine run under MirroredStrategy instead,
which sums their gradients over NCCL between GPUs.

Where TF_CONFIG names several processes, the first one (`chief` 0, else `worker` 0) leads: it builds the graph over the
devices of all, and the others serve what is placed on theirs. TensorFlow's servers ask nobody who they are: a cluster
belongs on a network of its own.

References:
    https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable
    tf.config.experimental_connect_to_cluster, tf.distribute.Server, tf.distribute.MirroredStrategy
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from impls.protocol import Settings, Unsupported
from impls.split import Exchange, Stage
from impls.with_tensorflow.operators import Tensor
from impls.with_tensorflow.tuning import CPU_DEVICES, TF32

PEERS_START_WITHIN_S = 300.0  # the leading process waits so long for the others
LEADER_STARTS_WITHIN_S = 1800.0  # its framework may not be the first of the run
LEADER_SILENCE_S = 5.0  # after which the others end
PEER_SILENCE_S = 20.0  # after which the leading one ends: TensorFlow itself reports connections that break, but hangs
# where a machine vanishes
POLL_S = 0.5
ANSWER_WITHIN_S = 5.0


class Task(NamedTuple):
    """One process of a run."""

    job: str
    number: int
    address: str  # host:port

    @property
    def devices_prefix(self) -> str:
        """What TensorFlow's names of its devices begin with."""
        return f"/job:{self.job}/replica:0/task:{self.number}/"


@dataclass(frozen=True, slots=True)
class Run:
    """The processes of a run, the leading one first, and which of them this is."""

    spec: tf.train.ClusterSpec
    tasks: tuple[Task, ...]
    own: Task

    @property
    def peers(self) -> tuple[Task, ...]:
        """All but this one."""
        return tuple(task for task in self.tasks if task != self.own)


@dataclass(frozen=True, slots=True)
class Devices:
    """Where the shares of a network lie."""

    names: tuple[str, ...]
    host: str  # the leading process's CPU
    spanning: bool  # several processes
    strategy: tf.distribute.MirroredStrategy | None  # of whole copies on one machine

    def wait(self) -> None:
        """Return when everything started on them is done."""
        for name in self.names:
            with tf.device(name):
                tf.raw_ops.SyncDevice()


def emulate_devices() -> None:
    """Make this process's CPU as many devices as its environment asks for; in vain once TensorFlow has begun work."""
    count = int(os.environ.get(CPU_DEVICES, "1"))
    if count > 1:
        with contextlib.suppress(RuntimeError):
            (cpu,) = tf.config.list_physical_devices("CPU")
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


def devices_of(settings: Settings) -> Devices:
    """The devices of these settings, on this machine or, under TF_CONFIG, of all processes. Raises Unsupported."""
    if settings.device not in ("cpu", "cuda"):
        raise Unsupported(f"device {settings.device!r} is one; {settings.devices} are called cpu (emulated) or cuda")
    run = run_of_environment()
    if run is not None:
        _connect(run)
    kind = "CPU" if settings.device == "cpu" else "GPU"
    names = _chosen(kind, settings, run)
    cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
    host = cpus[0] if run is None else next(name for name in cpus if name.startswith(run.own.devices_prefix))
    mirrored = settings.split == "data" and run is None
    return Devices(names, host, run is not None, _strategy(names, kind) if mirrored else None)


def _chosen(kind: str, settings: Settings, run: Run | None) -> tuple[str, ...]:
    """As many devices of every process as of every other one, in the processes' order."""
    found = [device.name for device in tf.config.list_logical_devices(kind)]
    prefixes = [""] if run is None else [task.devices_prefix for task in run.tasks]
    each, rest = divmod(settings.devices, len(prefixes))
    if rest:
        raise Unsupported(f"{settings.devices} devices asked for of {len(prefixes)} processes: give a multiple of them")
    chosen: list[str] = []
    for prefix in prefixes:
        own = [name for name in found if name.startswith(prefix)]
        if len(own) < each:
            where = f" by {prefix.strip('/')}" if prefix else ""
            hint = f"; the environment sets {CPU_DEVICES} before the process starts" if kind == "CPU" else ""
            raise Unsupported(
                f"{each} {kind} devices asked for, TensorFlow {tf.__version__} found {len(own)}{where}"
                f" ({', '.join(own) or 'none'}){hint}"
            )
        chosen += own[:each]
    return tuple(chosen)


def _strategy(names: Sequence[str], kind: str) -> tf.distribute.MirroredStrategy:
    sums = tf.distribute.NcclAllReduce() if kind == "GPU" else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(list(names), cross_device_ops=sums)


def run_of_environment() -> Run | None:
    """The run that TF_CONFIG describes; None where this process is alone. Raises Unsupported."""
    try:
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        spec, job, index = resolver.cluster_spec(), resolver.task_type, resolver.task_id
    except (ValueError, TypeError, KeyError) as error:
        raise Unsupported(f"TF_CONFIG cannot be read: {error}") from None
    tasks = tuple(
        Task(name, number, spec.task_address(name, number))
        for name in sorted(spec.jobs)  # chief before worker
        for number in spec.task_indices(name)
    )
    if len(tasks) < 2:
        return None
    own = next((task for task in tasks if (task.job, task.number) == (job, index)), None)
    if own is None or not set(spec.jobs) <= {"chief", "worker"}:
        raise Unsupported(f"TF_CONFIG: task {job} {index} in a cluster of {', '.join(spec.jobs)}; chief and workers do")
    return Run(spec, tasks, own)


def _connect(run: Run) -> None:
    """Lead the run: make the devices of all its processes known in this one. Raises Unsupported."""
    if any(device.name.startswith(run.own.devices_prefix) for device in tf.config.list_logical_devices()):
        return  # for an earlier network
    if run.own != run.tasks[0]:
        raise Unsupported(
            f"this process is {run.own.job} {run.own.number}: it can follow only, and {_leader(run)} builds"
        )
    if _answers(run.own.address):
        raise Unsupported(f"another process uses {run.own.address}, which TF_CONFIG gives to this one")
    for job, number, address in run.peers:
        if not _answers_within(address, PEERS_START_WITHIN_S):
            raise Unsupported(
                f"{job} {number} of TF_CONFIG did not answer at {address} in {PEERS_START_WITHIN_S:.0f} s"
            )
    tf.config.experimental_connect_to_cluster(
        run.spec, job_name=run.own.job, task_index=run.own.number, protocol="grpc", make_master_device_default=False
    )
    for peer in run.peers:
        threading.Thread(target=_end_without, args=(peer,), daemon=True).start()


def serve() -> None:
    """Serve this process's devices to the one that leads, until that has ended. Raises Unsupported."""
    run = run_of_environment()
    if run is None or run.own == run.tasks[0]:
        found = os.environ.get("TF_CONFIG", "")
        raise Unsupported(f"nobody to follow: TF_CONFIG names this process after the first; found {found!r}")
    tf.config.experimental.enable_tensor_float_32_execution(os.environ.get(TF32) == "1")
    emulated = int(os.environ.get(CPU_DEVICES, "1"))
    server = tf.distribute.Server(
        run.spec,
        job_name=run.own.job,
        task_index=run.own.number,
        protocol="grpc",
        config=tf.compat.v1.ConfigProto(device_count={"CPU": emulated}),
    )
    leader = run.tasks[0].address
    if not _answers_within(leader, LEADER_STARTS_WITHIN_S):
        raise Unsupported(f"{_leader(run)} did not answer at {leader} in {LEADER_STARTS_WITHIN_S:.0f} s")
    _silent_for(leader, LEADER_SILENCE_S)
    del server  # it has served until here


def _leader(run: Run) -> str:
    return f"{run.tasks[0].job} {run.tasks[0].number}"


def _end_without(peer: Task) -> None:
    """End this process when the peer is gone: an operation that waits for it cannot be interrupted."""
    _silent_for(peer.address, PEER_SILENCE_S)
    sys.stderr.write(f"\n{peer.job} {peer.number} at {peer.address} is gone: the run on its devices cannot go on\n")
    sys.stderr.flush()
    os._exit(1)


def _silent_for(address: str, silence_s: float) -> None:
    """Return when nobody has answered at the address for so long."""
    heard = time.monotonic()
    while time.monotonic() - heard < silence_s:
        if _answers(address):
            heard = time.monotonic()
        time.sleep(POLL_S)


def _answers_within(address: str, limit_s: float) -> bool:
    until = time.monotonic() + limit_s
    while not _answers(address):
        if time.monotonic() > until:
            return False
        time.sleep(POLL_S)
    return True


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_WITHIN_S).close()
    except OSError:
        return False
    return True


# What follows is traced. `parts` holds a tensor for each device, and so does what is returned.


def exchanged(stage: Stage, parts: Sequence[Tensor], devices: Sequence[str]) -> list[Tensor]:
    """A stage's input after its exchange. Its opposite in the backward pass is its gradient, placed as it is."""
    match stage.exchange:
        case Exchange.NONE:
            return list(parts)
        case Exchange.GATHER_BATCH:
            return gathered(parts, 0, devices)
        case Exchange.GATHER_CHANNELS:
            return gathered(parts, -1, devices)
        case Exchange.HALO:
            return with_halo(parts, stage.reach, devices)


def gathered(parts: Sequence[Tensor], axis: int, devices: Sequence[str]) -> list[Tensor]:
    """The parts one after the other along an axis, on every device."""
    whole = []
    for device in devices:
        with tf.device(device):
            whole.append(tf.concat(parts, axis))
    return whole


def with_halo(parts: Sequence[Tensor], reach: int, devices: Sequence[str]) -> list[Tensor]:
    """[..., C / devices] with `reach` channels of both neighbours around them, zeros where there is none."""
    lower, upper = [], []
    for part, device in zip(parts, devices, strict=True):
        with tf.device(device):  # cut before they are sent
            lower.append(part[..., :reach])
            upper.append(part[..., -reach:])
    widened = []
    for index, device in enumerate(devices):
        with tf.device(device):
            nothing = tf.zeros_like(lower[index])
            left = upper[index - 1] if index > 0 else nothing
            right = lower[index + 1] if index + 1 < len(devices) else nothing
            widened.append(tf.concat([left, parts[index], right], -1))
    return widened


def summed(parts: Sequence[Tensor], devices: Sequence[str]) -> list[Tensor]:
    """Their sum on every device, added in the same order on each, so that copies of a tensor stay equal."""
    sums = []
    for device in devices:
        with tf.device(device):
            sums.append(tf.add_n(parts))
    return sums


def mirrored(
    strategy: tf.distribute.MirroredStrategy, part: Callable[[int], tuple[Tensor, list[Tensor]]]
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Each device's part of the loss, and for each device the gradients summed over all. `part` computes one's own."""

    def replica() -> tuple[Tensor, list[Tensor]]:
        context = tf.distribute.get_replica_context()
        loss, gradients = part(int(tf.get_static_value(context.replica_id_in_sync_group)))
        return loss, context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)

    losses, sums = strategy.run(replica)
    by_tensor = [strategy.experimental_local_results(each) for each in sums]
    return list(strategy.experimental_local_results(losses)), [list(own) for own in zip(*by_tensor, strict=True)]
