"""KEYS and ARGV of `begin.lua` and `fire.lua`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from octoqueue.primitives.schedules import Tick
    from octoqueue.redis.calls.scope import Scope


def begin_call(
    scope: Scope, name: str, digest: str, *, begins: bool, now_ms: int = 0
) -> ScriptCall:
    """Return the call of `begin.lua`."""
    keys = [scope.keys.schedules(scope.home)]
    return ScriptCall(script("begin"), keys, [now_ms, name, digest, int(begins)])


def fire_call(scope: Scope, enqueue: ScriptCall, tick: Tick) -> ScriptCall:
    """Return the call of `fire.lua` around that of `enqueue.lua` for the tick's message."""
    return ScriptCall(
        script("fire"),
        [*enqueue.keys, scope.keys.schedules(scope.home)],
        [*enqueue.args, tick.schedule, tick.digest, tick.after_ms, tick.tick_ms],
    )
