"""KEYS and ARGV of the scripts that decide about single messages and whole queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from octoqueue.redis.calls.scope import Scope


def pause_call(scope: Scope, queue: str, *, pause: bool) -> ScriptCall:
    """Return the call of `pause.lua`."""
    keys = [scope.stats(queue)]
    if scope.bells:
        keys.append(scope.keys.bell(queue))
    return ScriptCall(script("pause"), keys, [int(pause)])
