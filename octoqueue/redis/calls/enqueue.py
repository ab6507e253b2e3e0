"""KEYS and ARGV of `enqueue.lua`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from octoqueue.primitives.envelope import is_extended
from octoqueue.primitives.messages import Enqueue
from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from octoqueue.primitives.lane import Lane
    from octoqueue.redis.calls.scope import Scope

Groups = Sequence[Sequence[tuple[int, Enqueue]]]
"""Groups of messages, each with its partition; a group is stored all or none."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many messages may wait, in this call's scope."""

    lane: int
    delayed: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A group that did not fit."""

    group: int
    queue: str
    lane: Lane
    depth: int
    bound: int
    delayed: bool


TOO_LATE = -1
"""What `enqueue.lua` answers when `once` came after its time."""


def enqueue_call(
    scope: Scope,
    groups: Groups,
    *,
    bounds: Callable[[str, Lane], Bounds],
    now_ms: int = 0,
    once: bytes = b"",
) -> tuple[ScriptCall, list[tuple[str, Lane]]]:
    """Return the call and its blocks, in the order by which `refused_groups` reads the answer."""
    blocks: dict[tuple[str, Lane], int] = {}
    with_delay: set[tuple[str, Lane]] = set()
    with_lines: set[tuple[str, Lane]] = set()
    index_of = {partition: index for index, partition in enumerate(scope.partitions, 1)}
    tail: list[str | bytes | int] = []
    count = 0
    for number, group in enumerate(groups):
        for partition, message in group:
            place = (message.queue, message.lane)
            block = blocks.setdefault(place, len(blocks) + 1)
            if message.delay_ms:
                with_delay.add(place)
            elif is_extended(message.payload):
                with_lines.add(place)
            tail += (number, block, index_of[partition], message.delay_ms, message.payload)
            count += 1
    keys = [scope.once()] if once else []
    args: list[str | bytes | int] = [now_ms, once, len(blocks)]
    for place in blocks:
        queue, lane = place
        bound = bounds(queue, lane)
        keys.append(scope.stats(queue))
        if scope.bells:
            keys.append(scope.keys.bell(queue))
        keys += [scope.keys.lane(partition, queue, lane) for partition in scope.partitions]
        keys.append(scope.keys.gated(scope.home, queue, lane))
        if place in with_delay:
            keys += [scope.keys.delayed(partition, queue) for partition in scope.partitions]
        if place in with_lines:
            keys += scope.line_keys(queue)
        args += (
            bound.lane,
            bound.delayed,
            len(scope.partitions),
            int(scope.bells),
            int(place in with_delay),
            int(place in with_lines),
        )
    if with_lines:
        keys += scope.gate_keys()
    args.append(count)
    args += tail
    return ScriptCall(script("enqueue"), keys, args), list(blocks)


def refused_groups(answer: Sequence[int], blocks: Sequence[tuple[str, Lane]]) -> list[Refused]:
    """Return what `enqueue.lua` refused."""
    found: list[Refused] = []
    for at in range(0, len(answer), 5):
        group, block, depth, bound, delayed = answer[at : at + 5]
        queue, lane = blocks[block - 1]
        found.append(Refused(group, queue, lane, depth, bound, bool(delayed)))
    return found
