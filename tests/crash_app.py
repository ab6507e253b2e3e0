"""Actors for processes that are killed; each execution writes a line into the file RAN names."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta

import octoqueue

_file = os.open(os.environ["RAN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(line: object) -> None:
    """Append a line; one write of this size is never torn."""
    os.write(_file, f"{line}\n".encode())


@octoqueue.actor(queue="crash")
async def work(number: int) -> None:
    """Take 5 ms on the loop."""
    note(number)
    await asyncio.sleep(0.005)


@octoqueue.actor(queue="crash")
def work_in_thread(number: int) -> None:
    """Take 5 ms in a thread."""
    note(number)
    time.sleep(0.005)


@octoqueue.actor(queue="crash", time_limit=timedelta(seconds=60), results=True)
async def hold(seconds: float) -> int:
    """Take a while; tell which process ended it and how."""
    message = octoqueue.current_message()
    deliveries = 0 if message is None else message.deliveries
    note(f"begin {deliveries}")
    if deliveries:
        return deliveries
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note("stopped")
        raise
    note("end")
    return deliveries


@octoqueue.actor(queue="crash")
async def die() -> None:
    """Take the whole process down."""
    note("die")
    os.kill(os.getpid(), 9)


@octoqueue.actor(queue="crash", batch=octoqueue.Batch(max_size=5, max_wait=timedelta(seconds=1)))
async def work_in_batches(numbers: list[int]) -> None:
    """Take 5 ms for up to five messages."""
    note("batch " + " ".join(map(str, numbers)))
    await asyncio.sleep(0.005)


@octoqueue.actor(queue="crash", batch=octoqueue.Batch(max_size=5, max_wait=timedelta(minutes=30)))
async def hold_batch(numbers: list[int]) -> None:
    """Take long, unless some of it was lost with a worker before."""
    deliveries = {message.deliveries for message in octoqueue.current_batch()}
    told = "again" if any(deliveries) else "first"
    note(f"{told} " + " ".join(map(str, numbers)))
    if told == "first" and len(numbers) == 5:
        await asyncio.sleep(3600)


@octoqueue.actor(queue="crash", events=True)
async def stream(count: int, hold_at: int) -> None:
    """Tell numbers as a model tells tokens; the first worker holds in the middle."""
    message = octoqueue.current_message()
    assert message is not None
    for number in range(count):
        if number == hold_at and not message.deliveries:
            note("holding")
            await asyncio.sleep(60)
        message.emit(number)
        if number % 3 == 0:
            await asyncio.sleep(0.001)


@octoqueue.actor(queue="crash", results=True)
async def write(characters: int) -> str:
    """Return a text of that length."""
    return "x" * characters


@octoqueue.actor(queue="crash", results=True, unique=octoqueue.Unique(until="done"))
async def hold_uniquely(seconds: float) -> int:
    """Take a while under a unique key, unless a worker was lost with it before."""
    message = octoqueue.current_message()
    assert message is not None
    note(f"begin {message.deliveries}")
    if not message.deliveries:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            note("stopped")
            raise
    return message.deliveries
