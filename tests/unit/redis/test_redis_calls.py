from __future__ import annotations

import pytest

from octoqueue.primitives.envelope import Flag, Header, pack_header
from octoqueue.primitives.extension import Extension, pack_extension
from octoqueue.primitives.ids import MessageId, text_from_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import (
    Enqueue,
    Lease,
    LeaseToken,
    Outcome,
    RunTime,
    SessionId,
    Settlement,
)
from octoqueue.redis.calls.claim import claim_call, claim_keys, leases_from
from octoqueue.redis.calls.commit import commit_call
from octoqueue.redis.calls.enqueue import Bounds, Refused, enqueue_call, refused_groups
from octoqueue.redis.calls.scope import scopes
from octoqueue.redis.keys import Keys
from octoqueue.redis.scripts import SCRIPT_NAMES, script

(WHOLE,) = scopes(Keys(), 2, cluster=False)
(APART, _) = scopes(Keys(), 2, cluster=True)
SESSION = SessionId("w")
ANY = Bounds(lane=9, delayed=9)


def ident(number: int) -> MessageId:
    return MessageId(number.to_bytes(16))


def payload(number: int, lane: Lane = Lane.LOW) -> bytes:
    return pack_header(Header(ident(number), lane)) + b"{}"


def lease(number: int, *, partition: int = 0, queue: str = "q") -> Lease:
    return Lease(queue, partition, LeaseToken(ident(number) + b"\0\0\0\1"), payload(number))


TOMBSTONES = "{oq:0}:cancelled"


def put(number: int, lane: Lane, *, delay_ms: int = 0, queue: str = "q") -> Enqueue:
    return Enqueue(queue=queue, lane=lane, payload=payload(number, lane), delay_ms=delay_ms)


def test_an_enqueue_names_each_lane_once_with_all_its_partitions() -> None:
    groups = [[(0, put(1, Lane.LOW)), (1, put(2, Lane.LOW))], [(0, put(3, Lane.LOW, delay_ms=5))]]
    call, blocks = enqueue_call(WHOLE, groups, bounds=lambda *_: ANY, now_ms=7)
    assert blocks == [("q", Lane.LOW)]
    assert call.keys == [
        "{oq:0}:q:stats",
        "{oq:0}:q:tallies",
        "{oq:bell}:q",
        "{oq:0}:marks",
        "{oq:0}:q:low",
        "{oq:1}:q:low",
        "{oq:0}:q:gated:low",
        "{oq:0}:q:delayed",
        "{oq:1}:q:delayed",
    ]
    assert call.args[:11] == [7, b"", 0, 1, 9, 9, 2, 1, 1, 0, 3]
    first, second = (0, 1, 1, 0, payload(1)), (0, 1, 2, 0, payload(2))
    assert call.args[11:] == [*first, *second, 1, 1, 1, 5, payload(3), 0]


def test_an_enqueue_without_delays_names_no_delayed_and_apart_no_bell() -> None:
    call, _ = enqueue_call(APART, [[(0, put(1, Lane.HIGH))]], bounds=lambda *_: ANY)
    counted = ["{oq:0}:q:stats", "{oq:0}:q:tallies"]
    assert call.keys == [*counted, "{oq:0}:q:high", "{oq:0}:q:gated:high"]
    assert call.args[:11] == [0, b"", 0, 1, 9, 9, 1, 0, 0, 0, 1]


def test_refusals_are_read_back_by_their_blocks() -> None:
    blocks = [("a", Lane.HIGH), ("b", Lane.LOW)]
    assert refused_groups([[0, 2, 7, 8, 0, 3, 1, 5, 5, 1], []], blocks) == [
        Refused(0, "b", Lane.LOW, 7, 8, delayed=False),
        Refused(3, "a", Lane.HIGH, 5, 5, delayed=True),
    ]
    assert refused_groups([[], []], blocks) == []


def test_a_claim_reads_back_its_leases() -> None:
    keys = claim_keys(WHOLE, SESSION, ["a", "b"])
    assert len(keys) == 3 + 4 + 1 + 2 * (2 + 12 + 2 * 3 + 4)
    call = claim_call(
        WHOLE,
        keys,
        session=SESSION,
        queues=2,
        claim_number=b"\0\0\0\5",
        limit=10,
        rotation=3,
        now_ms=1,
    )
    assert call.args == [1, "w", b"\0\0\0\5", 10, 2, 2, 1, 3, 2, ""]
    answer = [2, 1, [payload(1), payload(2)], -1, 2, [payload(3)]]
    to_run, to_end = leases_from(answer, WHOLE, ["a", "b"], b"\0\0\0\5")
    assert to_run == [Lease("b", 0, LeaseToken(ident(n) + b"\0\0\0\5"), payload(n)) for n in (1, 2)]
    assert to_end == [Lease("a", 1, LeaseToken(ident(3) + b"\0\0\0\5"), payload(3))]


def commit(
    acks: list[Lease], settlements: list[Settlement], run_times: dict[str, RunTime] | None = None
) -> tuple[list[str], list[str | bytes | int]]:
    call = commit_call(
        WHOLE,
        session=SESSION,
        acks=acks,
        settlements=settlements,
        run_times=run_times or {},
        partition_of=lambda _: 1,
    )
    return call.keys, call.args


