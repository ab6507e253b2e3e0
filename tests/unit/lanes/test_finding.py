"""Why a message does not run, from the facts."""

from __future__ import annotations

import pytest

from octoqueue.lanes.finding import Cause, Circumstances, Gate, State, Whereabouts, explain
from octoqueue.primitives.ids import MessageId
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import SessionId

IDENT = MessageId(bytes(16))
NOW_MS = 1_000_000
WAITING = Whereabouts(
    message_id=IDENT, state=State.WAITING, queue="coder", lane=Lane.NORMAL, position=0
)


def around(**facts: object) -> Circumstances:
    return Circumstances(**({"now_ms": NOW_MS, "sessions": 1} | facts))  # type: ignore[arg-type] # chosen by each test


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (State.DEAD, Cause.DEAD),
        (State.FINISHED, Cause.FINISHED),
        (State.UNKNOWN, Cause.UNKNOWN),
    ],
)
def test_what_has_ended_has_one_reason(state: State, cause: Cause) -> None:
    where = Whereabouts(message_id=IDENT, state=state)
    assert explain(where, around(is_paused=True)).causes == (cause,)


def test_a_message_with_nothing_in_its_way_is_next() -> None:
    assert explain(WAITING, around()).causes == (Cause.NEXT,)


def test_everything_in_the_way_is_told_the_hardest_first() -> None:
    gates = (
        Gate(name="tenant acme", held=2, slots=2),
        Gate(name="cap actor:write", held=1, slots=None),
        Gate(name="limit openai for key", opens_at_ms=NOW_MS + 1_500),
        Gate(name="limit other"),
    )
    where = Whereabouts(
        message_id=IDENT,
        state=State.WAITING,
        queue="coder",
        lane=Lane.LOW,
        position=3,
        cancelled="enough",
    )
    explained = explain(
        where,
        around(
            is_paused=True, in_flight=5, queue_cap=5, higher=7, beside=2, gates=gates, sessions=0
        ),
    )
    assert [reason.text for reason in explained.reasons] == [
        "somebody has cancelled it: enough",
        "queue 'coder' is paused",
        "5 of 5 messages of the queue run already",
        "tenant acme is full: 2 of 2 run",
        "limit openai for key lets it pass in 1.5 s",
        "no worker is alive",
        "7 messages wait in higher lanes",
        "3 stand before it in lane low, and up to 2 beside it may be served first",
    ]
    assert explained.causes == (
        Cause.CANCELLED,
        Cause.PAUSED,
        Cause.QUEUE_CAP,
        Cause.CAP,
        Cause.LIMIT,
        Cause.NO_WORKER,
        Cause.AHEAD,
        Cause.AHEAD,
    )


def test_a_delayed_message_tells_how_long() -> None:
    where = Whereabouts(
        message_id=IDENT, state=State.DELAYED, queue="coder", due_at_ms=NOW_MS + 2_000
    )
    (reason,) = explain(where, around(higher=5)).reasons
    assert (reason.cause, reason.text) == (Cause.DELAYED, "it is delayed for another 2.0 s")


@pytest.mark.parametrize(
    ("expires", "cause"),
    [(NOW_MS + 1, Cause.RUNNING), (NOW_MS, Cause.LEASE_EXPIRED), (None, Cause.LEASE_EXPIRED)],
)
def test_a_running_message_is_run_or_was_lost(expires: int | None, cause: Cause) -> None:
    where = Whereabouts(
        message_id=IDENT,
        state=State.RUNNING,
        queue="coder",
        session=SessionId("w"),
        lease_expires_at_ms=expires,
    )
    explained = explain(where, around(is_paused=True))
    assert explained.causes == (cause,)
    assert "worker w" in explained.reasons[0].text
