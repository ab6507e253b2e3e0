"""Periodic actors for processes whose clocks are wrong by SKEW_MS; each tick writes a line."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import octoqueue

_right, _skew_ns = time.time_ns, int(os.environ.get("SKEW_MS", "0")) * 1_000_000
time.time_ns = lambda: _right() + _skew_ns

_file = os.open(os.environ["RAN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@octoqueue.periodic(every=timedelta(seconds=1), missed="catch_up")
@octoqueue.actor(queue="crash")
async def beat() -> None:
    """Write which tick this is and which message tells of it; one write is never torn."""
    message = octoqueue.current_message()
    assert message is not None
    assert message.scheduled_for is not None
    tick = round(message.scheduled_for.timestamp())
    os.write(_file, f"{tick} {message.message_id} {message.enqueued_at.timestamp()}\n".encode())


@octoqueue.periodic(cron="0 3 * * *", tz="Europe/Berlin")
@octoqueue.actor(queue="crash")
async def nightly() -> None:
    """Run far from now."""
