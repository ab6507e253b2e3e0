"""`BlockedExecutions`: tries executions again that could not go on.

All of a partition are tried when it is taken: its new holder may have the code. While it stays with
somebody, what blocked an execution may pass, too (a database that refused a write for a while): so
a page of them is tried now and then, and each time all were tried the next time is later.

The code of a process does not change, and so what it does not declare, or does otherwise than a
journal says, is tried for nothing. That costs a read and a replay, and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from octoqueue.orchestrator.inbox import Input

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from octoqueue.orchestrator.driving import Driver
    from octoqueue.primitives.clock import Clock
    from octoqueue.workflows.executions import ExecutionId
    from octoqueue.workflows.protocol import WorkflowStore

PAGE = 100
AGAIN_SECONDS = 30.0
LONGEST_SECONDS = 600.0


@dataclass(slots=True)
class _Round:
    """How far the blocked executions of a partition have been tried."""

    next_at: float
    """When to go on, on the monotonic clock."""
    rest_seconds: float = AGAIN_SECONDS
    """How long nothing is tried once all were."""
    after: ExecutionId | None = None


class BlockedExecutions:
    """The blocked executions of the partitions that are held."""

    def __init__(
        self,
        store: WorkflowStore,
        *,
        epochs: Mapping[int, int],
        driver: Driver,
        settled: Callable[[], Awaitable[None]],
        names: Callable[[], tuple[str, ...]],
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            store: where they are.
            epochs: the partitions that are held.
            driver: tries them.
            settled: returns when what has been taken in so far is written.
            names: the workflow functions that this process has.
            clock: says when to try again.
        """
        self._store = store
        self._epochs = epochs
        self._driver = driver
        self._settled = settled
        self._names = names
        self._clock = clock
        self._rounds: dict[int, _Round] = {}

    async def try_all(self, partition: int) -> None:
        """Try all of a partition.

        Raises:
            StoreError: the store is gone.
        """
        after: ExecutionId | None = None
        while partition in self._epochs:
            after = await self._try_page(partition, after)
            if after is None:
                break
            await self._settled()
        self._rounds[partition] = _Round(self._clock.monotonic() + AGAIN_SECONDS)

    async def try_some(self, partitions: Iterable[int]) -> None:
        """Try a page of each partition whose time has come.

        Raises:
            StoreError: the store is gone.
        """
        for partition in partitions:
            now = self._clock.monotonic()
            place = self._rounds.setdefault(partition, _Round(now + AGAIN_SECONDS))
            if now < place.next_at:
                continue
            place.after = await self._try_page(partition, place.after)
            if place.after is not None:
                place.next_at = now + AGAIN_SECONDS
            else:
                place.rest_seconds = min(2 * place.rest_seconds, LONGEST_SECONDS)
                place.next_at = now + place.rest_seconds

    def drop(self, partition: int) -> None:
        """Forget a partition: somebody else tries."""
        self._rounds.pop(partition, None)

    async def _try_page(self, partition: int, after: ExecutionId | None) -> ExecutionId | None:
        """Try a page; return where the next one begins, None when it was the last."""
        page = await self._store.blocked(partition, names=self._names(), after=after, limit=PAGE)
        self._driver.take(Input(ident, partition) for ident in page)
        return page[-1] if len(page) == PAGE else None
