"""`RedisLaneStore`: the protocol on the Lua scripts. It translates; the scripts decide."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from octoqueue.errors import DelayedFull, LaneFull, StoreError
from octoqueue.lanes.dead_letters import dead_letter_from
from octoqueue.lanes.options import LaneOptions
from octoqueue.lanes.protocol import Promotion, Refusals
from octoqueue.lanes.reading import stats_from
from octoqueue.lanes.selection import allocate
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import (
    DeadLetter,
    Enqueue,
    Lease,
    LeaseToken,
    QueueStats,
    RunTime,
    SessionId,
    Settlement,
)
from octoqueue.redis.calls.claim import SESSION_UNKNOWN, claim_call, claim_keys, leases_from
from octoqueue.redis.calls.commit import commit_call
from octoqueue.redis.calls.enqueue import Bounds, enqueue_call, refused_groups
from octoqueue.redis.calls.scope import Scope, scopes
from octoqueue.redis.calls.upkeep import (
    expired_call,
    extend_call,
    promote_call,
    reclaim_call,
    retire_call,
    stats_call,
)
from octoqueue.redis.keys import Keys
from octoqueue.redis.results import ResultHub
from octoqueue.routing.partitions import PartitionMap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from octoqueue.primitives.ids import MessageId
    from octoqueue.redis.client import RedisClient
    from octoqueue.redis.scripts import ScriptCall

_PROMOTE_AT_ONCE = 500
_EXPIRED_AT_ONCE = 100


class RedisLaneStore:
    """A `LaneStore` on a single Redis or on Redis Cluster."""

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
        self._scope_of = {p: scope for scope in self._scopes for p in scope.partitions}
        self._now = now_ms or (lambda: 0)
        self._claim_numbers = itertools.count(1)
        self._claim_keys: dict[tuple[int, SessionId, tuple[str, ...]], list[str]] = {}
        self._known_queues: set[str] = set()
        self._results = ResultHub(client)

    # ── putting in ───────────────────────────────────────────────────────────────────────────────

    async def enqueue(self, groups: Sequence[Sequence[Enqueue]]) -> list[LaneFull | None]:
        """Store each group all or none."""
        await self._remember({message.queue for group in groups for message in group})
        placed = [[(self._map.of_id(m.message_id), m) for m in group] for group in groups]
        refusals: list[LaneFull | None] = [None] * len(groups)
        if len(self._scopes) == 1:
            await self._enqueue_in(self._scopes[0], placed, range(len(groups)), refusals)
            return refusals
        by_scope: defaultdict[Scope, list[int]] = defaultdict(list)
        for number, group in enumerate(placed):
            # On Cluster a group that spans slots is stored slot by slot; the manual says so.
            for scope in {self._scope_of[partition] for partition, _ in group}:
                by_scope[scope].append(number)
        for scope, numbers in by_scope.items():
            here = [[pm for pm in placed[n] if pm[0] in scope.partitions] for n in numbers]
            await self._enqueue_in(scope, here, numbers, refusals)
        await self.ring(sorted({message.queue for group in groups for message in group}))
        return refusals

    async def _enqueue_in(
        self,
        scope: Scope,
        groups: Sequence[Sequence[tuple[int, Enqueue]]],
        numbers: Sequence[int],
        refusals: list[LaneFull | None],
    ) -> None:
        call, blocks = enqueue_call(scope, groups, bounds=self._bounds, now_ms=self._now())
        for refused in refused_groups(await self._client.call(call), blocks):
            kind = DelayedFull if refused.delayed else LaneFull
            refusals[numbers[refused.group]] = kind(
                refused.queue, refused.lane.label, depth=refused.depth, bound=refused.bound
            )

    def _bounds(self, queue: str, lane: Lane) -> Bounds:
        shares = len(self._scopes)
        return Bounds(
            lane=-(-self.options.bound(queue, lane) // shares),
            delayed=-(-self.options.delayed_bound // shares),
        )

    async def _remember(self, queues: set[str]) -> None:
        new = queues - self._known_queues
        if new:
            await self._client.command("SADD", self._keys.queues(), *sorted(new))
            self._known_queues |= new

    # ── taking out ───────────────────────────────────────────────────────────────────────────────

    async def claim(self, session: SessionId, queues: Sequence[str], *, limit: int) -> list[Lease]:
        """Lease up to `limit` messages, strictly in lane order."""
        names = tuple(queues)
        await self._remember(set(names))
        if len(self._scopes) == 1:
            return await self._claim_in(self._scopes[0], session, names, limit)
        return await self._claim_apart(session, names, limit)

    async def _claim_apart(
        self, session: SessionId, names: tuple[str, ...], limit: int
    ) -> list[Lease]:
        """Claim from each partition by itself, after a look at what they have."""
        depths = await asyncio.gather(*(self._depths(scope, names) for scope in self._scopes))
        wanted = allocate(depths, limit=limit, rotation=next(self._claim_numbers))
        if not any(wanted):
            return await self._claim_in(self._scopes[0], session, names, 0)  # registers the session
        found = await asyncio.gather(
            *(
                self._claim_in(scope, session, names, count)
                for scope, count in zip(self._scopes, wanted, strict=True)
                if count
            )
        )
        leases = list(itertools.chain.from_iterable(found))
        if limit > 0 and sum(map(sum, itertools.chain.from_iterable(depths))) > len(leases):
            await self.ring(names)
        return sorted(leases, key=lambda lease: lease.payload[2])

    async def _claim_in(
        self, scope: Scope, session: SessionId, queues: tuple[str, ...], limit: int
    ) -> list[Lease]:
        number = next(self._claim_numbers)
        claim_number = (number & 0xFFFFFFFF).to_bytes(4)
        place = (scope.home, session, queues)
        keys = self._claim_keys.get(place)
        if keys is None:
            keys = self._claim_keys[place] = claim_keys(scope, session, queues)
        call = claim_call(
            scope,
            keys,
            session=session,
            queues=len(queues),
            claim_number=claim_number,
            limit=limit,
            rotation=number,
            now_ms=self._now(),
        )
        answer = await self._client.call(call)
        if answer == SESSION_UNKNOWN:
            await self.extend(session)
            answer = await self._client.call(call)
        return [] if answer == SESSION_UNKNOWN else leases_from(answer, scope, queues, claim_number)

    async def _depths(self, scope: Scope, queues: Sequence[str]) -> list[list[int]]:
        calls = [stats_call(scope, queue, now_ms=self._now()) for queue in queues]
        return [list(answer[:3]) for answer in _good(await self._client.call_each(calls))]

    async def held(self, session: SessionId, queues: Sequence[str]) -> list[Lease]:
        """Return all leases of a session."""
        leases: list[Lease] = []
        for partition, queue in itertools.product(range(self.options.partitions), queues):
            answer = await self._client.command(
                "HGETALL", self._keys.leased(partition, queue, session)
            )
            leases += [
                Lease(queue, partition, LeaseToken(token), payload)
                for token, payload in _pairs(answer)
            ]
        return leases

    # ── ending ───────────────────────────────────────────────────────────────────────────────────

    async def commit(
        self,
        session: SessionId,
        *,
        acks: Sequence[Lease] = (),
        settlements: Sequence[Settlement] = (),
        run_times: Mapping[str, RunTime] | None = None,
    ) -> Refusals:
        """End leases."""
        await self._remember({m.queue for s in settlements for m in s.follow_ups})
        if len(self._scopes) == 1:
            return await self._commit_in(
                self._scopes[0], session, acks, settlements, run_times or {}
            )
        return await self._commit_apart(session, acks, settlements, run_times or {})

    async def _commit_apart(
        self,
        session: SessionId,
        acks: Sequence[Lease],
        settlements: Sequence[Settlement],
        run_times: Mapping[str, RunTime],
    ) -> Refusals:
        """Commit to each partition by itself; running times go with the first."""
        calls: list[ScriptCall] = []
        for scope in self._scopes:
            here_acks = [lease for lease in acks if lease.partition in scope.partitions]
            here = [s for s in settlements if s.lease.partition in scope.partitions]
            if here_acks or here or (run_times and scope is self._scopes[-1]):
                calls.append(self._commit_call(scope, session, here_acks, here, run_times))
                run_times = {}
        answers = await self._client.call_each(calls)
        follow_ups = {m.queue for s in settlements for m in s.follow_ups}
        await self.ring(sorted(follow_ups | {s.lease.queue for s in settlements}))
        return _refusals(_good(answers))

    async def _commit_in(
        self,
        scope: Scope,
        session: SessionId,
        acks: Sequence[Lease],
        settlements: Sequence[Settlement],
        run_times: Mapping[str, RunTime],
    ) -> Refusals:
        call = self._commit_call(scope, session, acks, settlements, run_times)
        return _refusals([await self._client.call(call)])

    def _commit_call(
        self,
        scope: Scope,
        session: SessionId,
        acks: Sequence[Lease],
        settlements: Sequence[Settlement],
        run_times: Mapping[str, RunTime],
    ) -> ScriptCall:
        return commit_call(
            scope,
            session=session,
            acks=acks,
            settlements=settlements,
            run_times=run_times,
            partition_of=self._map.of_id,
            now_ms=self._now(),
        )

    # ── sessions and bells ───────────────────────────────────────────────────────────────────────

    async def extend(self, session: SessionId) -> bool:
        """Renew a session and all it holds."""
        lease_ms, now_ms = self.options.lease_ms, self._now()
        alive = all(
            await self._everywhere(
                lambda scope: extend_call(scope, session, lease_ms=lease_ms, now_ms=now_ms)
            )
        )
        if not alive:
            # New, expired, or the server was emptied: then the queue names are gone too.
            known, self._known_queues = self._known_queues, set()
            await self._remember(known)
        return alive

    async def retire(self, session: SessionId) -> None:
        """End a session at its own wish."""
        now_ms = self._now()
        await self._everywhere(
            lambda scope: retire_call(scope, session, own_wish=True, now_ms=now_ms)
        )

    async def _everywhere(self, call: Callable[[Scope], ScriptCall]) -> list[Any]:
        """Make a call in every scope; one that fails does not keep the others from happening."""
        return _good(await self._client.call_each([call(scope) for scope in self._scopes]))

    async def wait_for_bell(self, queues: Sequence[str], *, timeout: timedelta) -> bool:
        """Return True as soon as one of the queues may have work."""
        bells = [self._keys.bell(queue) for queue in queues]
        try:
            return await self._client.wait_for_push(bells, timeout=timeout) is not None
        except asyncio.CancelledError:
            # The token may have been taken in this very instant: pass it on.
            with contextlib.suppress(Exception):
                await asyncio.shield(self.ring(queues))
            raise

    async def ring(self, queues: Sequence[str]) -> None:
        """Wake somebody who waits for one of the queues."""
        for queue in queues:
            bell = self._keys.bell(queue)
            await self._client.command("RPUSH", bell, "1")
            await self._client.command("LTRIM", bell, 0, 0)

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────

    async def promote(self, queue: str) -> Promotion:
        """Move delayed messages that are due into their lanes."""
        answers = await self._client.call_each(
            [
                promote_call(scope, queue, limit=_PROMOTE_AT_ONCE, now_ms=self._now())
                for scope in self._scopes
            ]
        )
        reached = [answer for answer in answers if not isinstance(answer, StoreError)]
        moved = sum(count for count, _ in reached)
        if moved and not self._scopes[0].bells:
            await self.ring([queue])
        waits = [wait_ms for _, wait_ms in _good(answers) if wait_ms >= 0]
        return Promotion(moved, timedelta(milliseconds=min(waits)) if waits else None)

    async def reclaim(self) -> int:
        """Give back what expired sessions hold."""
        now_ms, total = self._now(), 0
        answers = await self._client.call_each(
            [expired_call(scope, limit=_EXPIRED_AT_ONCE, now_ms=now_ms) for scope in self._scopes]
        )
        for scope, expired in zip(self._scopes, answers, strict=True):
            if expired and not isinstance(expired, StoreError):
                queues = sorted(set(await self.queues()) | self._known_queues)
                for name in expired:
                    session = SessionId(name.decode())
                    total += await self._reclaim_session(scope, session, queues)
        _good(answers)
        return total

    async def _reclaim_session(self, scope: Scope, session: SessionId, queues: list[str]) -> int:
        total = 0
        for queue in queues:
            count = await self._client.call(reclaim_call(scope, session, queue, now_ms=self._now()))
            if count < 0:
                return total  # it renewed itself meanwhile
            total += count
            if count and not scope.bells:
                await self.ring([queue])
        await self._client.call(retire_call(scope, session, own_wish=False, now_ms=self._now()))
        return total

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
            for ident, score in _pairs(newest):
                record = await self._client.command(
                    "HGET", self._keys.dead_messages(partition, queue), ident
                )
                if record is not None:
                    found.append(dead_letter_from(queue, ident, int(float(score)), record))
        return sorted(found, key=lambda letter: letter.died_at_ms, reverse=True)[:limit]

    async def flush(self, queue: str) -> None:
        """Drop all waiting, delayed and dead messages of a queue."""
        for partition in range(self.options.partitions):
            names = [self._keys.lane(partition, queue, lane) for lane in Lane]
            names += [
                self._keys.delayed(partition, queue),
                self._keys.dead(partition, queue),
                self._keys.dead_messages(partition, queue),
            ]
            await self._client.command("UNLINK", *names)

    async def aclose(self) -> None:
        """Release the connections."""
        await self._results.aclose()
        await self._client.aclose()


def _good(answers: list[Any]) -> list[Any]:
    """Return answers none of which is an error.

    Raises:
        StoreError: one of them is.
    """
    for answer in answers:
        if isinstance(answer, StoreError):
            raise answer
    return answers


def _refusals(answers: list[Any]) -> Refusals:
    tokens = [LeaseToken(token) for _, refused in answers for token in refused]
    return Refusals(sum(count for count, _ in answers), tuple(tokens))


def _pairs(answer: object) -> list[tuple[bytes, Any]]:
    """Return pairs of an answer that redis-py gives as a dict, as pairs or flat."""
    if isinstance(answer, dict):
        return list(cast("dict[bytes, Any]", answer).items())
    items = list(cast("list[Any]", answer))
    if items and isinstance(items[0], (list, tuple)):
        return [(pair[0], pair[1]) for pair in items]
    return list(zip(items[::2], items[1::2], strict=True))
