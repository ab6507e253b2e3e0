"""A follower of a stream that may publish, forget and fall silent as a test says."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import StoreUnavailable
from octoqueue.lanes.event_feed import EventChannel, EventFeed
from octoqueue.primitives.events import EventKind, Kept, Position, encoded, published


class Stream:
    """What is kept of a stream, and a channel on which it may be published."""

    def __init__(self, *, since: Position | None = None) -> None:
        self.kept: list[Kept] = []
        self.channel = EventChannel()
        self.feed = EventFeed(self.read, since=since)
        self.channel.feeds.add(self.feed)
        self.reads = 0
        self.before_answer = [lambda: None]

    async def read(self, seen: Position | None, limit: int) -> list[Kept]:
        self.reads += 1
        found = [kept for kept in self.kept if seen is None or kept.position > seen]
        await asyncio.sleep(0)
        self.before_answer.pop()() if self.before_answer else None
        return found[:limit]

    def append(self, *numbers: int, life: int = 1, heard: bool = True) -> None:
        """Append events that hold their own number; followers hear of them or not."""
        fresh = [Kept(Position(life, number), body(number)) for number in numbers]
        self.kept += fresh
        if heard:
            self.channel.said(published(fresh[0].position, [kept.body for kept in fresh]))

    async def next(self, count: int) -> list[object]:
        """Return the next events: numbers, or how many a gap has lost."""
        async with asyncio.timeout(5):
            events = [await self.feed.next_event() for _ in range(count)]
        return [
            f"gap {event.missed}" if event.kind is EventKind.GAP else event.data for event in events
        ]


def body(number: int) -> bytes:
    return encoded(EventKind.EMITTED, attempt=0, at_ms=0, data=number, actor="a")


async def test_nothing_is_read_before_the_subscription_stands() -> None:
    stream = Stream()
    stream.append(1, heard=False)
    task = asyncio.create_task(stream.next(1))
    await asyncio.wait([task], timeout=0.02)
    assert stream.reads == 0
    stream.channel.confirmed()
    assert await task == [1]


async def test_what_is_published_is_not_read_once_a_feed_has_caught_up() -> None:
    stream = Stream()
    stream.channel.confirmed()
    stream.append(1, heard=False)
    assert await stream.next(1) == [1]
    reads = stream.reads
    stream.append(2, 3)
    stream.append(4)
    assert await stream.next(3) == [2, 3, 4]
    assert stream.reads == reads


async def test_what_is_published_while_history_is_read_comes_once_and_in_order() -> None:
    stream = Stream()
    stream.append(1, 2, heard=False)
    stream.channel.confirmed()
    stream.before_answer = [lambda: stream.append(3)]
    assert await stream.next(3) == [1, 2, 3]
    stream.append(4)
    assert await stream.next(1) == [4]


async def test_what_was_read_before_it_was_heard_of_is_neither_told_nor_read_again() -> None:
    stream = Stream()
    stream.channel.confirmed()
    stream.append(1, 2, heard=False)
    assert await stream.next(2) == [1, 2]
    reads = stream.reads
    stream.channel.said(published(Position(1, 2), [body(2)]))
    stream.append(3)
    assert await stream.next(1) == [3]
    assert stream.reads == reads


async def test_a_hole_in_what_is_published_is_read_from_the_stream() -> None:
    stream = Stream()
    stream.channel.confirmed()
    stream.append(1)
    assert await stream.next(1) == [1]
    stream.append(2, 3, heard=False)
    stream.append(4)
    assert await stream.next(3) == [2, 3, 4]


async def test_after_an_outage_what_was_missed_is_read() -> None:
    stream = Stream()
    stream.channel.confirmed()
    stream.append(1)
    assert await stream.next(1) == [1]
    stream.append(2, heard=False)
    stream.channel.confirmed()
    stream.append(3)
    assert await stream.next(2) == [2, 3]


async def test_what_was_dropped_before_it_could_be_read_is_a_gap() -> None:
    stream = Stream()
    stream.channel.confirmed()
    stream.append(1)
    assert await stream.next(1) == [1]
    stream.append(2, 3, 4, heard=False)
    del stream.kept[:3]
    stream.append(5)
    assert await stream.next(3) == ["gap 2", 4, 5]


async def test_a_stream_that_began_anew_is_followed_and_may_hide_a_gap() -> None:
    stream = Stream()
    stream.channel.confirmed()
    stream.append(1, 2)
    assert await stream.next(2) == [1, 2]
    stream.kept.clear()
    stream.append(1, life=9)
    assert await stream.next(1) == [1], "heard without a break: nothing can be lost"
    stream.kept.clear()
    stream.append(1, 2, life=10, heard=False)
    stream.channel.confirmed()
    assert await stream.next(3) == ["gap None", 1, 2]


async def test_a_reader_that_does_not_read_holds_a_bounded_number_and_loses_none() -> None:
    stream = Stream()
    stream.channel.confirmed()
    stream.append(1)
    assert await stream.next(1) == [1]
    for first in range(2, 5_002, 10):
        stream.append(*range(first, first + 10))
    assert len(stream.feed._waiting) <= 1_000
    assert await stream.next(5_000) == list(range(2, 5_002))
    stream.append(5_002)
    assert await stream.next(1) == [5_002]


async def test_a_refused_feed_gives_what_it_has_and_then_says_why() -> None:
    stream = Stream()
    stream.channel.confirmed()
    stream.append(1, heard=False)
    assert await stream.next(1) == [1]
    stream.append(2)
    stream.channel.refused("closed")
    assert await stream.next(1) == [2]
    with pytest.raises(StoreUnavailable, match="closed"):
        await stream.feed.next_event()


steps = st.lists(
    st.sampled_from(["heard", "unheard", "confirm", "take", "trim"]), min_size=1, max_size=60
)


async def after(chosen: list[str]) -> list[object]:
    """Return all that a follower hears while these things happen, and then to the end."""
    stream, number, heard = Stream(), 0, list[object]()
    stream.channel.confirmed()
    for step in chosen:
        if step in ("heard", "unheard"):
            number += 1
            stream.append(number, heard=step == "heard")
        elif step == "trim":
            del stream.kept[:-2]
        else:
            stream.channel.confirmed()
            if step == "take" and number and heard[-1:] != [number]:
                heard += await stream.next(1)
    stream.channel.confirmed()
    while number and heard[-1:] != [number]:
        heard += await stream.next(1)
    return heard


@given(steps)
def test_numbers_only_grow_and_every_hole_is_told(chosen: list[str]) -> None:
    reached = 0
    for each in asyncio.run(after(chosen)):
        if isinstance(each, str):
            reached += int(each.removeprefix("gap "))
        else:
            reached += 1
            assert each == reached
    assert reached == sum(step in ("heard", "unheard") for step in chosen)
