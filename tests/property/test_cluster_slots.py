"""On Redis Cluster every call is one script on one slot: computed for any call there can be.

That a script touches nothing but its KEYS is the other half: `tests/integration/test_lua_keys.py`.
"""

from __future__ import annotations

from importlib.resources import files

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from octoqueue.primitives.envelope import Flag, Header, pack_header
from octoqueue.primitives.events import Keeping, Told
from octoqueue.primitives.extension import Extension, pack_extension
from octoqueue.primitives.gates import Gates
from octoqueue.primitives.ids import MessageId, new_message_id
from octoqueue.primitives.lane import LANES, Lane
from octoqueue.primitives.messages import (
    Announcement,
    Emission,
    Enqueue,
    Lease,
    LeaseToken,
    Outcome,
    ResultRecord,
    RunTime,
    SessionId,
    Settlement,
)
from octoqueue.primitives.schedules import Tick
from octoqueue.redis.calls.claim import claim_call, claim_keys
from octoqueue.redis.calls.commit import commit_call
from octoqueue.redis.calls.dead_letters import purge_call, replay_call
from octoqueue.redis.calls.enqueue import Bounds, enqueue_call
from octoqueue.redis.calls.events import announce_call, emit_call
from octoqueue.redis.calls.gates import define_call
from octoqueue.redis.calls.life import (
    IN_LINE,
    IN_LIST,
    IN_ZSET,
    cancel_call,
    flush_call,
    move_call,
    pause_call,
    withdraw_call,
)
from octoqueue.redis.calls.schedules import begin_call, fire_call
from octoqueue.redis.calls.scope import Scope, scopes
from octoqueue.redis.calls.signals import minutes_calls, signals_calls
from octoqueue.redis.calls.upkeep import (
    expired_call,
    expiry_call,
    extend_call,
    promote_call,
    reclaim_call,
    retire_call,
    stats_call,
)
from octoqueue.redis.keys import Keys
from octoqueue.redis.scripts import SCRIPT_NAMES, ScriptCall
from octoqueue.routing.partitions import PartitionMap

PARTITIONS = 7
MAP = PartitionMap(PARTITIONS)

awkward = st.sampled_from(["coder", "a:b", "a}b", "{x}", "a{b}c", "dead", "stats", "bell"])
names = awkward | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
namespaces = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="{}:"), min_size=1, max_size=6
)
sessions = names.map(SessionId)
lanes = st.sampled_from(Lane)
ids = st.binary(min_size=16, max_size=16).map(MessageId)
scope_of_any = st.builds(
    lambda namespace, number: scopes(Keys(namespace), PARTITIONS, cluster=True)[number],
    namespaces,
    st.integers(0, PARTITIONS - 1),
)


def id_in(partition: int, seed: int) -> MessageId:
    """An id of a partition, different for every seed."""
    while True:
        ident = MessageId((seed * 7919).to_bytes(16))
        if MAP.of_id(ident) == partition:
            return ident
        seed += 1


def envelope(ident: MessageId, lane: Lane, flags: Flag = Flag.NONE) -> bytes:
    extension = pack_extension(Extension(tenant="acme")) if flags & Flag.EXTENDED else b""
    return pack_header(Header(lane=lane, message_id=ident, flags=flags)) + extension + b"{}"


def slots(call: ScriptCall) -> set[int]:
    return {key_slot(key.encode()) for key in call.keys}


def assert_one_slot(call: ScriptCall) -> None:
    assert len(slots(call)) == 1
    assert len(set(call.keys)) == len(call.keys)


@given(scope_of_any, sessions, st.lists(names, min_size=1, max_size=4, unique=True))
def test_a_claim_stays_in_its_slot(scope: Scope, session: SessionId, queues: list[str]) -> None:
    keys = claim_keys(scope, session, queues)
    call = claim_call(
        scope,
        keys,
        session=session,
        queues=len(queues),
        claim_number=b"\0\0\0\1",
        limit=5,
        rotation=3,
    )
    assert_one_slot(call)


all_flags = st.sampled_from([Flag.NONE, Flag.EVENTS, Flag.EXTENDED])
wishes = st.tuples(names, lanes, st.integers(0, 3), st.integers(0, 10_000), all_flags)


