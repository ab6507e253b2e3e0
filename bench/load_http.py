"""A load of tasks over HTTP that costs next to nothing itself: each task one POST and one GET.

    due ──► POST ──► 202 ──(look_after_seconds)──► GET ──► completed
                                                    ▲          │ not yet
                                                    └──────────┘

Open loop: when a request is due is fixed beforehand, and its time is taken from then, so a server
that is slow is not asked less often for it (no coordinated omission). Requests that find every
connection busy wait, and their wait counts. A child process (`bench.child`), since it is to share
the machine and not the event loop of whoever watches.

The weakness: it reads answers just well enough for an edge that sends `content-length`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final, cast

import uvloop

from bench.child import order, say, told

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS: Final = "/api/v1/tasks"
GOAL: Final = "Is this a phishing mail? It asks for credentials."
_TICK_SECONDS: Final = 0.002
_PATIENCE_SECONDS: Final = 30.0
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_ID_BYTES: Final = 36


class Connection(asyncio.Protocol):
    """One kept-alive connection, with one request under way at most."""

    def __init__(
        self, on_free: Callable[[Connection], None], on_lost: Callable[[Connection], None]
    ) -> None:
        self._on_free = on_free
        self._on_lost = on_lost
        self._received = b""
        self._answered: Callable[[int, bytes], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def ask(self, request: bytes, answered: Callable[[int, bytes], None]) -> None:
        """Send a request; `answered` is called with the status and body of its answer."""
        self._answered = answered
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer."""
        received = self._received = self._received + data if self._received else data
        head = received.find(_HEAD_END)
        if head < 0:
            return
        at = received.find(_LENGTH, 0, head) + len(_LENGTH)
        body = head + len(_HEAD_END)
        if len(received) - body < int(received[at : received.index(b"\r\n", at)]):
            return
        answered, self._answered, self._received = self._answered, None, b""
        assert answered is not None
        answered(int(received[9:12]), received[body:])
        self._on_free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits, with 0 for the status: there was no answer."""
        del exc
        self._on_lost(self)
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(0, b"")


class Load:
    """So many tasks a second for so long, each seen to its end."""

    def __init__(
        self, *, rate: float, seconds: float, warm_seconds: float, look_after_seconds: float
    ) -> None:
        self._rate = rate
        self._look_after_seconds = look_after_seconds
        self._warm_tasks = int(rate * warm_seconds)
        self._left_to_post = int(rate * (warm_seconds + seconds))
        self._open = self._left_to_post
        self._posted = 0
        self._free: deque[Connection] = deque()
        """The longest idle one first, so that none is idle for long."""
        self._waiting: deque[tuple[bytes, Callable[[int, bytes], None]]] = deque()
        self._looks: deque[tuple[float, str, bool]] = deque()
        """When a task is looked at, which, and whether it counts."""
        self.refused: Counter[int] = Counter()
        """By status; all of them, also those of the warm-up."""
        self.completed = 0
        """Of those that count."""
        self.asked_again = 0
        self.failed = 0
        self.post_ms: list[float] = []
        self.get_ms: list[float] = []

        self._to_replace = 0

    async def run(
        self, *, host: str, port: int, connections: int, goal: str, arm: str | None
    ) -> None:
        """Offer the load and return when every task was seen to its end."""
        named = b"" if arm is None else b', "arm": "%s"' % arm.encode()
        body = b'{"goal": "%s"%s}' % (goal.encode(), named)
        self._post = (
            b"POST %s HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%s" % (TASKS.encode(), len(body), body)
        )
        self._target = host, port
        for _ in range(connections):
            await self._connect()
        self._began = time.monotonic()
        async with asyncio.timeout(self._left_to_post / self._rate + _PATIENCE_SECONDS):
            await self._tick()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(self._freed, self._lost), *self._target
        )
        self._freed(connection)

    async def _tick(self) -> None:
        """Ask what is due, a few hundred times a second."""
        while self._open:
            now = time.monotonic()
            while self._left_to_post and (due := self._began + self._posted / self._rate) <= now:
                self._submit(due, counts=self._posted >= self._warm_tasks)
            while self._looks and self._looks[0][0] <= now:
                self._look(*self._looks.popleft())
            for _ in range(self._to_replace):
                await self._connect()
            self._to_replace = 0
            await asyncio.sleep(_TICK_SECONDS)

    def _submit(self, due: float, *, counts: bool) -> None:
        self._posted += 1
        self._left_to_post -= 1

        def answered(status: int, body: bytes) -> None:
            now = time.monotonic()
            if counts:
                self.post_ms.append((now - due) * 1e3)
            if status == 202:
                at = body.index(b":") + 2
                task_id = body[at : at + _ID_BYTES].decode()
                self._looks.append((now + self._look_after_seconds, task_id, counts))
            else:
                self.refused[status] += 1
                self._open -= 1

        self._ask(self._post, answered)

    def _look(self, due: float, task_id: str, counts: bool) -> None:  # noqa: FBT001 - a tuple's
        def answered(status: int, body: bytes) -> None:
            now = time.monotonic()
            if counts:
                self.get_ms.append((now - due) * 1e3)
            if b'"status":"completed"' in body:
                self.completed += counts
                self._open -= 1
            elif b'"status":"failed"' in body or status != 200:
                self.failed += 1
                self._open -= 1
            else:
                self.asked_again += 1
                self._looks.append((now + self._look_after_seconds, task_id, counts))

        request = f"GET {TASKS}/{task_id} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()
        self._ask(request, answered)

    def _ask(self, request: bytes, answered: Callable[[int, bytes], None]) -> None:
        if self._free:
            self._free.popleft().ask(request, answered)
        else:
            self._waiting.append((request, answered))

    def _freed(self, connection: Connection) -> None:
        if self._waiting:
            connection.ask(*self._waiting.popleft())
        else:
            self._free.append(connection)

    def _lost(self, connection: Connection) -> None:
        with contextlib.suppress(ValueError):
            self._free.remove(connection)
        self._to_replace += 1


async def offer(ordered: dict[str, Any]) -> None:
    """Offer the load that was ordered; say what came of it."""
    load = Load(
        rate=ordered["rate"],
        seconds=ordered["seconds"],
        warm_seconds=ordered.get("warm_seconds", 2.0),
        look_after_seconds=ordered.get("look_after_seconds", 1.0),
    )
    say("ready")
    await told()
    cpu_began = time.process_time()
    await load.run(
        host=ordered["host"],
        port=ordered["port"],
        connections=ordered.get("connections", 64),
        goal=ordered.get("goal", GOAL),
        arm=ordered.get("arm"),
    )
    say(
        "done",
        cpu_seconds=time.process_time() - cpu_began,
        completed=load.completed,
        failed=load.failed,
        refused=load.refused,
        asked_again=load.asked_again,
        post_ms=load.post_ms,
        get_ms=load.get_ms,
    )


def main() -> None:
    """Do what was ordered."""
    uvloop.run(offer(order()))


if __name__ == "__main__":
    main()
