"""`EventSettings`: what is kept of what messages tell while they run."""

from __future__ import annotations

from datetime import timedelta

from octoqueue.settings.quantities import PositiveCount, PositiveDuration, PositiveSize
from octoqueue.settings.section import Section


class EventSettings(Section):
    """The events of actors declared with `events=True`."""

    kept: PositiveCount = 10_000
    """Events kept of one message, at most; older ones make room, and a follower is told so."""

    ttl: PositiveDuration = timedelta(minutes=10)
    """How long the events of a message are kept after its last one."""

    max_bytes: PositiveSize = 16 * 2**10
    """Size of one event, at most."""