@given(scope_of_any, st.lists(st.lists(wishes, max_size=3), min_size=1, max_size=4))
def test_an_enqueue_stays_in_its_slot(
    scope: Scope, groups: list[list[tuple[str, Lane, int, int, Flag]]]
) -> None:
    placed = [
        [
            (
                scope.home,
                Enqueue(
                    queue=queue,
                    lane=lane,
                    payload=envelope(id_in(scope.home, seed), lane, flags),
                    delay_ms=delay_ms,
                ),
            )
            for queue, lane, delay_ms, seed, flags in group
        ]
        for group in groups
    ]
    call, _ = enqueue_call(scope, placed, bounds=lambda *_: Bounds(lane=9, delayed=9))
    if call.keys:
        assert len(slots(call)) == 1


@st.composite
def settlements(draw: st.DrawFn) -> tuple[Scope, list[Lease], list[Settlement]]:
    scope = draw(scope_of_any)

    def lease() -> Lease:
        ident = id_in(scope.home, draw(st.integers(0, 10_000)))
        token = LeaseToken(ident + b"\0\0\0\1")
        payload = envelope(ident, draw(lanes), draw(all_flags))
        return Lease(draw(names), scope.home, token, payload)

    def follow_up(beside: MessageId) -> Enqueue:
        ident, lane = new_message_id(beside=beside), draw(lanes)
        return Enqueue(
            queue=draw(names),
            lane=lane,
            payload=envelope(ident, lane, draw(all_flags)),
            delay_ms=draw(st.integers(0, 2)),
        )

    def settlement() -> Settlement:
        leased = lease()
        follow_ups = [follow_up(leased.message_id) for _ in range(draw(st.integers(0, 2)))]
        return Settlement(
            lease=leased,
            outcome=draw(st.sampled_from(Outcome)),
            result=draw(st.none() | st.just(ResultRecord(body=b"1", ttl_ms=1))),
            follow_ups=tuple(follow_ups),
            used={("openai", ""): 1} if draw(st.booleans()) else {},
        )

    acks = [lease() for _ in range(draw(st.integers(0, 3)))]
    return scope, acks, [settlement() for _ in range(draw(st.integers(0, 3)))]


@given(settlements(), sessions, st.lists(names, max_size=2, unique=True))
def test_a_commit_stays_in_its_slot_with_all_that_follows_from_it(
    drawn: tuple[Scope, list[Lease], list[Settlement]], session: SessionId, ran: list[str]
) -> None:
    scope, acks, settled = drawn
    call = commit_call(
        scope,
        session=session,
        acks=acks,
        settlements=settled,
        run_times={queue: RunTime(count=1, total_us=1, squares_ms2=1) for queue in ran},
        partition_of=MAP.of_id,
    )
    if call.keys:
        assert_one_slot(call)


@given(settlements(), sessions)
def test_an_emission_stays_in_its_slot(
    drawn: tuple[Scope, list[Lease], list[Settlement]], session: SessionId
) -> None:
    scope, leases, _ = drawn
    told = Told(sender="a", first=1, events=(b"{}",))
    emissions = [
        (MAP.of_id(lease.message_id), Emission(lease=lease, told=told)) for lease in leases
    ]
    call = emit_call(scope, session=session, emissions=emissions, keeping=Keeping())
    if call.keys:
        assert_one_slot(call)


@given(settlements())
def test_announcements_stay_in_their_slot(
    drawn: tuple[Scope, list[Lease], list[Settlement]],
) -> None:
    scope, leases, _ = drawn
    kept = ResultRecord(body=b"1", ttl_ms=1)
    told = [
        (
            MAP.of_id(lease.message_id),
            Announcement(message_id=lease.message_id, events=((1, b"{}"),), result=kept),
        )
        for lease in leases
    ]
    call = announce_call(scope, announcements=told, keeping=Keeping())
    if call.keys:
        assert_one_slot(call)


