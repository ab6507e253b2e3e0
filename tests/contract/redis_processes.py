"""Redis servers of a test's own: to kill, to start again, and to join into a cluster."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import redis
from redis.exceptions import RedisError

from octoqueue.embedded.binaries import find_redis

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Generator
    from pathlib import Path

SLOTS = 16_384
TRIES = 3_000
PAUSE_SECONDS = 0.01


class RedisProcess:
    """One server process, known by its pid only."""

    def __init__(self, directory: Path, *, port: int = 0, settings: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self.port = port
        self.socket = directory / "s"
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}" if self.port else f"unix://{self.socket}"

    def start(self) -> None:
        """Start the server and return when it answers."""
        self.directory.mkdir(exist_ok=True)
        own = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory))
        place = () if self.port else ("--unixsocket", str(self.socket))
        rest = ("--save", "", "--logfile", str(self.directory / "log"), *self.settings)
        self.process = subprocess.Popen([find_redis().path, *own, *place, *rest])
        wait_until(self.answers)

    def answers(self) -> bool:
        with contextlib.suppress(RedisError):
            return bool(self.ask("PING"))
        return False

    def ask(self, *command: str | int) -> Any:  # noqa: ANN401 - as Redis answers
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            return client.execute_command(*command)

    def clients(self) -> list[dict[str, str]]:
        """The connections it has, without the one that asks."""
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            return [other for other in client.client_list() if other["cmd"] != "client|list"]

    def drop(self, clients: list[dict[str, str]]) -> None:
        """Close connections from the server's side."""
        for client in clients:
            self.ask("CLIENT", "KILL", "ID", client["id"])

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def running_redis(directory: Path) -> Generator[RedisProcess]:
    """A server that keeps what it answered, also when it is killed."""
    server = RedisProcess(directory / "r", settings=("--appendonly", "yes"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


def wait_until(fact: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(TRIES):
        if fact():
            return
        pause.wait(PAUSE_SECONDS)
    raise AssertionError("the servers did not come to what was waited for")


@contextlib.contextmanager
def cluster_of(
    nodes: int, directory: Path, *, settings: tuple[str, ...] = ()
) -> Generator[list[RedisProcess]]:
    """A Redis Cluster of `nodes` masters on loopback that share the slots evenly."""
    settings += ("--cluster-enabled", "yes", "--cluster-node-timeout", "3000")
    servers = [
        RedisProcess(directory / f"n{number}", port=free_port(), settings=settings)
        for number in range(nodes)
    ]
    try:
        for number, server in enumerate(servers):
            server.start()
            slots = range(number * SLOTS // nodes, (number + 1) * SLOTS // nodes)
            for first in range(slots.start, slots.stop, 1000):
                server.ask("CLUSTER", "ADDSLOTS", *range(first, min(first + 1000, slots.stop)))
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in servers:
            for other in servers:
                if other is not server:
                    server.ask("CLUSTER", "MEET", "127.0.0.1", other.port)
        wait_until(lambda: all(knows_the_cluster(server, nodes) for server in servers))
        yield servers
    finally:
        for server in servers:
            server.kill()


def knows_the_cluster(server: RedisProcess, nodes: int) -> bool:
    told = server.ask("CLUSTER", "INFO").decode().split()
    return {"cluster_state:ok", f"cluster_slots_ok:{SLOTS}", f"cluster_size:{nodes}"} <= set(told)


def free_port() -> int:
    """A port that is free together with the one a cluster node takes 10,000 above it."""
    while True:
        port = random.randint(20_000, 50_000)
        with contextlib.suppress(OSError), socket.socket() as low, socket.socket() as high:
            low.bind(("127.0.0.1", port))
            high.bind(("127.0.0.1", port + 10_000))
            return port
