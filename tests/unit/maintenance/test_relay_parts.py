"""The relay's pure parts: pauses of full lanes, and rows as messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

import octoqueue
from octoqueue.errors import ActorUnknown, EnvelopeError, InvalidMessage
from octoqueue.maintenance.relay_drafts import draft_from
from octoqueue.maintenance.relay_pauses import FIRST_SECONDS, LONGEST_SECONDS, LinePauses
from octoqueue.postgres.outbox import OutboxRow
from octoqueue.primitives.envelope import Header, decode_body, pack_header, unpack_header
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.primitives.lane import Lane
from octoqueue.testing.fake_clock import FakeClock
from tests.running import broker_on

ROW = OutboxRow(
    message_id=new_message_id(),
    actor="work",
    queue="coder",
    lane="high",
    line="coder:high",
    envelope=None,
    call='{"args": [1], "kwargs": {}, "options": {}}',
    delay_ms=7,
    created_ms=1_000,
    attempts=0,
)


def _call(options: dict[str, Any]) -> str:
    return orjson.dumps({"args": [], "kwargs": {}, "options": options}).decode()


def test_a_line_rests_longer_each_time_up_to_a_limit_and_once_a_batch() -> None:
    clock = FakeClock()
    pauses = LinePauses(clock)
    rests: list[float] = []
    for _ in range(8):
        pauses.refused("a")
        pauses.refused("a")
        soonest = pauses.soonest()
        assert soonest is not None
        assert pauses.paused() == ["a"]
        rests.append(round(soonest, 3))
        clock.advance(round(soonest * 1000))
        assert pauses.paused() == []
        assert pauses.soonest() is None
    assert rests[:3] == [FIRST_SECONDS, FIRST_SECONDS * 2, FIRST_SECONDS * 4]
    assert rests[-1] == LONGEST_SECONDS


def test_a_line_that_moves_begins_anew() -> None:
    clock = FakeClock()
    pauses = LinePauses(clock)
    for _ in range(4):
        pauses.refused("a")
        clock.advance(1_000)
    pauses.accepted("a")
    pauses.refused("a")
    assert pauses.soonest() == pytest.approx(FIRST_SECONDS)


def test_a_call_becomes_the_message_its_actor_would_have_sent() -> None:
    broker = broker_on()
    draft = draft_from(ROW, broker)
    header, call = unpack_header(draft.payload), decode_body(draft.payload)
    assert (draft.queue, draft.lane, draft.delay_ms) == ("coder", Lane.HIGH, 7)
    assert header.message_id == ROW.message_id
    assert (call.actor, call.args, call.created_at_ms) == ("work", [1], 1_000)


def test_a_call_for_another_partition_has_the_same_id_each_time() -> None:
    broker = broker_on()

    @octoqueue.actor(queue="coder", broker=broker, unique=octoqueue.Unique(until="done"))
    async def work(number: int) -> None: ...

    first, second = draft_from(ROW, broker), draft_from(ROW, broker)
    assert first.message_id == second.message_id
    assert first.message_id[:-2] == ROW.message_id[:-2]
    assert decode_body(first.payload).own_id in {None, text_from_id(ROW.message_id)}


def test_an_actor_nobody_knows_needs_a_queue() -> None:
    with pytest.raises(ActorUnknown, match="'work'"):
        draft_from(replace(ROW, queue=None), broker_on())


@pytest.mark.parametrize("options", [{"lane": "urgent"}, {"tenant": 7}])
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    row = replace(ROW, lane=None, call=_call(options))
    with pytest.raises(InvalidMessage):
        draft_from(row, broker_on())


def test_an_envelope_of_another_message_is_refused() -> None:
    payload = pack_header(Header(new_message_id(), Lane.LOW)) + b"{}"
    with pytest.raises(EnvelopeError):
        draft_from(replace(ROW, envelope=payload, call=None), broker_on())
    with pytest.raises(EnvelopeError):
        draft_from(replace(ROW, envelope=b"short", call=None), broker_on())