@given(scope_of_any, sessions, names)
def test_upkeep_stays_in_its_slot(scope: Scope, session: SessionId, queue: str) -> None:
    for call in (
        extend_call(scope, session, lease_ms=1),
        expired_call(scope, limit=1, lease_ms=1),
        expiry_call(scope),
        retire_call(scope, session, own_wish=True),
        reclaim_call(scope, session, queue, places=b"".join(MAP.places)),
        promote_call(scope, queue, limit=1),
        stats_call(scope, queue),
        *signals_calls(scope, [queue, f"{queue}-2"], due_within_ms=1),
        *minutes_calls(scope, [queue, f"{queue}-2"]),
        pause_call(scope, queue, pause=True),
        flush_call(scope, queue, limit=1),
        define_call(scope, Gates(caps={"c": 1}), [queue], index=0, shares=7, go_on=False),
    ):
        assert_one_slot(call)


@given(scope_of_any, names, names, lanes, st.integers(0, 3))
def test_a_tick_stays_in_its_slot(
    scope: Scope, schedule: str, queue: str, lane: Lane, seed: int
) -> None:
    payload = envelope(id_in(scope.home, seed), lane)
    sent = Enqueue(queue=queue, lane=lane, payload=payload)
    call, _ = enqueue_call(
        scope, [[(scope.home, sent)]], bounds=lambda *_: Bounds(lane=9, delayed=9)
    )
    tick = Tick(schedule=schedule, digest="0" * 16, after_ms=0, tick_ms=1)
    assert_one_slot(fire_call(scope, call, tick))
    assert_one_slot(begin_call(scope, schedule, "0" * 16, begins=True))


@given(scope_of_any, names, st.lists(ids, max_size=5, unique=True))
def test_a_decision_about_dead_letters_stays_in_its_slot(
    scope: Scope, queue: str, dead: list[MessageId]
) -> None:
    places = dict.fromkeys(dead, scope.home)
    assert_one_slot(replay_call(scope, queue, places, bounds=(1, 1, 1)))
    assert_one_slot(purge_call(scope, queue, places))


@given(scope_of_any, names, lanes, st.sampled_from([IN_LIST, IN_ZSET, IN_LINE]))
def test_a_decision_about_a_message_stays_in_its_slot(
    scope: Scope, queue: str, lane: Lane, kind: int
) -> None:
    ident, home = id_in(scope.home, 1), scope.home
    payload = envelope(ident, lane)
    places = {
        IN_LIST: scope.keys.lane(home, queue, lane),
        IN_ZSET: scope.keys.delayed(home, queue),
        IN_LINE: scope.keys.gated(home, queue, lane),
    }
    withdrawn = withdraw_call(
        scope,
        queue,
        ident,
        partition=home,
        place=places[kind],
        kind=kind,
        member=payload,
        payload=payload,
        result_channel="",
        events=("", 0, 0, "", b""),
    )
    moved = move_call(
        scope,
        queue,
        lane,
        partition=home,
        place=places[kind],
        kind=kind,
        member=payload,
        payload=payload,
        bound=1,
    )
    for call in (withdrawn, moved, cancel_call(scope, ident, stone=b"1", life_ms=1)):
        assert len(slots(call)) == 1


@given(namespaces, names)
def test_partitions_are_spread_over_slots_and_bells_share_one(namespace: str, queue: str) -> None:
    keys = Keys(namespace)
    spread = {key_slot(keys.lane(p, queue, LANES[0]).encode()) for p in range(64)}
    assert len(spread) > 32
    assert key_slot(keys.bell(queue).encode()) == key_slot(keys.bell("other").encode())


@given(st.integers(1, 12))
def test_scopes_cover_every_partition_once(partitions: int) -> None:
    for cluster in (True, False):
        parts = scopes(Keys(), partitions, cluster=cluster)
        assert [p for scope in parts for p in scope.partitions] == list(range(partitions))
        assert all(scope.bells is not cluster for scope in parts)


def test_every_script_is_known_by_name() -> None:
    folder = files("octoqueue.redis").joinpath("lua")
    there = {path.name.removesuffix(".lua") for path in folder.iterdir()}
    assert {name for name in there if name not in ("includes", "README.md")} == set(SCRIPT_NAMES)
