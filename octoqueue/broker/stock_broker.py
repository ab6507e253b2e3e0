"""`StockBroker`: what dramatiq's own worker, command line and tests ask of a broker."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dramatiq.broker import Broker, Consumer
from dramatiq.errors import ActorNotFound
from dramatiq.worker import WorkerThread

from octoqueue.broker.consumer import LaneConsumer
from octoqueue.broker.joining import LOOK_EVERY_MS, joined

if TYPE_CHECKING:
    import dramatiq

    from octoqueue.broker.loop_stores import LoopStores
    from octoqueue.broker.options import Defaults
    from octoqueue.broker.portal import Portal
    from octoqueue.broker.session_keeper import SessionKeeper
    from octoqueue.lanes.protocol import LaneStore

_MILLISECOND = timedelta(milliseconds=1)


class StockBroker(Broker):
    """Consumes, flushes and waits, for callers without an event loop."""

    actors: dict[str, dramatiq.Actor[..., Any]]
    defaults: Defaults
    queues: dict[str, None]
    _portal: Portal
    _keeper: SessionKeeper
    _stores: LoopStores

    async def opened_store(self) -> LaneStore:
        """Return the store of the running loop, opening it when needed."""
        return (await self._stores.here())[0]

    def get_actor(self, actor_name: str) -> dramatiq.Actor[..., Any]:
        """Return an actor by name, as dramatiq's middleware and worker want it.

        Raises:
            ActorNotFound: it is not declared in this process.
        """
        if actor_name not in self.actors:
            raise ActorNotFound(actor_name)  # type: ignore[no-untyped-call] # dramatiq's
        actor = self.actors[actor_name]
        if isinstance(threading.current_thread(), WorkerThread):
            return getattr(actor, "blocking", actor)
        return actor

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5_000) -> Consumer:
        """Return a consumer for dramatiq's own worker; `timeout` in milliseconds."""
        self._portal.run(self._keeper.watch(queue_name))
        return LaneConsumer(
            self._portal,
            self._keeper,
            queue_name,
            prefetch=prefetch,
            timeout=timedelta(milliseconds=timeout),
            max_deliveries=self.defaults.max_deliveries,
            result_ttl_ms=self.defaults.result_ttl // _MILLISECOND,
            expires_ms_of=self._expires_ms_of,
        )

    def _expires_ms_of(self, actor_name: str) -> int | None:
        actor = self.actors.get(actor_name)
        return None if actor is None else actor.options.get("expires")

    def flush(self, queue_name: str) -> None:
        """Drop all messages of a queue that do not run."""

        async def flush() -> None:
            await (await self.opened_store()).flush(queue_name)

        self._portal.run(flush())

    def flush_all(self) -> None:
        """Drop all messages that do not run."""
        for queue_name in self.queues:
            self.flush(queue_name)

    def join(
        self,
        queue_name: str,
        *,
        interval: int = LOOK_EVERY_MS,
        timeout: int | None = None,
        fail_fast: bool = False,
    ) -> None:
        """Wait until a queue has nothing waiting, delayed or running; for tests.

        `interval` (between looks) and `timeout` in milliseconds.

        Raises:
            QueueJoinTimeout: it did not come to that in time.
            ActorFailed: with `fail_fast`, the queue has a dead letter; `flush` drops old ones.
        """
        waiting = joined(
            self.opened_store,
            queue_name,
            interval_ms=interval,
            timeout_ms=timeout,
            fail_fast=fail_fast,
        )
        self._portal.run(waiting)
