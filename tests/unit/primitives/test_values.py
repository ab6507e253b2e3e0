from __future__ import annotations

import time
from datetime import timedelta

import pytest

from octoqueue.errors import DeclarationError, InvalidMessage
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.ids import (
    MessageId,
    affinity,
    id_from_text,
    new_id_and_text,
    text_from_id,
)
from octoqueue.primitives.lane import LANES, Lane, lane_from
from octoqueue.primitives.messages import Enqueue, Lease, LeaseToken, QueueStats
from octoqueue.primitives.retry import RetryPolicy

IDENT = MessageId(bytes(range(16)))
TEXT = "00010203-0405-0607-0809-0a0b0c0d0e0f"


def test_lanes_are_three_ordered_by_who_is_claimed_first() -> None:
    assert [lane.label for lane in sorted(Lane)] == ["high", "normal", "low"]
    assert [int(lane) for lane in LANES] == [0, 1, 2]


@pytest.mark.parametrize("value", ["", "High", "urgent", None, 1, 3, ["high"]])
def test_what_names_no_lane_is_refused_with_the_names(value: object) -> None:
    with pytest.raises(InvalidMessage, match="high, normal, low") as caught:
        lane_from(value)  # type: ignore[arg-type]
    assert caught.value.field == "lane"


def test_an_id_is_written_as_a_uuid() -> None:
    assert text_from_id(IDENT) == TEXT
    assert id_from_text(TEXT) == IDENT


@pytest.mark.parametrize(
    "spelling",
    ["", TEXT.upper(), "{" + TEXT + "}", TEXT.replace("-", ""), "urn:uuid:" + TEXT, TEXT + " "],
)
def test_other_spellings_name_nothing(spelling: str) -> None:
    assert id_from_text(spelling) is None


@pytest.mark.parametrize("value", [None, 7, b"", IDENT])
def test_what_is_no_text_names_nothing(value: object) -> None:
    assert id_from_text(value) is None  # type: ignore[arg-type]


def test_a_new_id_comes_with_its_text() -> None:
    ident, text = new_id_and_text()
    assert id_from_text(text) == ident
    beside, its_text = new_id_and_text(ident)
    assert id_from_text(its_text) == beside
    assert beside != ident
    assert affinity(beside) == affinity(ident)


def test_a_lease_and_an_enqueue_know_the_id_of_their_message() -> None:
    payload = bytes(16) + IDENT + b"{}"
    assert Enqueue(queue="q", lane=Lane.LOW, payload=payload).message_id == IDENT
    assert Lease("q", 0, LeaseToken(IDENT + b"\0\0\0\1"), payload).message_id == IDENT


def test_waiting_is_the_sum_of_the_lanes() -> None:
    stats = QueueStats(
        queue="q",
        depth={Lane.HIGH: 1, Lane.NORMAL: 2, Lane.LOW: 3},
        delayed=9,
        dead=9,
        in_flight=9,
        oldest_age_seconds=0,
        counters={},
    )
    assert stats.waiting == 6


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"max_retries": -1}, "max_retries"),
        ({"min_backoff": timedelta(seconds=-1)}, "min_backoff"),
        ({"max_backoff": timedelta(milliseconds=1)}, "max_backoff"),
    ],
)
def test_an_impossible_retry_policy_is_refused_by_its_field(
    wrong: dict[str, object], field: str
) -> None:
    with pytest.raises(DeclarationError, match=field):
        RetryPolicy(**wrong)  # type: ignore[arg-type]


def test_a_long_backoff_retried_for_ever_stays_at_its_maximum() -> None:
    """The doubling of a timedelta overflowed at the fortieth attempt of a two-minute backoff."""
    policy = RetryPolicy(
        max_retries=None, min_backoff=timedelta(minutes=2), max_backoff=timedelta(hours=1)
    )
    assert policy.backoff_ms(1_000_000, jitter=1) == 3_600_000
    assert policy.backoff_ms(0, jitter=0) == 60_000


async def test_the_machines_clock_tells_both_times_and_waits() -> None:
    clock = SystemClock()
    before, began = time.time_ns() // 1_000_000, clock.monotonic()
    await clock.sleep(0.001)
    assert before <= clock.now_ms() <= time.time_ns() // 1_000_000
    assert clock.monotonic() > began
