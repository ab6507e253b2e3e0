"""`RedisReading`: what is true of the queues, read from Redis."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from octoqueue.errors import StoreError
from octoqueue.lanes.dead_letters import dead_letter_from
from octoqueue.lanes.options import LaneOptions
from octoqueue.lanes.reading import stats_from
from octoqueue.redis.calls.life import flush_call
from octoqueue.redis.calls.scope import Scope, scopes
from octoqueue.redis.calls.upkeep import stats_call
from octoqueue.redis.hub import Hub
from octoqueue.redis.keys import Keys
from octoqueue.redis.results import ResultHub
from octoqueue.routing.partitions import PartitionMap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.messages import DeadLetter, QueueStats
    from octoqueue.redis.client import RedisClient
    from octoqueue.redis.scripts import ScriptCall

_LETTERS_AT_ONCE = 50
_FLUSHED_AT_ONCE = 500


class RedisReading:
    """Reads; what changes messages stands on it."""

    def __init__(
        self,
        client: RedisClient,
        options: LaneOptions | None = None,
        *,
        per_partition: bool | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """Use `client`.

        Args:
            client: the connection; closed with the store.
            options: partitions, lease and bounds.
            per_partition: one call a partition, as Redis Cluster needs; by default when
                the client speaks to a cluster.
            now_ms: a clock for tests; the server's own when None.
        """
        self.options = options or LaneOptions()
        self._client = client
        self._keys = Keys(self.options.namespace)
        self._map = PartitionMap(self.options.partitions)
        split = client.cluster if per_partition is None else per_partition
        self._scopes = scopes(self._keys, self.options.partitions, cluster=split)
        self.spans_partitions = not split
        self._now = now_ms or (lambda: 0)
        self._hub = Hub(client)
        self._results = ResultHub(client, hub=self._hub)

    async def _everywhere(self, call: Callable[[Scope], ScriptCall]) -> list[Any]:
        """Make a call in every scope; one that fails does not keep the others from happening."""
        return good(await self._client.call_each([call(scope) for scope in self._scopes]))

    async def now_ms(self) -> int:
        """Return the server's clock."""
        if given := self._now():
            return given
        seconds, microseconds = await self._client.command("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    async def stats(self, queue: str) -> QueueStats:
        """Return what is true of a queue now."""
        now_ms = self._now()
        answers = await self._everywhere(lambda scope: stats_call(scope, queue, now_ms=now_ms))
        return stats_from(queue, answers)

    async def queues(self) -> list[str]:
        """Return the names of all queues ever used."""
        names = await self._client.command("SMEMBERS", self._keys.queues())
        return sorted(name.decode() for name in names)

    async def result(self, message_id: MessageId) -> bytes | None:
        """Return the kept result of a message."""
        found: bytes | None = await self._client.command("GET", self._result_key(message_id))
        return found

    async def wait_for_result(self, message_id: MessageId, *, timeout: timedelta) -> bytes | None:
        """Return the result as soon as it is kept."""
        if timeout <= timedelta(0):
            return await self.result(message_id)
        channel = self._keys.done_channel(message_id)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await self._results.wait(channel=channel, key=self._result_key(message_id))
        except TimeoutError:
            return None

    def _result_key(self, message_id: MessageId) -> str:
        return self._keys.result(self._map.of_id(message_id), message_id)

    async def dead_letters(self, queue: str, *, limit: int = 100) -> list[DeadLetter]:
        """Return the newest dead letters of a queue."""
        found: list[DeadLetter] = []
        for partition in range(self.options.partitions):
            newest = await self._client.command(
                "ZREVRANGE", self._keys.dead(partition, queue), 0, limit - 1, "WITHSCORES"
            )
            died_at = {ident: int(float(score)) for ident, score in pairs(newest)}
            found += await self._letters(queue, partition, died_at)
        return sorted(found, key=lambda letter: letter.died_at_ms, reverse=True)[:limit]

    async def _letters(
        self, queue: str, partition: int, died_at_ms: Mapping[bytes, int]
    ) -> list[DeadLetter]:
        """Return the dead letters of one partition, some at a time: each may be large."""
        found: list[DeadLetter] = []
        idents, name = list(died_at_ms), self._keys.dead_messages(partition, queue)
        for first in range(0, len(idents), _LETTERS_AT_ONCE):
            some = idents[first : first + _LETTERS_AT_ONCE]
            records = await self._client.command("HMGET", name, *some)
            found += [
                dead_letter_from(queue, ident, died_at_ms[ident], record)
                for ident, record in zip(some, records, strict=True)
                if record is not None
            ]
        return found

    async def dead_letter(self, queue: str, message_id: MessageId) -> DeadLetter | None:
        """Return one dead letter of a queue."""
        for partition in range(self.options.partitions):
            score = await self._client.command(
                "ZSCORE", self._keys.dead(partition, queue), message_id
            )
            if score is not None:
                died_at: dict[bytes, int] = {message_id: int(float(score))}
                for letter in await self._letters(queue, partition, died_at):
                    return letter
        return None

    async def flush(self, queue: str) -> None:
        """Drop all waiting, delayed and dead messages of a queue."""
        for scope in self._scopes:
            while await self._client.call(flush_call(scope, queue, limit=_FLUSHED_AT_ONCE)):
                pass
        for partition in range(self.options.partitions):
            dead = self._keys.dead(partition, queue), self._keys.dead_messages(partition, queue)
            await self._client.command("UNLINK", *dead)

    async def aclose(self) -> None:
        """Release the connections."""
        await self._hub.aclose()
        await self._client.aclose()


def good(answers: list[Any]) -> list[Any]:
    """Return answers none of which is an error.

    Raises:
        StoreError: one of them is.
    """
    for answer in answers:
        if isinstance(answer, StoreError):
            raise answer
    return answers


def pairs(answer: object) -> list[tuple[bytes, Any]]:
    """Return pairs of an answer that redis-py gives as a dict, as pairs or flat."""
    if isinstance(answer, dict):
        return list(cast("dict[bytes, Any]", answer).items())
    items = list(cast("list[Any]", answer))
    if items and isinstance(items[0], (list, tuple)):
        return [(pair[0], pair[1]) for pair in items]
    return list(zip(items[::2], items[1::2], strict=True))
