"""What both type checkers must accept, with the types they must see."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, assert_type

import octoqueue
from octoqueue.broker.handles import MessageHandle

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from octoqueue.broker.actors import Actor, AsyncActor
    from octoqueue.broker.sending import Send


@octoqueue.actor
async def bare(number: int, *, name: str = "") -> float:
    """An async actor, declared without parentheses."""
    return number / len(name)


@octoqueue.actor(
    queue="coder",
    lane="high",
    max_retries=None,
    time_limit=timedelta(seconds=30),
    throws=(ValueError, KeyError),
    retry_when=lambda attempt, error: attempt < 3 and isinstance(error, OSError),
    results=True,
    result_ttl=timedelta(minutes=1),
    on_dead_letter="bury",
)
async def declared(text: str) -> list[str]:
    """An async actor with options."""
    return text.split()


@octoqueue.actor(lane=octoqueue.Lane.LOW)
def plain(flag: bool = False) -> int:  # noqa: FBT001, FBT002 - an actor takes what it takes
    """A sync actor."""
    return int(flag)


@octoqueue.actor(batch=octoqueue.Batch(max_size=3), results=True)
async def embed(texts: list[str]) -> list[float]:
    """An async batch actor that returns a result a message."""
    return [float(len(text)) for text in texts]


@octoqueue.actor(batch=octoqueue.Batch(), queue="coder", max_retries=3)
async def index(texts: list[str]) -> list[int | ValueError]:
    """One of whose messages may fail by itself."""
    return [len(text) or ValueError("empty") for text in texts]


@octoqueue.actor(batch=octoqueue.Batch(max_wait=timedelta(0)))
def write(numbers: list[int]) -> None:
    """A sync batch actor."""


@octoqueue.actor(batch=octoqueue.Batch())
async def awrite(numbers: list[int]) -> None:
    """An async batch actor without results."""


async def use_batches() -> None:
    """Send to them one by one; call them with lists."""
    assert_type(await embed.asend("text"), MessageHandle[float])
    assert_type(embed.send("text"), MessageHandle[float])
    assert_type(await (await embed.using(lane="high").asend("x")).result(), float)
    assert_type(write.send(1), MessageHandle[None])
    assert_type(await awrite.asend(1), MessageHandle[None])
    await index.asend("text")
    await octoqueue.asend_many([embed.message("x"), write.message(2)])
    await embed(["a", "b"])
    write([1, 2])
    assert_type([message.message_id for message in octoqueue.current_batch()], list[str])


async def use() -> None:
    """Use them."""
    assert_type(await bare(1, name="x"), float)
    assert_type(plain(flag=True), int)
    assert_type(await bare.asend(1), MessageHandle[float])
    assert_type(bare.send(1, name="y"), MessageHandle[float])
    assert_type(await (await declared.asend("a b")).result(), list[str])
    assert_type(plain.send(), MessageHandle[int])
    assert_type(await plain.using(delay=timedelta(seconds=1)).asend(flag=True), MessageHandle[int])
    assert_type(declared.using(lane="low").message("x"), MessageHandle[list[str]])
    await octoqueue.asend_many([bare.message(1), plain.message(), declared.message("x")])
    octoqueue.send_many([bare.message(1)])
    message = octoqueue.current_message()
    if message is not None:
        assert_type(message.attempt, int)
        assert_type(message.message_id, str)


async def wait() -> None:
    """Gather results and follow events."""
    first, second = await declared.asend("a b"), await plain.asend()
    assert_type(await octoqueue.gather(first, second), tuple[list[str], int])
    assert_type(await octoqueue.gather(first, second, first), tuple[list[str], int, list[str]])
    assert_type(await octoqueue.gather(*[second, second]), tuple[int, ...])
    answers = await octoqueue.gather(second, return_exceptions=True)
    assert_type(answers, tuple[int | BaseException, ...])
    async for event in first.events(timeout=None):
        assert_type(event, octoqueue.Event)
        assert_type(event.fraction, float | None)


def kinds() -> tuple[AsyncActor[[str], list[str]], Actor[..., int], Awaitable[float]]:
    """Name the types."""
    sending: Send[[str], list[str]] = declared.using()
    sending.send("x")
    return declared, plain, bare(1)
