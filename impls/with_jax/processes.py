"""The processes of a run that spans machines: they meet under jax.distributed, and do what the leading one tells them.

Every process executes the same programs in the same order. The leading one says which, by a connection of its own to
each of the others: commands as JSON lines, arrays as their bytes. JAX watches over the processes: where one of them
dies, the others get an error from their exchange, or are ended.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hmac
import json
import os
import secrets
import select
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from impls.protocol import Unsupported
from impls.with_jax.engine import AnyArray

TOKEN_BYTES = 32
JOIN_LIMIT_S = 120  # for all processes to be there
HEARTBEAT_LIMIT_S = 30  # without one, a process is taken to be dead
GRACE_S = 1.0  # for the end of a process to be seen


class DeviceLost(RuntimeError):
    """A process of the run has ended: no network that is split over its devices can go on."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run, as the environment names them."""

    coordinator: str  # host:port
    count: int
    index: int


def processes() -> Processes | None:
    """Those of this run; None where there is but one. Raises Unsupported."""
    names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    coordinator, count, index = (os.environ.get(name, "") for name in names)
    if not coordinator or count == "1":
        return None
    if not (count.isdecimal() and index.isdecimal() and int(index) < int(count) and ":" in coordinator):
        found = ", ".join(f"{name}={os.environ.get(name, '')!r}" for name in names)
        raise Unsupported(f"a run in several processes needs host:port, a number and a lower number; found {found}")
    return Processes(coordinator, int(count), int(index))


@functools.cache
def join() -> Link | None:
    """Meet the other processes, once; None where there are none. Before anything else is asked of JAX."""
    own = processes()
    if own is None:
        return None
    jax.distributed.initialize(
        own.coordinator,
        own.count,
        own.index,
        initialization_timeout=JOIN_LIMIT_S,
        heartbeat_timeout_seconds=HEARTBEAT_LIMIT_S,
        cluster_detection_method="deactivate",
    )
    atexit.register(leave)
    return _lead(own) if own.index == 0 else _attend(own)


def leave() -> None:
    """End what `join` began, in the leading process and with it in all others."""
    if not jax.distributed.is_initialized():
        return
    link = join()
    if link is None or link.lost:
        return  # the others are not all there to meet, and end without
    if jax.process_index() == 0:
        with contextlib.suppress(OSError):
            link.tell({"do": "end"}, {})
    link.close()
    with contextlib.suppress(RuntimeError):  # one of them is gone after all
        jax.distributed.shutdown()


class Link:
    """Connections over which the leading process tells the others what to do, or the one of such a process to it."""

    def __init__(self, connections: list[socket.socket]) -> None:
        self.lost = False
        self.released: list[int] = []  # networks that the others may forget, told with the next command
        self._connections = connections
        self._streams = [connection.makefile("rwb") for connection in connections]

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """What fails inside leaves the processes at different points: none is kept. Raises DeviceLost."""
        if self.lost:
            raise DeviceLost("a process of this run is lost: no network that is split over it can go on")
        try:
            yield
        except BaseException as error:
            self.lost = True
            # they never write, so that what can be read is their end
            ended, _, _ = select.select(self._connections, [], [], GRACE_S)
            self.close()
            if ended:
                raise DeviceLost(
                    f"{len(ended)} of the {len(self._connections)} other processes of this run ended: what it wrote"
                    f" says why"
                ) from error
            raise

    def tell(self, command: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> None:
        """Send a command. Raises OSError where a process is gone."""
        given = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        kinds = [(name, array.dtype.str, array.shape) for name, array in given.items()]
        released = [self.released.pop() for _ in range(len(self.released))]
        line = json.dumps({**command, "released": released, "arrays": kinds}).encode() + b"\n"
        for stream in self._streams:
            stream.write(line)
            for array in given.values():
                stream.write(array.reshape(-1).view(np.uint8).data)
            stream.flush()

    def hear(self) -> tuple[dict[str, Any], dict[str, AnyArray]] | None:
        """The next command and its arrays; None where the leading process is gone."""
        (stream,) = self._streams
        try:
            command: dict[str, Any] = json.loads(stream.readline())
            arrays = {}
            for name, dtype, shape in command.pop("arrays"):
                expected = np.empty(shape, np.dtype(dtype))
                arrays[name] = np.frombuffer(stream.read(expected.nbytes), expected.dtype).reshape(shape)
        except (OSError, ValueError):  # a line or an array broken off
            return None
        return command, arrays

    def close(self) -> None:
        """No more commands."""
        for stream, connection in zip(self._streams, self._connections, strict=True):
            with contextlib.suppress(OSError):
                stream.close()
            connection.close()


def _lead(own: Processes) -> Link:
    """Wait for the other processes; each proves itself with a token that JAX brought it."""
    with socket.create_server(("", 0)) as server:
        server.settimeout(JOIN_LIMIT_S)
        token = secrets.token_bytes(TOKEN_BYTES)
        _broadcast(server.getsockname()[1], token)
        connections: list[socket.socket] = []
        while len(connections) < own.count - 1:
            connection, _ = server.accept()
            connection.settimeout(JOIN_LIMIT_S)
            if hmac.compare_digest(connection.recv(TOKEN_BYTES, socket.MSG_WAITALL), token):
                connections.append(_ready(connection))
            else:
                connection.close()
    return Link(connections)


def _attend(own: Processes) -> Link:
    port, token = _broadcast(0, bytes(TOKEN_BYTES))
    host = own.coordinator.rpartition(":")[0].strip("[]")
    connection = socket.create_connection((host, port), timeout=JOIN_LIMIT_S)
    connection.sendall(token)
    return Link([_ready(connection)])


def _ready(connection: socket.socket) -> socket.socket:
    connection.settimeout(None)  # the leading process may be silent for as long as it likes
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _broadcast(port: int, token: bytes) -> tuple[int, bytes]:
    """The leading process' port and token, on all."""
    told = multihost_utils.broadcast_one_to_all(np.array([port, *token], np.int32))
    return int(told[0]), bytes(np.asarray(told[1:]).astype(np.uint8))
