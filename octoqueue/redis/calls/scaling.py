"""KEYS and ARGV of what scaling remembers: recall, remember, override, lead, publish.

The hash of a fleet's memory:

    override, override_until   what a person wants of it, and until when it counts
    leader, leader_until       which agent changes its size, and until when
    leader_for                 for how long it asked to
    decision, decided_at, mark the last decision, when it was made, what tells it from others
    active_at                  when it last had something to do
    wish:N                     since when N workers have been wanted that are not there
    forecast, forecast_at      what is expected to arrive, and when that was said

Beside it stand a list of lead times and one of decisions, each newest first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.redis.keys import Keys

KEPT_MS = 90 * 24 * 3_600_000
"""A fleet that nobody decides for is forgotten after that."""
DECISIONS_KEPT = 50
WISH = b"wish:"


class Fate(NamedTuple):
    """What becomes of a wish for so many workers."""

    what: Literal["open", "drop", "true"]
    workers: int
    value: bytes = b""
    """The moment it is opened, the lead time it came true with."""


def recall_call(keys: Keys, fleet: str, *, leads: int, now_ms: int = 0) -> ScriptCall:
    """Return the call of `recall.lua`."""
    places = [keys.fleet(fleet, "memory"), keys.fleet(fleet, "leads")]
    return ScriptCall(script("recall"), places, [now_ms, leads])


def remember_call(
    keys: Keys,
    fleet: str,
    *,
    decided_at_ms: int,
    decision: bytes,
    mark: str,
    active_at_ms: int,
    leads: int,
    fates: Sequence[Fate] = (),
    now_ms: int = 0,
) -> ScriptCall:
    """Return the call of `remember.lua`."""
    places = [keys.fleet(fleet, kind) for kind in ("memory", "leads", "decisions")]
    args: list[str | bytes | int] = [now_ms, decided_at_ms, decision, mark, active_at_ms]
    args += (KEPT_MS, DECISIONS_KEPT, leads)
    for fate in fates:
        args += (fate.what, WISH + str(fate.workers).encode(), fate.value)
    return ScriptCall(script("remember"), places, args)


def override_call(
    keys: Keys, fleet: str, *, for_ms: int, said: bytes = b"", now_ms: int = 0
) -> ScriptCall:
    """Return the call of `override.lua`."""
    places = [keys.fleet(fleet, "memory")]
    return ScriptCall(script("override"), places, [now_ms, for_ms, said, KEPT_MS])


def lead_call(keys: Keys, fleet: str, *, agent: str, for_ms: int, now_ms: int = 0) -> ScriptCall:
    """Return the call of `lead.lua`."""
    places = [keys.fleet(fleet, "memory")]
    return ScriptCall(script("lead"), places, [now_ms, agent, for_ms, KEPT_MS])


def publish_call(
    keys: Keys, fleet: str, *, made_at_ms: int, forecast: bytes, now_ms: int = 0
) -> ScriptCall:
    """Return the call of `publish.lua`."""
    places = [keys.fleet(fleet, "memory")]
    return ScriptCall(script("publish"), places, [now_ms, made_at_ms, forecast, KEPT_MS])


def recent_parts(keys: Keys, fleet: str, *, limit: int) -> tuple[str, str, int, int]:
    """Return the command that reads the last decisions."""
    return ("LRANGE", keys.fleet(fleet, "decisions"), 0, limit - 1)
