"""`AgentLink`: a worker's end of the connection to the fleet agent of its machine.

Unlike a `Lifeline` it may break without ending the worker. That connects to the agent's socket in
the state directory and says who it is. When the agent dies, by whatever death, the kernel closes
the connection; the worker goes on working and looks for an agent at the same place for the length
of its grace. The one that has come by then finds it as it was; if none has, the worker drains and
ends, so that nothing is left behind for good.

    worker                                agent
      │ {"name": …, "pid": …, "ready": …}   │
      ├────────────────────────────────────►│  known: welcome; not wanted any more: leave
      │◄────────────────────────────────────┤
      │ ready                               │
      ├────────────────────────────────────►│
      │                                     │  too many: retire, which is to end once nothing runs
      │◄────────────────────────────────────┤

The weakness: a worker whose event loop is blocked looks for its agent only when it is free again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Final

import orjson

from octoqueue.embedded.sockets import SocketPlace
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from pathlib import Path

log = logging.getLogger(__name__)

SOCKET: Final = "agent.sock"
WELCOME: Final = b"welcome\n"
LEAVE: Final = b"leave\n"
RETIRE: Final = b"retire\n"
READY: Final = b"ready\n"

_LOOK_AGAIN_SECONDS: Final = 0.2


def socket_place(directory: Path) -> SocketPlace:
    """Return where the socket of the agent is whose directory this is."""
    return SocketPlace(directory, pointer=directory / "agent.sockets")


class AgentLink:
    """The worker's end; to its process it is what `ChildEnd` is under a supervisor."""

    def __init__(
        self,
        directory: Path,
        *,
        name: str,
        fleet: str,
        digest: str = "",
        grace: timedelta,
        clock: Clock | None = None,
    ) -> None:
        """Prepare; `watch` connects.

        Args:
            directory: of the agent.
            name: of this process.
            fleet: that it belongs to.
            digest: of what it was started with, as the agent gave it.
            grace: how long it works without an agent.
            clock: for tests.
        """
        self._directory = directory
        self._who = {"name": name, "fleet": fleet, "digest": digest, "pid": os.getpid()}
        self._grace_seconds = grace.total_seconds()
        self._clock = clock or SystemClock()
        self._writer: asyncio.StreamWriter | None = None
        self._is_ready = self._is_leaving = False
        self._on_end: Callable[[], None] = _nothing
        self._on_retire: Callable[[], None] = _nothing
        self._task: asyncio.Task[None] | None = None

    def say_ready(self) -> None:
        """Tell the agent, and those that come after it, that this process does its work."""
        self._is_ready = True
        if self._writer is not None:
            self._writer.write(READY)

    def say_leaving(self) -> None:
        """Have agents that come later know that this process is about to end."""
        self._is_leaving = True

    def watch(
        self, on_end: Callable[[], None], *, on_retire: Callable[[], None] | None = None
    ) -> None:
        """Keep the connection; call `on_end` on the running loop, once, when it is time to end.

        `on_retire` instead when there is time: once nothing runs; `on_end` where there is none.
        """
        self._on_end, self._on_retire = on_end, on_retire or on_end
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        seen_at = self._clock.monotonic()
        while True:
            if await self._talk():
                seen_at = self._clock.monotonic()
                if not self._is_leaving:
                    log.warning("agent_lost", extra={"ends_in_seconds": self._grace_seconds})
            elif self._clock.monotonic() - seen_at >= self._grace_seconds:
                self._end("no agent came")
            await self._clock.sleep(_LOOK_AGAIN_SECONDS)

    async def _talk(self) -> bool:
        """Talk to an agent until it has gone; return whether there was one that knew us."""
        place = socket_place(self._directory).find()
        if place is None:
            return False
        welcomed = False
        with contextlib.suppress(OSError, ValueError):
            reader, writer = await asyncio.open_unix_connection(str(place / SOCKET))
            try:
                state = {"ready": self._is_ready, "leaving": self._is_leaving}
                writer.write(orjson.dumps(self._who | state) + b"\n")
                was_ready = self._is_ready
                while line := await reader.readline():
                    if line == LEAVE:
                        self._end("it is not wanted any more")
                    elif line == RETIRE:
                        self._end("its agent needs it no longer", retire=True)
                    elif line == WELCOME:
                        welcomed, self._writer = True, writer
                        if self._is_ready and not was_ready:
                            writer.write(READY)
            finally:
                self._writer = None
                writer.close()
        return welcomed

    def _end(self, reason: str, *, retire: bool = False) -> None:
        if not self._is_leaving:
            self._is_leaving = True
            log.info("worker_leaves", extra={"reason": reason})
            (self._on_retire if retire else self._on_end)()


def _nothing() -> None:
    """Do nothing."""
