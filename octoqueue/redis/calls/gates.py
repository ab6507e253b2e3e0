"""KEYS and ARGV of `define.lua`, and the form in which definitions stand in the hash `gates`.

    t, t<name>    "<weight> <concurrency, 0 for none>"   a tenant, or all that are not named
    c<name>       "<slots>"                              a cap
    l<name>       "<ms of a unit> <burst>"               a rate limit
    now           two doubles                            the clock of limits, see `gates.lua`

What spans partitions is defined in shares when each partition is called by itself: of a cap at
least one slot, of a rate limit a part of rate and burst. A tenant's messages stand in one
partition, so its concurrency is whole everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.primitives.gates import Gates, share_of_cap
from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.redis.calls.scope import Scope


MORE = 2
"""What `define.lua` answers when the call has to be made again."""


def define_call(
    scope: Scope, gates: Gates, queues: Sequence[str], *, index: int, shares: int, go_on: bool
) -> ScriptCall:
    """Return the call that defines `gates` in scope `index` of `shares`."""
    keys = scope.gate_keys()
    caps: list[str | bytes | int] = []
    for queue in queues:
        keys.append(scope.stats(queue))
        if scope.bells:
            keys.append(scope.keys.bell(queue))
        keys += scope.line_keys(queue)
        slots = gates.queue_caps.get(queue)
        caps.append(0 if slots is None else share_of_cap(slots, index=index, shares=shares))
    defined = definitions(gates, index=index, shares=shares)
    args: list[str | bytes | int] = [len(queues), int(scope.bells), int(go_on), *caps]
    args.append(len(defined))
    for field, value in defined.items():
        args += (field, value)
    return ScriptCall(script("define"), keys, args)


def definitions(gates: Gates, *, index: int = 0, shares: int = 1) -> dict[str, str]:
    """Return the fields of the hash, for one of `shares`."""
    found: dict[str, str] = {}
    for name, share in gates.tenants.items():
        found[f"t{name}"] = f"{float(share.weight)!r} {share.concurrency or 0}"
    for name, slots in gates.caps.items():
        found[f"c{name}"] = str(share_of_cap(slots, index=index, shares=shares))
    for name, limit in gates.limits.items():
        found[f"l{name}"] = f"{limit.unit_ms * shares!r} {limit.burst / shares!r}"
    return found
