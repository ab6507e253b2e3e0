"""Events as values: their places, their forms, what the end of an attempt tells."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from octoqueue.errors import InvalidMessage, PayloadNotSerializable
from octoqueue.primitives.closing import last_words
from octoqueue.primitives.envelope import Flag, Header, pack_header
from octoqueue.primitives.events import (
    EventKind,
    Kept,
    Position,
    Told,
    encoded,
    event_from,
    gap_before,
    kept_from,
    missed_between,
    position_from,
    published,
)
from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import (
    Enqueue,
    Lease,
    LeaseToken,
    Outcome,
    SessionId,
    Settlement,
)

SESSION = SessionId("worker")


def body(kind: EventKind = EventKind.EMITTED, data: object = None) -> bytes:
    return encoded(kind, attempt=2, at_ms=1_500, data=data, actor="a")


def lease(*, attempt: int = 2) -> Lease:
    ident = new_message_id()
    header = Header(lane=Lane.LOW, message_id=ident, flags=Flag.EVENTS, attempt=attempt)
    return Lease("q", 0, LeaseToken(ident + b"\0\0\0\1"), pack_header(header) + b"{}")


def closing(settlement: Settlement) -> dict[str, object] | None:
    words = last_words(settlement, SESSION, at_ms=1)
    return orjson.loads(words.closing) if words.closing else None


def test_an_event_is_what_was_encoded() -> None:
    event = event_from(Kept(Position(7, 3), body(data={"a": [1, "ü\n"]})))
    assert (event.id, event.kind, event.attempt, event.data) == (
        "7-3",
        EventKind.EMITTED,
        2,
        {"a": [1, "ü\n"]},
    )
    assert event.at == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert (event.fraction, event.note, event.outcome, event.missed) == (None,) * 4


def test_facts_are_those_of_the_kind() -> None:
    progress = event_from(Kept(Position(1, 1), body(EventKind.PROGRESS, {"fraction": 0.5})))
    assert (progress.fraction, progress.note, progress.outcome) == (0.5, None, None)
    gap = gap_before(progress, 4)
    assert (gap.kind, gap.missed, gap.id, gap.attempt) == (EventKind.GAP, 4, "1-0", 2)


def test_a_kind_of_a_newer_program_is_shown_as_emitted() -> None:
    fields = orjson.loads(body(data=1)) | {"kind": "sung"}
    assert event_from(Kept(Position(1, 1), orjson.dumps(fields))).kind is EventKind.EMITTED


def test_neighbours_are_published_together_and_come_apart_again() -> None:
    bodies = [body(data=number) for number in range(3)]
    assert kept_from(published(Position(5, 8), bodies)) == [
        Kept(Position(5, 8 + index), each) for index, each in enumerate(bodies)
    ]


@pytest.mark.parametrize(
    "text", ["", "-", "1", "1-", "-1", "a-1", "1-b", "1-2-3", "\u0661-1", "1 -2", f"{2**64}-1"]
)
def test_what_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidMessage, match="since"):
        position_from(text)


def test_places_are_written_as_they_are_read_and_grow_with_time() -> None:
    assert str(position_from("12-34")) == "12-34"
    assert position_from("2-1") > position_from("1-9")


@pytest.mark.parametrize(
    ("seen", "found", "missed"),
    [
        (None, Position(1, 1), 0),
        (None, Position(1, 4), 3),
        (Position(1, 4), Position(1, 5), 0),
        (Position(1, 4), Position(1, 9), 4),
        (Position(1, 4), Position(2, 1), None),
    ],
)
def test_holes_are_counted(seen: Position | None, found: Position, missed: int | None) -> None:
    assert missed_between(seen, found) == missed


def test_what_has_no_json_form_is_no_event() -> None:
    with pytest.raises(PayloadNotSerializable, match="its event"):
        body(data=object())


@pytest.mark.parametrize(
    ("outcome", "kind", "data"),
    [
        (Outcome.ACK, "ended", {"outcome": "succeeded"}),
        (Outcome.DEAD_LETTER, "ended", {"outcome": "dead"}),
        (Outcome.CANCEL, "ended", {"outcome": "cancelled"}),
        (Outcome.RETRY, "retry", {"attempt": 3, "delay_ms": 9}),
        (Outcome.SNOOZE, "snoozed", {"delay_ms": 9}),
    ],
)
def test_every_ending_says_what_it_is(outcome: Outcome, kind: str, data: dict[str, object]) -> None:
    told = closing(Settlement(lease=lease(), outcome=outcome, delay_ms=9))
    assert told == {"kind": kind, "attempt": 2, "at": 1, "data": data}


def test_a_release_says_nothing_unless_it_is_cancelled_meanwhile() -> None:
    words = last_words(Settlement(lease=lease(), outcome=Outcome.RELEASE), SESSION, at_ms=1)
    assert words.events(is_cancelled=False).events == ()
    (last,) = words.events(is_cancelled=True).events
    assert orjson.loads(last)["data"] == {"outcome": "cancelled"}


def test_an_ack_that_enqueues_the_same_message_again_is_a_retry() -> None:
    """dramatiq's own worker retries so."""
    held = lease()
    again = Enqueue(queue="q", lane=Lane.LOW, payload=held.payload, delay_ms=5)
    told = closing(Settlement(lease=held, outcome=Outcome.ACK, follow_ups=(again,)))
    assert told is not None
    assert (told["kind"], told["data"]) == ("retry", {"attempt": 3, "delay_ms": 5})


def test_every_outcome_there_is_has_a_closing_or_is_a_release() -> None:
    for outcome in Outcome:
        told = closing(Settlement(lease=lease(), outcome=outcome))
        assert (told is None) == (outcome is Outcome.RELEASE)


def test_a_closing_goes_on_with_the_numbers_of_its_sender() -> None:
    unsure = Told(sender="me", first=7, events=(b"a", b"b"))
    settlement = Settlement(lease=lease(), outcome=Outcome.ACK, events=unsure)
    told = last_words(settlement, SESSION, at_ms=1).events(is_cancelled=False)
    assert (told.sender, told.first, told.events[:2], len(told.events)) == (
        "me",
        7,
        (b"a", b"b"),
        3,
    )
    alone = last_words(replace(settlement, events=None), SESSION, at_ms=1)
    assert alone.told.sender == "worker:00000001"
