"""`WorkerPresence`: what a worker says of itself with its heartbeat.

It is made on the event loop of the worker and read in the thread of the heartbeat: what it reads
are single numbers, so that nothing needs a lock.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, NamedTuple

from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.primitives.signals import Presence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from octoqueue.primitives.messages import SessionId


class AtRisk(NamedTuple):
    """What would be lost with a worker."""

    seconds: float = 0.0
    """Running time since the last checkpoints, added up."""
    cost: float = 0.0
    """What that has cost so far."""
    longest_seconds: float = 0.0
    """Running time of the one message that would lose most of it."""


class WorkerPresence:
    """Knows what there is to say of one process."""

    def __init__(
        self,
        session: SessionId,
        *,
        queues: Sequence[str],
        slots: int,
        running: Callable[[], int],
        name: str = "",
        fleet: str = "",
        at_risk: Callable[[], AtRisk] = AtRisk,
        clock: Clock | None = None,
    ) -> None:
        """Begin: this is the moment at which it was started.

        Args:
            session: its lease session.
            queues: what it serves.
            slots: messages that it runs at the same time, at most.
            running: how many run now; called in the thread of the heartbeat.
            name: of the process; that of the session when it has none.
            fleet: which it belongs to.
            at_risk: what would be lost with it now; called in the thread of the heartbeat.
            clock: for tests.
        """
        self._clock = clock or SystemClock()
        self._session = session
        self._queues = tuple(queues)
        self._slots = slots
        self._running = running
        self._name = name or session
        self._fleet = fleet
        self._at_risk = at_risk
        self._host, self._pid = socket.gethostname(), os.getpid()
        self._started_at_ms = self._clock.now_ms()
        self._ready_at_ms = 0
        self._is_draining = False

    def ready(self) -> None:
        """Say from now on that it claims; the first time counts."""
        self._ready_at_ms = self._ready_at_ms or self._clock.now_ms()

    def draining(self) -> None:
        """Say from now on that it claims nothing more."""
        self._is_draining = True

    @property
    def is_ready(self) -> bool:
        """Whether there is something to say: nobody counts on who is not ready."""
        return self._ready_at_ms > 0

    @property
    def edge(self) -> tuple[bool, bool, bool]:
        """What is said soon when it changes: ready, busy, draining."""
        return self.is_ready, self._running() > 0, self._is_draining

    def said(self, *, blocked_seconds: float = 0.0) -> Presence:
        """Return what there is to say now; the store adds when it was said.

        An actor that blocks the event loop from its first instruction is not known to run, so a
        loop that has been blocked for `blocked_seconds` counts as one message at least.
        """
        at_risk, running = self._at_risk(), self._running()
        return Presence(
            session=self._session,
            name=self._name,
            fleet=self._fleet,
            queues=self._queues,
            slots=self._slots,
            running=max(running, 1) if blocked_seconds else running,
            started_at_ms=self._started_at_ms,
            ready_at_ms=self._ready_at_ms,
            said_at_ms=0,
            is_draining=self._is_draining,
            at_risk_seconds=max(at_risk.seconds, blocked_seconds),
            at_risk_cost=at_risk.cost,
            at_risk_longest_seconds=max(at_risk.longest_seconds, blocked_seconds),
            host=self._host,
            pid=self._pid,
        )
