"""`RedisLaneStore`: the protocol on the Lua scripts. It translates; the scripts decide.

Split by verb: `redis_reading.py` and `redis_signals.py` read, `redis_upkeep.py` keeps sessions and
lanes in order, `redis_dead_letters.py` replays and purges, `redis_enqueuing.py` puts in,
`redis_finding.py` finds single messages and `redis_life.py` decides about them, and here messages
are claimed and settled.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

from octoqueue.errors import StoreError
from octoqueue.lanes.looks import Looks
from octoqueue.lanes.protocol import Refusals
from octoqueue.lanes.reading import claimable
from octoqueue.lanes.redis_enqueuing import RedisEnqueuing
from octoqueue.lanes.redis_life import RedisLife
from octoqueue.lanes.redis_reading import good
from octoqueue.lanes.redis_schedules import RedisSchedules
from octoqueue.lanes.redis_signals import RedisSignals
from octoqueue.lanes.selection import Some, allocate, next_some
from octoqueue.primitives.envelope import is_extended
from octoqueue.primitives.lane import LANES, Lane
from octoqueue.primitives.messages import (
    Lease,
    LeaseToken,
    Outcome,
    RunTime,
    SessionId,
    Settlement,
)
from octoqueue.redis.calls.claim import (
    SESSION_UNKNOWN,
    claim_call,
    claim_keys,
    leases_from,
    queue_keys,
    shared_keys,
)
from octoqueue.redis.calls.commit import commit_call
from octoqueue.redis.calls.upkeep import stats_call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    from octoqueue.lanes.options import LaneOptions
    from octoqueue.redis.calls.claim import Answer
    from octoqueue.redis.calls.scope import Scope
    from octoqueue.redis.client import RedisClient
    from octoqueue.redis.scripts import ScriptCall


MANY_QUEUES = 8
"""One claim covers so many queues, all partitions and lanes of them; of more, those with marks."""
SOME_QUEUES = 4
"""So many of those: the first mostly have enough, and each adds to what a call costs."""
MOST_QUEUES = 10
"""So many for who has room for hundreds: four hardly have enough then, and each call costs a round
trip. An orchestrator claims the letters of ten partitions at once."""
_ROOM_EACH = 50
_ALL_LANES = "7"


class RedisLaneStore(RedisLife, RedisSchedules, RedisEnqueuing, RedisSignals):
    """A `LaneStore` on a single Redis or on Redis Cluster."""

    def __init__(
        self,
        client: RedisClient,
        options: LaneOptions | None = None,
        *,
        per_partition: bool | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(client, options, per_partition=per_partition, now_ms=now_ms)
        self._claim_numbers = itertools.count(1)
        self._turns = itertools.count(1)
        self._claim_keys: dict[tuple[int, SessionId, tuple[str, ...] | str], list[str]] = {}
        self._mark_places: dict[tuple[str, ...], dict[bytes, tuple[str, Lane]]] = {}
        self._looks = Looks()

    # ── taking out ───────────────────────────────────────────────────────────────────────────────

    async def claim(self, session: SessionId, queues: Sequence[str], *, limit: int) -> list[Lease]:
        """Lease up to `limit` messages, strictly in lane order."""
        names = tuple(queues)
        await self._remember(set(names))
        if not self.spans_partitions:
            return await self._claim_apart(session, names, limit)
        if len(names) > MANY_QUEUES:
            return await self._claim_of_many(session, names, limit)
        return await self._claim_in(self._scopes[0], session, names, limit)

    async def claim_when_rung(
        self, session: SessionId, queues: Sequence[str], *, limit: int, timeout: timedelta
    ) -> tuple[bool, list[Lease]]:
        """Wait for a bell, then claim: in one call where one call covers all partitions."""
        if not self.spans_partitions or len(queues) > MANY_QUEUES:
            rung = await self.wait_for_bell(queues, timeout=timeout)
            try:
                return rung, await self.claim(session, queues, limit=limit)
            except asyncio.CancelledError:
                heard = self._heard.intersection(queues)
                self._heard -= heard
                with contextlib.suppress(Exception):
                    await asyncio.shield(self.ring(sorted(heard)))
                raise
        names, scope = tuple(queues), self._scopes[0]
        call, claim_number = self._claim_call(scope, session, names, limit)
        bells = [self._keys.bell(queue) for queue in queues]
        try:
            bell, answer = await self._client.call_after_push(bells, call, timeout=timeout)
        except asyncio.CancelledError:
            # The token may have been taken in this very instant: pass it on.
            with contextlib.suppress(Exception):
                await asyncio.shield(self.ring(queues))
            raise
        if answer == SESSION_UNKNOWN:
            return bell is not None, await self.claim(session, queues, limit=limit)
        return bell is not None, await self._leased(answer, scope, session, names, claim_number)

    async def _claim_of_many(
        self, session: SessionId, names: tuple[str, ...], limit: int
    ) -> list[Lease]:
        """Claim from those of many queues that are marked; now and then look at all of them.

        A look finds what was stored without a mark, by a program of an older version or by one that
        was killed before it set it, and sets all marks right.
        """
        scope, turn = self._scopes[0], next(self._turns)
        if limit <= 0:
            return await self._claim_in(scope, session, names[:1], limit)
        if self._looks.is_due(names):
            everything = Some(names, Lane.LOW, _ALL_LANES * len(names))
            found = await self._claim_in(scope, session, names, limit, some=everything)
            self._looks.done(names)
            return found
        marked = await self._marked(scope, names)
        heard = self._heard.intersection(names)
        # Some bells ring a moment before the marks are set: these are asked for all their lanes.
        marked.update(dict.fromkeys(heard, int(_ALL_LANES)))
        around = turn // max(1, len(marked))
        leases: list[Lease] = []
        first = heard
        most = min(MOST_QUEUES, max(SOME_QUEUES, limit // _ROOM_EACH))
        while marked and len(leases) < limit:
            some, marked = next_some(marked, first=first, most=most, turn=turn)
            left, rotation = limit - len(leases), around * len(some.queues)
            leases += await self._claim_in(
                scope, session, some.queues, left, rotation=rotation, some=some
            )
            first = first.difference(some.queues)
        self._heard -= heard
        unasked = heard.intersection(marked)
        if unasked:  # others gave enough: whoever hears it may have what is left
            with contextlib.suppress(StoreError):
                await self.ring(sorted(unasked))
        return leases

    async def _marked(self, scope: Scope, names: tuple[str, ...]) -> dict[str, int]:
        """Return the lanes of each of these queues that may have something to claim."""
        places = self._mark_places.get(names)
        if places is None:
            places = {scope.mark(name, lane): (name, lane) for name in names for lane in LANES}
            self._mark_places[names] = places
        marked: dict[str, int] = {}
        for mark in await self._client.command("SMEMBERS", scope.marks()):
            if mark in places:
                name, lane = places[mark]
                marked[name] = marked.get(name, 0) | 1 << lane
        return marked

    async def _claim_apart(
        self, session: SessionId, names: tuple[str, ...], limit: int
    ) -> list[Lease]:
        """Claim from each partition by itself, after a look at what they have.

        A partition that cannot be looked at is left out. One that fails while it is claimed from is
        not: what it leased without an answer is found again by whoever hears of the failure.
        """
        reached = await self._reached(names)
        depths, turn = [depth for _, depth in reached], next(self._turns)
        wanted = allocate(depths, limit=limit, rotation=turn)
        if not any(wanted):  # then only register the session
            return await self._claim_in(reached[0][0], session, names, 0)
        found = await asyncio.gather(
            *(
                self._claim_in(scope, session, names, count, rotation=turn // len(reached))
                for (scope, _), count in zip(reached, wanted, strict=True)
                if count
            )
        )
        leases = list(itertools.chain.from_iterable(found))
        if limit > 0 and sum(map(sum, itertools.chain.from_iterable(depths))) > len(leases):
            # The leases are ours, whoever hears the bell.
            with contextlib.suppress(StoreError):
                await self.ring(names)
        return sorted(leases, key=lambda lease: lease.payload[2])

    async def _claim_in(
        self,
        scope: Scope,
        session: SessionId,
        queues: tuple[str, ...],
        limit: int,
        *,
        rotation: int | None = None,
        some: Some | None = None,
    ) -> list[Lease]:
        call, claim_number = self._claim_call(
            scope, session, queues, limit, rotation=rotation, some=some
        )
        answer = await self._client.call(call)
        if answer == SESSION_UNKNOWN:
            await self.extend(session)
            answer = await self._client.call(call)
        if answer == SESSION_UNKNOWN:
            return []
        return await self._leased(answer, scope, session, queues, claim_number)

    def _claim_call(
        self,
        scope: Scope,
        session: SessionId,
        queues: tuple[str, ...],
        limit: int,
        *,
        rotation: int | None = None,
        some: Some | None = None,
    ) -> tuple[ScriptCall, bytes]:
        """Return a claim and its number."""
        number = next(self._claim_numbers)
        claim_number = (number & 0xFFFFFFFF).to_bytes(4)
        if some is None:
            keys = self._cached_keys(scope, session, queues)
        else:  # they are others every time
            keys = shared_keys(scope)
            for queue in queues:
                keys += self._cached_keys(scope, session, queue)
        call = claim_call(
            scope,
            keys,
            session=session,
            queues=len(queues),
            claim_number=claim_number,
            limit=limit,
            rotation=number if rotation is None else rotation,
            lowest=Lane.LOW if some is None else some.lowest,
            looked_after="" if some is None else some.looked_after,
            now_ms=self._now(),
        )
        return call, claim_number

    def _cached_keys(
        self, scope: Scope, session: SessionId, queues: tuple[str, ...] | str
    ) -> list[str]:
        """Return the keys of a claim from some queues, or those of one queue in it."""
        place = (scope.home, session, queues)
        keys = self._claim_keys.get(place)
        if keys is None:
            if isinstance(queues, str):
                keys = queue_keys(scope, session, queues)
            else:
                keys = claim_keys(scope, session, queues)
            self._claim_keys[place] = keys
        return keys

    async def _leased(
        self,
        answer: Answer,
        scope: Scope,
        session: SessionId,
        queues: tuple[str, ...],
        claim_number: bytes,
    ) -> list[Lease]:
        """Return the leases to run; end those of cancelled messages."""
        to_run, to_end = leases_from(answer, scope, queues, claim_number)
        if to_end:
            gone = [Settlement(lease=lease, outcome=Outcome.CANCEL) for lease in to_end]
            await self._client.call(self._commit_call(scope, session, (), gone, {}))
        return to_run

    async def _reached(self, queues: Sequence[str]) -> list[tuple[Scope, list[list[int]]]]:
        """Return the scopes that answer, with the depths of each queue's lanes."""
        now_ms = self._now()
        calls = [stats_call(s, queue, now_ms=now_ms) for s in self._scopes for queue in queues]
        answers = await self._client.call_each(calls)
        reached: list[tuple[Scope, list[list[int]]]] = []
        for number, scope in enumerate(self._scopes):
            here = answers[number * len(queues) : (number + 1) * len(queues)]
            if not any(isinstance(answer, StoreError) for answer in here):
                reached.append((scope, [claimable(answer) for answer in here]))
        if not reached:
            good(answers)
        return reached

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
        end = self._commit_in if self.spans_partitions else self._commit_apart
        refusals = await end(session, acks, settlements, run_times or {})
        if refusals.tokens and acks:
            refusals = _told_as_acks(refusals, settlements)
        # A full memory takes acks but no new name; whoever claims from the queue lists it too.
        with contextlib.suppress(StoreError):
            await self._remember({m.queue for s in settlements for m in s.follow_ups})
        return refusals

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
        capped = self._capped
        gated = {a.queue for a in acks if a.queue in capped or is_extended(a.payload)}
        await self.ring(sorted(follow_ups | gated | {s.lease.queue for s in settlements}))
        return _refusals(good(answers))

    async def _commit_in(
        self,
        session: SessionId,
        acks: Sequence[Lease],
        settlements: Sequence[Settlement],
        run_times: Mapping[str, RunTime],
    ) -> Refusals:
        call = self._commit_call(self._scopes[0], session, acks, settlements, run_times)
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
            keeping=self.options.events,
            history_ttl_ms=self.options.history_ttl_ms,
            capped=self._capped,
            now_ms=self._now(),
        )


def _told_as_acks(refusals: Refusals, settlements: Sequence[Settlement]) -> Refusals:
    """Count those refused among the acks that were sent as acks; some go as settlements."""
    settled = Counter(settlement.lease.token for settlement in settlements)
    acks = Counter(refusals.tokens) - settled
    tokens = Counter(refusals.tokens) - acks
    return Refusals(refusals.acks + acks.total(), tuple(tokens.elements()))


def _refusals(answers: list[Any]) -> Refusals:
    tokens = [LeaseToken(token) for _, refused in answers for token in refused]
    return Refusals(sum(count for count, _ in answers), tuple(tokens))