def test_acks_are_grouped_by_queue_whatever_partition_they_come_from() -> None:
    keys, args = commit([lease(1), lease(2, queue="r"), lease(3, partition=1)], [])
    of_queues = [
        f"{{oq:0}}:{queue}:{kind}" for queue in "qr" for kind in ("leased:w", "stats", "tallies")
    ]
    assert keys == [TOMBSTONES, *of_queues]
    acked = [2, 2, 3, 0, 2, lease(1).token, lease(3).token, 5, 6, 0, 1, lease(2).token]
    assert args == [0, 1, 0, 0, 0, 0, 0, *acked, 0, 0, 0]


def test_an_ack_in_a_queue_with_a_cap_rings_its_bell() -> None:
    call = commit_call(
        WHOLE,
        session=SESSION,
        acks=[lease(1)],
        settlements=[Settlement(lease=lease(2), outcome=Outcome.DEAD_LETTER)],
        run_times={},
        partition_of=lambda message_id: message_id[-1] % 2,
        capped={"q"},
    )
    bell = call.keys.index("{oq:bell}:q") + 1
    assert call.args[7:13] == [1, 4, 6, bell, 1, lease(1).token]


def test_acks_of_messages_with_gates_and_nothing_else_go_in_groups_too() -> None:
    extension = pack_extension(Extension(tenant="acme"))
    gated, tried, telling = (
        pack_header(Header(ident(number), Lane.LOW, flags, attempt=attempt)) + extension + b"{}"
        for number, flags, attempt in (
            (1, Flag.EXTENDED, 0),
            (2, Flag.EXTENDED, 1),
            (3, Flag.EXTENDED | Flag.EVENTS, 0),
        )
    )
    leases = [lease(n)._replace(payload=p) for n, p in enumerate((gated, tried, telling), 1)]
    keys, args = commit(leases, [])
    lines = keys.index("{oq:0}:q:ring:high") + 1
    bell = keys.index("{oq:bell}:q") + 1
    at = args.index(lease(1).token)
    assert args[at - 7 : at + 2] == [0, 0, 1, 10, 11, bell, lines, 1, lease(1).token, 2][-9:]
    assert args[at + 1] == 2, "the others are settlements"


def test_running_times_are_counted_where_the_queue_counts() -> None:
    keys, args = commit([], [], {"q": RunTime(count=2, total_us=3, squares_ms2=4)})
    assert keys == [TOMBSTONES, "{oq:0}:q:stats", "{oq:0}:q:tallies"]
    assert args == [0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 2, 3, 4, 0, 0]


def test_a_settlement_names_only_the_keys_of_its_outcome() -> None:
    history = f"{{oq:1}}:history:{text_from_id(ident(1))}"
    expected = {
        Outcome.ACK: set(),
        Outcome.RETRY: {"{oq:0}:q:low", "{oq:0}:q:delayed", "{oq:bell}:q", history},
        Outcome.DEAD_LETTER: {"{oq:0}:q:dead", "{oq:0}:q:dead:messages"},
        Outcome.RELEASE: {"{oq:0}:q:low", "{oq:bell}:q"},
        Outcome.SNOOZE: {"{oq:0}:q:low", "{oq:0}:q:delayed", "{oq:bell}:q"},
        Outcome.CANCEL: set(),
    }
    for outcome, more in expected.items():
        keys, _ = commit([], [Settlement(lease=lease(1), outcome=outcome)])
        always = {TOMBSTONES, f"{TOMBSTONES}:expiry", "{oq:0}:q:leased:w", "{oq:0}:q:stats"}
        always |= {"{oq:0}:marks", "{oq:0}:q:tallies"}
        assert set(keys) == always | more


def test_the_ack_of_a_message_that_was_tried_before_is_a_settlement_with_its_history() -> None:
    again = pack_header(Header(ident(1), Lane.LOW, attempt=1)) + b"{}"
    keys, _ = commit([lease(1)._replace(payload=again), lease(2)], [])
    assert f"{{oq:1}}:history:{text_from_id(ident(1))}" in keys
    assert not [key for key in keys if text_from_id(ident(2)) in key]


def test_a_follow_up_goes_to_the_partition_of_its_own_id() -> None:
    child = put(9, Lane.HIGH, queue="child")
    keys, _ = commit([], [Settlement(lease=lease(1), outcome=Outcome.ACK, follow_ups=(child,))])
    assert "{oq:1}:child:high" in keys
    assert "{oq:0}:child:stats" in keys


def test_releases_come_last_and_backwards() -> None:
    ends = [
        Settlement(lease=lease(number), outcome=outcome)
        for number, outcome in enumerate(
            [Outcome.RELEASE, Outcome.ACK, Outcome.RELEASE, Outcome.RETRY]
        )
    ]
    _, args = commit([], ends)
    tokens = [arg for arg in args if isinstance(arg, bytes) and len(arg) == 20]
    assert tokens == [lease(number).token for number in (1, 3, 2, 0)]


@pytest.mark.parametrize("name", SCRIPT_NAMES)
def test_a_script_is_read_once(name: str) -> None:
    assert script(name) is script(name)
    assert script(name).name == name
