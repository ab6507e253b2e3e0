"""KEYS and ARGV of `enqueue.lua`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from octoqueue.primitives.envelope import is_extended
from octoqueue.primitives.ids import MessageId
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


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A message whose unique key another one holds."""

    group: int
    message_id: MessageId
    holder: MessageId
    refused: bool
    """Whether its group was refused therefore."""


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
    extended = False
    strict: dict[int, None] = {}
    for number, group in enumerate(groups):
        for partition, message in group:
            place = (message.queue, message.lane)
            block = blocks.setdefault(place, len(blocks) + 1)
            if message.delay_ms:
                with_delay.add(place)
            if is_extended(message.payload):
                extended = True
                if not message.delay_ms:
                    with_lines.add(place)
                if message.refuse_duplicates:
                    strict[number] = None
            tail += (number, block, index_of[partition], message.delay_ms, message.payload)
            count += 1
    keys = [scope.once()] if once else []
    if extended:
        keys += (scope.locks(), scope.lock_expiries(), *scope.gate_keys())
    args: list[str | bytes | int] = [now_ms, once, int(extended), len(blocks)]
    for place in blocks:
        has_delay, has_lines, bound = place in with_delay, place in with_lines, bounds(*place)
        keys += _block_keys(scope, *place, has_delay=has_delay, has_lines=has_lines)
        args += (
            bound.lane,
            bound.delayed,
            len(scope.partitions),
            int(scope.bells),
            int(has_delay),
            int(has_lines),
        )
    args.append(count)
    args += tail
    args += (len(strict), *strict)
    return ScriptCall(script("enqueue"), keys, args), list(blocks)


@lru_cache(maxsize=4096)
def _block_keys(
    scope: Scope, queue: str, lane: Lane, *, has_delay: bool, has_lines: bool
) -> tuple[str, ...]:
    keys = [scope.stats(queue), scope.tallies(queue)]
    if scope.bells:
        keys += (scope.keys.bell(queue), scope.marks())
    keys += [scope.keys.lane(partition, queue, lane) for partition in scope.partitions]
    keys.append(scope.keys.gated(scope.home, queue, lane))
    if has_delay:
        keys += [scope.keys.delayed(partition, queue) for partition in scope.partitions]
    if has_lines:
        keys += scope.line_keys(queue)
    return tuple(keys)


def refused_groups(
    answer: Sequence[Sequence[int]], blocks: Sequence[tuple[str, Lane]]
) -> list[Refused]:
    """Return what `enqueue.lua` had no room for."""
    found: list[Refused] = []
    flat = answer[0]
    for at in range(0, len(flat), 5):
        group, block, depth, bound, delayed = flat[at : at + 5]
        queue, lane = blocks[block - 1]
        found.append(Refused(group, queue, lane, depth, bound, bool(delayed)))
    return found


def duplicates(answer: Sequence[Sequence[Any]]) -> list[Duplicate]:
    """Return the messages whose keys were taken when `enqueue.lua` met them."""
    flat = answer[1]
    return [
        Duplicate(flat[at], MessageId(flat[at + 1]), MessageId(flat[at + 2]), bool(flat[at + 3]))
        for at in range(0, len(flat), 4)
    ]
