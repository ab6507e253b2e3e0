from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

from octoqueue.redis.cancel_bell import CancelBell
from octoqueue.redis.keys import Keys

if TYPE_CHECKING:
    from octoqueue.redis.hub import Hub, Listener

AT_ONCE, SOON = timedelta(milliseconds=10), timedelta(seconds=10)


class FakeHub:
    def __init__(self) -> None:
        self.channels: list[str] = []

    def listen(self, channel: str, listener: Listener) -> None:
        assert isinstance(listener, CancelBell)
        self.channels.append(channel)


def bell() -> tuple[CancelBell, FakeHub]:
    hub = FakeHub()
    return CancelBell(cast("Hub", hub), Keys("oq")), hub


async def test_it_listens_to_each_queue_once() -> None:
    rings, hub = bell()
    for queues in (["coder"], ["coder", "judge"], ["judge"]):
        assert not await rings.wait(queues, timeout=AT_ONCE)
    assert hub.channels == ["oq:cancel:coder", "oq:cancel:judge"]


async def test_what_was_said_between_two_waits_rings_the_next_and_only_that() -> None:
    rings, _ = bell()
    assert not await rings.wait(["coder"], timeout=AT_ONCE)
    rings.said(b"")
    rings.said(b"")
    assert await rings.wait(["coder"], timeout=SOON)
    assert not await rings.wait(["coder"], timeout=AT_ONCE)


async def test_a_subscription_rings_because_something_may_have_been_missed() -> None:
    rings, _ = bell()
    rings.confirmed()
    assert await rings.wait(["coder"], timeout=SOON)


async def test_a_refused_subscription_rings_and_is_tried_again() -> None:
    rings, hub = bell()
    assert not await rings.wait(["coder"], timeout=AT_ONCE)
    rings.refused("gone")
    assert await rings.wait(["coder"], timeout=SOON)
    assert hub.channels == ["oq:cancel:coder"] * 2
