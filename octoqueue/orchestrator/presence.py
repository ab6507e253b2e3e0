"""`OrchestratorPresence`: what an orchestrator says of itself with its heartbeat."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from octoqueue.primitives.signals import Presence
from octoqueue.workflows.letters import queue_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from octoqueue.primitives.clock import Clock


class OrchestratorPresence:
    """Knows what there is to say of one orchestrator.

    It may be given any partition, so it says that it serves the letters of all.
    """

    def __init__(
        self,
        *,
        name: str,
        fleet: str,
        partitions: int,
        slots: int,
        running: Callable[[], int],
        started: asyncio.Event,
        stopping: asyncio.Event,
        clock: Clock,
    ) -> None:
        """Begin: this is the moment at which it was started."""
        self._name = name
        self._fleet = fleet
        self._queues = tuple(queue_of(partition) for partition in range(partitions))
        self._slots = slots
        self._running = running
        self._started, self._stopping = started, stopping
        self._clock = clock
        self._started_at_ms, self._ready_at_ms = clock.now_ms(), 0
        self._host, self._pid = socket.gethostname(), os.getpid()

    def __call__(self, session: str) -> Presence | None:
        """Return what there is to say now, None before it is ready."""
        if not self._started.is_set():
            return None
        self._ready_at_ms = self._ready_at_ms or self._clock.now_ms()
        return Presence(
            session=session,
            name=self._name or session,
            fleet=self._fleet,
            queues=self._queues,
            slots=self._slots,
            running=self._running(),
            started_at_ms=self._started_at_ms,
            ready_at_ms=self._ready_at_ms,
            said_at_ms=0,
            is_draining=self._stopping.is_set(),
            host=self._host,
            pid=self._pid,
        )
