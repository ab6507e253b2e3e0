"""Which partitions an orchestrator is to hold: a rule that everybody computes for himself. Pure.

Of n partitions each of m orchestrators holds n/m, rounded down or up; those that hold most round
up. Who holds more than its share gives the rest up, what nobody holds goes to who has least.
Nothing moves between two that are within their shares, so as few partitions move as possible.

Orchestrators that see different rosters may want the same partition; the store gives it to one.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from octoqueue.workflows.protocol import AgentId, Roster


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one orchestrator is to do with partitions."""

    keep: tuple[int, ...] = ()
    release: tuple[int, ...] = ()
    take: tuple[int, ...] = ()


def wanted(me: AgentId, roster: Roster, *, partitions: int) -> Wanted:
    """Return what `me` is to do so that all partitions are held, evenly; nothing when not alive."""
    if me not in roster.agents:
        return Wanted()
    held = _held(roster, partitions)
    shares = _shares(held, partitions)
    own = held[me]
    lacking = {agent: shares[agent] - len(held[agent]) for agent in roster.agents}
    free = sorted(set(range(partitions)).difference(*held.values()))
    return Wanted(
        keep=tuple(own[: shares[me]]),
        release=tuple(own[shares[me] :]),
        take=tuple(_dealt(free, lacking, held).get(me, ())),
    )


def _held(roster: Roster, partitions: int) -> dict[AgentId, list[int]]:
    held: dict[AgentId, list[int]] = {agent: [] for agent in sorted(roster.agents)}
    for partition in range(partitions):
        hold = roster.holds.get(partition)
        own = held.get(hold.owner) if hold is not None and hold.owner is not None else None
        if own is not None:
            own.append(partition)
    return held


def _shares(held: Mapping[AgentId, Sequence[int]], partitions: int) -> dict[AgentId, int]:
    """Return how many partitions each is to hold."""
    least, more = divmod(partitions, len(held))
    most_first = sorted(held, key=lambda agent: (-len(held[agent]), agent))
    return {agent: least + (place < more) for place, agent in enumerate(most_first)}


def _dealt(
    free: Sequence[int],
    lacking: Mapping[AgentId, int],
    held: Mapping[AgentId, Sequence[int]],
) -> dict[AgentId, list[int]]:
    """Deal what nobody holds to those below their shares, whoever has least first."""
    dealt: dict[AgentId, list[int]] = {}
    heap = [(len(held[agent]), agent) for agent, count in lacking.items() if count > 0]
    heapify(heap)
    for partition in free:
        if not heap:
            break
        count, agent = heap[0]
        own = dealt.setdefault(agent, [])
        own.append(partition)
        if len(own) < lacking[agent]:
            heapreplace(heap, (count + 1, agent))
        else:
            heappop(heap)
    return dealt
