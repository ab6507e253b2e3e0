"""What both type checkers must refuse: every line that ends in `# refused`, and no other."""

from __future__ import annotations

from datetime import timedelta

import octoqueue


@octoqueue.actor
async def count(number: int, *, name: str = "") -> int:
    """An async actor."""
    return number + len(name)


@octoqueue.actor(queue="coder", results=True)
def plain(text: str) -> str:
    """A sync actor."""
    return text


@octoqueue.actor(batch=octoqueue.Batch(), results=True)
async def embed(texts: list[str]) -> list[float]:
    """A batch actor."""
    return [float(len(text)) for text in texts]


async def misuse_batches() -> None:
    """Call it wrongly."""
    await embed.asend(["a", "b"])  # refused
    await embed.asend("a", "b")  # refused
    await embed.asend(texts="a")  # refused
    await embed.asend(7)  # refused
    await embed("a")  # refused
    found: str = await (await embed.asend("a")).result()  # refused
    print(found)


@octoqueue.actor(batch=octoqueue.Batch())  # refused
async def no_list(text: str) -> None:
    """Declare a batch actor that takes no list."""


@octoqueue.actor(batch=octoqueue.Batch(), max_retries="3")  # refused
async def batch_with_wrong_option(texts: list[str]) -> None:
    """Declare with a wrong type."""


@octoqueue.actor(batch=10)  # refused
async def number_for_batch(texts: list[str]) -> None:
    """Declare with a number."""


async def misuse() -> None:
    """Call them wrongly."""
    await count.asend("one")  # refused
    await count.asend()  # refused
    await count.asend(1, nmae="x")  # refused
    count.send(1, 2)  # refused
    plain.send(5)  # refused
    plain.message()  # refused
    await plain.using(lane=7).asend("x")  # refused
    await plain.using(delay=5).asend("x")  # refused
    await plain.using(priority=1).asend("x")  # refused
    await plain.using(lane="low").asend(7)  # refused
    total: str = await count(1)  # refused
    found: int = await (await plain.asend("x")).result()  # refused
    await octoqueue.asend_many([plain])  # refused
    print(total, found)


@octoqueue.actor(max_retries="3")  # refused
async def text_for_number() -> None:
    """Declare with a wrong type."""


@octoqueue.actor(time_limit=30)  # refused
async def number_for_duration() -> None:
    """Declare without a unit."""


@octoqueue.actor(throws=ValueError("an instance"))  # refused
async def instance_for_class() -> None:
    """Declare with an instance."""


LIMIT = timedelta(seconds=1)
