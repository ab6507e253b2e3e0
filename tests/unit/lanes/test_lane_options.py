from __future__ import annotations

import struct
from collections import Counter
from datetime import timedelta

from octoqueue.lanes.dead_letters import dead_letter_from
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.lanes.reading import in_flight, stats_from
from octoqueue.primitives.histogram import WAIT_BUCKETS
from octoqueue.primitives.lane import Lane

IDENT = bytes(range(16))


def test_a_queue_has_its_own_bounds_or_the_default() -> None:
    options = LaneOptions(bounds={"planner": LaneBounds(high=100, normal=500, low=1_000)})
    assert [options.bound("planner", lane) for lane in Lane] == [100, 500, 1_000]
    assert [options.bound("coder", lane) for lane in Lane] == [1_000, 5_000, 10_000]


def test_a_lease_is_counted_in_milliseconds() -> None:
    assert LaneOptions(lease=timedelta(seconds=1, microseconds=500_900)).lease_ms == 1_500


def test_a_dead_letters_record_is_taken_apart() -> None:
    record = struct.pack(">I", 3) + b"abc" + b'{"error":"Boom"}'
    letter = dead_letter_from("coder", IDENT, 7, record)
    assert (letter.queue, letter.message_id, letter.died_at_ms) == ("coder", IDENT, 7)
    assert (letter.payload, letter.reason) == (b"abc", b'{"error":"Boom"}')


def test_a_dead_letter_may_have_no_payload_and_no_reason() -> None:
    letter = dead_letter_from("coder", IDENT, 7, struct.pack(">I", 0))
    assert (letter.payload, letter.reason) == (b"", b"")


def test_answers_of_several_scopes_add_up() -> None:
    answers = [
        [1, 2, 3, 4, 5, 900, [b"claimed", b"7", b"acked", b"2", b"wait:0", b"7"]],
        [1, 0, 0, 0, 0, 1_500, [b"claimed", b"1", b"retried", b"1", b"wait:16", b"1"]],
    ]
    stats = stats_from("coder", answers)
    assert stats.depth == {Lane.HIGH: 2, Lane.NORMAL: 2, Lane.LOW: 3}
    assert (stats.delayed, stats.dead, stats.oldest_age_seconds) == (4, 5, 1.5)
    assert stats.counters == {"claimed": 8, "acked": 2, "retried": 1}
    assert stats.in_flight == 5
    assert (stats.waits[0], stats.waits[-1], len(stats.waits)) == (7, 1, WAIT_BUCKETS)


def test_counters_of_lanes_add_up_with_those_of_versions_that_knew_no_lanes() -> None:
    older = [b"enqueued", b"5", b"wait:3", b"2", b"wait:16", b"1"]
    newer = [b"arrived:0", b"4", b"arrived:2", b"2", b"wait:0:3", b"3", b"wait:2:16", b"1"]
    stats = stats_from("coder", [[0, 0, 0, 0, 0, 0, [*older, *newer, b"second", b"1700000000"]]])
    assert stats.counters == {"enqueued": 11}
    assert (stats.waits[3], stats.waits[16], sum(stats.waits)) == (5, 2, 7)


def test_what_was_replayed_was_not_enqueued_again() -> None:
    flat = [b"arrived:1", b"7", b"enqueued", b"-2", b"replayed", b"2"]
    stats = stats_from("coder", [[0, 0, 0, 0, 0, 0, flat]])
    assert stats.counters == {"enqueued": 5, "replayed": 2}


def test_every_way_to_end_ends_a_flight() -> None:
    ended = Counter(claimed=10, acked=1, retried=1, dead=1, released=1, reclaimed=1, enqueued=99)
    assert in_flight(ended) == 5
