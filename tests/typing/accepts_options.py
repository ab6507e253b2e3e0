"""What both type checkers must accept of gates and of the life of a message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import assert_type

import octoqueue
from octoqueue.broker.handles import MessageHandle
from octoqueue.lanes.answers import CancelOutcome
from octoqueue.lanes.finding import Explanation, Whereabouts

MINUTE = timedelta(minutes=1)
OPENAI = octoqueue.RateLimit("openai", rate=90_000, per=MINUTE)
MAIL = octoqueue.RateLimit("mail", rate=0.5, burst=10)


def tokens(prompt: str, *, region: str) -> int:
    """Count what a call costs."""
    return len(prompt + region)


def place(prompt: str, *, region: str) -> str:
    """Name a call."""
    return region or prompt


@octoqueue.actor(
    queue="coder",
    concurrency=5,
    limits=[OPENAI.uses(units=tokens, key=place), MAIL],
    unique=octoqueue.Unique(until=MINUTE, key=place),
    expires=timedelta(hours=1),
)
async def ask(prompt: str, *, region: str) -> str:
    """An actor with all of it."""
    message = octoqueue.current_message()
    if message is not None:
        message.settle("openai", units=830)
        assert_type(message.tenant, str | None)
    if not prompt:
        raise octoqueue.Snooze(MINUTE)
    return region


@octoqueue.actor(
    limits=(OPENAI.uses(units=1200, key="eu"),),
    unique=octoqueue.Unique(until="started", on_duplicate="error"),
)
def refresh(user: int) -> None:
    """A sync actor."""


async def send() -> None:
    """Send them."""
    handle = await ask.using(
        tenant="acme", unique="mine", expires=MINUTE, deadline=datetime.now(UTC)
    ).asend("x", region="eu")
    assert_type(handle, MessageHandle[str])
    assert_type(handle.duplicate, bool)
    refresh.using(expires=datetime.now(UTC), delay=MINUTE).send(5)
    broker = octoqueue.get_broker()
    broker.pause("coder")
    await broker.aresume("coder")
    assert_type(await handle.acancel("no more"), CancelOutcome)
    assert_type(handle.cancel(), CancelOutcome)
    assert_type(broker.cancel(handle.message_id, "no more", queue="coder"), CancelOutcome)
    assert_type(await broker.aexplain(handle.message_id), Explanation)
    assert_type(broker.find(handle.message_id), Whereabouts)
    assert_type(await broker.amove(handle.message_id, "high"), Whereabouts)
