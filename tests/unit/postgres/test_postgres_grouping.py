from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import StoreRefused, StoreUnavailable
from octoqueue.postgres.grouping import Grouped

if TYPE_CHECKING:
    from collections.abc import Sequence


class Server:
    """Doubles numbers; keeps every statement, and holds answers back until told."""

    def __init__(self) -> None:
        self.statements: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.called = asyncio.Event()
        self.refuses: set[int] = set()

    async def double(self, items: Sequence[int]) -> Sequence[int]:
        self.statements.append(list(items))
        self.called.set()
        await self.open.wait()
        if self.refuses & set(items):
            raise StoreRefused("double", sqlstate="22003", reason="out of range")
        return [item * 2 for item in items]


async def test_calls_of_one_tick_share_one_statement_and_each_gets_its_own_answer() -> None:
    server = Server()
    double = Grouped(server.double)
    assert await asyncio.gather(*(double(n) for n in range(50))) == [n * 2 for n in range(50)]
    assert server.statements == [list(range(50))]


async def test_a_lone_call_waits_for_nobody() -> None:
    server = Server()
    assert await Grouped(server.double)(4) == 8
    assert server.statements == [[4]]


async def test_while_the_allowed_statements_are_under_way_newcomers_gather() -> None:
    server = Server()
    server.open.clear()
    double = Grouped(server.double, max_under_way=1)
    first = asyncio.create_task(double(1))
    await server.called.wait()
    rest: list[asyncio.Task[int]] = []
    for n in (2, 3, 4):
        rest.append(asyncio.create_task(double(n)))
        await asyncio.sleep(0)
    assert server.statements == [[1]]
    server.open.set()
    assert await asyncio.gather(first, *rest) == [2, 4, 6, 8]
    assert server.statements == [[1], [2, 3, 4]]


async def test_a_group_has_a_bound() -> None:
    server = Server()
    double = Grouped(server.double, max_items=3)
    await asyncio.gather(*(double(n) for n in range(7)))
    assert sorted(map(len, server.statements)) == [1, 3, 3]


async def test_items_of_one_key_never_share_a_statement_and_keep_their_order() -> None:
    server = Server()
    double = Grouped(server.double, key=lambda n: n % 10, max_under_way=1)
    await asyncio.gather(*(double(n) for n in (1, 2, 11, 3, 21)))
    assert server.statements == [[1, 2], [11, 3], [21]]


async def test_only_the_guilty_caller_fails_when_a_group_is_refused() -> None:
    server = Server()
    server.refuses = {2}
    double = Grouped(server.double)
    answers = await asyncio.gather(*(double(n) for n in range(4)), return_exceptions=True)
    assert isinstance(answers.pop(2), StoreRefused)
    assert answers == [0, 2, 6]


async def test_an_outage_fails_everybody_once() -> None:
    statements = 0

    async def gone(items: Sequence[int]) -> Sequence[int]:
        nonlocal statements
        statements += 1
        raise StoreUnavailable("PostgreSQL", reason="gone")

    double = Grouped(gone)
    answers = await asyncio.gather(*(double(n) for n in range(9)), return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    assert statements == 1


async def test_a_caller_cancelled_before_its_statement_takes_its_item_back() -> None:
    server = Server()
    double = Grouped(server.double)
    gone, stays = asyncio.create_task(double(1)), asyncio.create_task(double(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 4
    assert server.statements == [[2]]


async def test_a_caller_cancelled_in_mid_statement_does_not_disturb_the_others() -> None:
    server = Server()
    server.open.clear()
    double = Grouped(server.double)
    gone, stays = asyncio.create_task(double(1)), asyncio.create_task(double(2))
    await server.called.wait()
    gone.cancel()
    server.open.set()
    assert await stays == 4


async def test_a_wrong_number_of_answers_is_an_error_not_a_hang() -> None:
    async def forgetful(items: Sequence[int]) -> Sequence[int]:
        return []

    with pytest.raises(ValueError, match="shorter"):
        await Grouped(forgetful)(1)


async def test_closing_answers_what_is_under_way_and_refuses_the_rest() -> None:
    server = Server()
    server.open.clear()
    double = Grouped(server.double)
    pending = asyncio.create_task(double(1))
    await server.called.wait()
    closing = asyncio.create_task(double.aclose())
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable):
        await double(2)
    server.open.set()
    await closing
    assert await pending == 2
