"""Actors for processes that are cancelled, stopped and killed; RAN names the file of what ran."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path

import octoqueue
from tests.crash_app import note

SLOW = octoqueue.RateLimit("slow", rate=1000, burst=10)


@octoqueue.actor(queue="crash", results=True)
async def wait_on_loop() -> None:
    """Wait for a minute on the loop."""
    note("loop begins")
    try:
        await asyncio.sleep(60)
    finally:
        note("loop cleans up")


@octoqueue.actor(queue="crash", results=True)
def wait_in_thread() -> None:
    """Wait for a minute in a thread."""
    note("thread begins")
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            time.sleep(0.01)
    finally:
        note("thread cleans up")


@octoqueue.actor(queue="crash", results=True)
async def stubborn() -> str:
    """Finish all the same."""
    note("stubborn begins")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        note("stubborn goes on")
    return "done"


@octoqueue.actor(queue="crash", max_retries=0, unique=octoqueue.Unique(), results=True)
async def poll(seconds: float) -> int:
    """Come back once after a while; return the attempt, which is none."""
    message = octoqueue.current_message()
    assert message is not None
    runs = note_run(message.message_id)
    if runs == 1:
        raise octoqueue.Snooze(timedelta(seconds=seconds))
    return message.attempt


def note_run(message_id: str) -> int:
    """Note that a message runs; return how often it has, in whatever process."""
    note(message_id)
    return Path(os.environ["RAN"]).read_text().splitlines().count(message_id)


@octoqueue.actor(queue="crash", concurrency=2, limits=[SLOW])
async def gated(number: int) -> None:
    """Take 5 ms under a cap and a limit."""
    note(f"+{number}")
    await asyncio.sleep(0.005)
    note(f"-{number}")
