"""What the script for plain messages is called with, and for which messages."""

from __future__ import annotations

from octoqueue.primitives.envelope import Flag, Header, pack_header
from octoqueue.primitives.ids import MessageId
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Enqueue
from octoqueue.redis.calls.enqueue_plain import enqueue_plain_call, plain_lane, plain_place
from octoqueue.redis.calls.scope import scopes
from octoqueue.redis.keys import Keys
from octoqueue.routing.partitions import PartitionMap

(WHOLE,) = scopes(Keys(), 2, cluster=False)
(APART, _) = scopes(Keys(), 2, cluster=True)
PLACES = PartitionMap(2).places


def put(
    number: int,
    *,
    queue: str = "q",
    lane: Lane = Lane.LOW,
    delay_ms: int = 0,
    flags: Flag = Flag.NONE,
) -> Enqueue:
    header = Header(MessageId(number.to_bytes(16)), lane, flags)
    return Enqueue(queue, lane, pack_header(header) + b"{}", delay_ms)


def test_a_call_names_the_lane_once_and_says_where_each_message_goes() -> None:
    lane = plain_lane(WHOLE, "q", Lane.LOW, bound=9)
    groups = [[put(1), put(2)], [put(700)]]
    call = enqueue_plain_call(lane, groups, places=PLACES, now_ms=7)
    assert call.keys == [
        "{oq:0}:q:stats",
        "{oq:0}:q:gated:low",
        "{oq:0}:q:tallies",
        "{oq:0}:q:low",
        "{oq:1}:q:low",
        "{oq:bell}:q",
        "{oq:0}:marks",
    ]
    assert call.args[:4] == [7, 9, 2, b"\0\0\0\2\0\0\0\1"]
    placed = [PartitionMap(2).of_id(MessageId(number.to_bytes(16))) for number in (1, 2, 700)]
    assert call.args[4] == b"".join(partition.to_bytes(2) for partition in placed)
    assert call.args[5:] == [m.payload for group in groups for m in group]
    assert enqueue_plain_call(lane, [[put(1)]], places=PLACES).args[:4] == [0, 9, 2, b"\0\0\0\1"]
    assert enqueue_plain_call(lane, [[put(1)] * 3], places=PLACES).args[3] == b"\0\0\0\3"


def test_apart_there_is_one_list_and_no_bell() -> None:
    lane = plain_lane(APART, "q", Lane.HIGH, bound=9)
    counted = ["{oq:0}:q:stats", "{oq:0}:q:gated:high", "{oq:0}:q:tallies"]
    assert lane.keys == [*counted, "{oq:0}:q:high"]


def test_plain_is_what_is_for_one_lane_at_once_and_has_nothing_to_pass() -> None:
    assert plain_place([[put(1), put(2)], [put(3, flags=Flag.KEEP_RESULT)]]) == ("q", Lane.LOW)
    for odd in (
        put(2, queue="other"),
        put(2, lane=Lane.HIGH),
        put(2, delay_ms=1),
        put(2, flags=Flag.EXTENDED),
    ):
        assert plain_place([[put(1)], [odd]]) is None
        assert plain_place([[odd, put(1)]]) is None
    assert plain_place([]) is None
    assert plain_place([[]]) is None
