"""What holds of sends that come together, whenever they come and whatever the store does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.broker.coalescer import Coalescer
from octoqueue.errors import LaneFull, StoreUnavailable
from tests.running import gone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.lanes.protocol import LaneStore

Call = tuple[list[int], asyncio.Future[list[Any]]]


class SlowStore:
    """Takes names for messages, and answers a call when it is told to."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.open: list[Call] = []

    async def enqueue(self, groups: Sequence[Sequence[int]]) -> list[Any]:
        """Note what came; wait to be told the answer."""
        names = [name for (name,) in groups]
        self.taken += names
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.open.append((names, answer))
        return await answer


def answered(call: Call, kind: str) -> None:
    names, answer = call
    if answer.done():
        return  # who sent it was cancelled
    if kind == "lost":
        answer.set_exception(gone())
    else:
        refused = LaneFull("q", "low", depth=1, bound=1)
        answer.set_result([refused if kind == "full" and name % 2 else None for name in names])


async def turns() -> None:
    """Let everybody go as far as they can without an answer."""
    loop = asyncio.get_running_loop()
    for _ in range(8):
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn


moves = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 20)),
    st.tuples(st.sampled_from(["stored", "full", "lost"]), st.integers(0, 5)),
    st.tuples(st.just("cancel"), st.integers(0, 60)),
)


@given(st.lists(moves, max_size=30))
async def test_each_send_travels_once_and_ends_and_nobody_waits_for_nothing(
    history: list[tuple[str, int]],
) -> None:
    store = SlowStore()
    coalescer = Coalescer(cast("LaneStore", store))
    sends: list[asyncio.Task[Any]] = []
    cancelled: set[int] = set()
    recalled: set[int] = set()
    for move, number in history:
        if move == "send":
            group: Any
            for name in range(len(sends), len(sends) + number):
                group = [name]
                sends.append(asyncio.create_task(coalescer.enqueue(group)))
        elif move == "cancel" and number < len(sends):
            sends[number].cancel()
            cancelled.add(number)
            if number not in store.taken:
                recalled.add(number)
        elif move != "cancel" and number < len(store.open):
            answered(store.open.pop(number), move)
        await turns()
        store.open = [call for call in store.open if not call[1].done()]
        waiting = set(range(len(sends))) - set(store.taken) - cancelled
        assert store.open or not waiting
        assert len(store.open) <= len(sends).bit_length() + 1
    while store.open:
        answered(store.open.pop(0), "stored")
        await turns()
    assert len(store.taken) == len(set(store.taken))
    assert set(range(len(sends))) - cancelled <= set(store.taken)
    assert recalled.isdisjoint(store.taken)
    ends = await asyncio.gather(*sends, return_exceptions=True)
    for name, end in enumerate(ends):
        assert end is None or name in cancelled or isinstance(end, (LaneFull, StoreUnavailable))
    await coalescer.sent()
