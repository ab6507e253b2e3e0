"""`KitStore`: the memory store of a test, for several threads, and it notes how leases end.

A test sends from its own thread, from event loops and from actors in threads. The memory store
knows only one loop; its calls do not suspend, so a lock around each is enough. Those that wait for
something do suspend, and are called without it.
"""

from __future__ import annotations

import threading
from functools import wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from octoqueue.primitives.messages import Outcome
from octoqueue.testing.memory_lanes import MemoryLaneStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from octoqueue.lanes.options import LaneOptions
    from octoqueue.lanes.protocol import LaneStore, Refusals
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.messages import Lease, RunTime, SessionId, Settlement


class Ended(NamedTuple):
    """A lease, and how it ended."""

    lease: Lease
    outcome: Outcome
    delay_ms: int = 0
    reason: bytes = b""


class KitStore:
    """Does what the memory store does, one call at a time."""

    def __init__(self, options: LaneOptions | None, *, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._lock = threading.RLock()
        self.inner = MemoryLaneStore(options, clock=clock)
        self.ended: list[Ended] = []

    @property
    def lanes(self) -> LaneStore:
        """Itself, as what it stands in for."""
        return cast("LaneStore", self)

    def clear(self) -> None:
        """Begin anew, with nothing in it."""
        with self._lock:
            self.inner = MemoryLaneStore(self._options, clock=self._clock)
            self.ended = []

    def waiting(self) -> list[tuple[bytes, int | None]]:
        """Return all that waits or is delayed, with the time it is due."""
        with self._lock:
            return self.inner.waiting()

    async def commit(
        self,
        session: SessionId,
        *,
        acks: Sequence[Lease] = (),
        settlements: Sequence[Settlement] = (),
        run_times: Mapping[str, RunTime] | None = None,
    ) -> Refusals:
        """End leases, and note how."""
        with self._lock:
            refusals = await self.inner.commit(
                session, acks=acks, settlements=settlements, run_times=run_times
            )
            self.ended += [Ended(lease, Outcome.ACK) for lease in acks]
            self.ended += [
                Ended(one.lease, one.outcome, one.delay_ms, one.reason) for one in settlements
            ]
        return refusals

    async def claim_when_rung(
        self, session: SessionId, queues: Sequence[str], *, limit: int, timeout: timedelta
    ) -> tuple[bool, list[Lease]]:
        """Wait for a bell, then claim."""
        rung = await self.inner.wait_for_bell(queues, timeout=timeout)
        with self._lock:
            return rung, await self.inner.claim(session, queues, limit=limit)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the memory store has
        found = getattr(self.inner, name)
        if name.startswith("wait") or not iscoroutinefunction(found):
            return found

        @wraps(found)
        async def locked(*args: object, **kwargs: object) -> object:
            with self._lock:
                return await found(*args, **kwargs)

        return locked
