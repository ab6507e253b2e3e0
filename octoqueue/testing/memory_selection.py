"""Who is next in a lane of the memory store: tenants take turns, and closed gates are passed by."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from octoqueue.errors import EnvelopeError
from octoqueue.primitives.envelope import extension_of, unpack_header
from octoqueue.primitives.extension import FLOW_BYTES, NO_EXTENSION, Extension
from octoqueue.primitives.gates import next_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from octoqueue.primitives.ids import MessageId
    from octoqueue.testing.memory_gates import LimitKey, MemoryGates

PLAIN = bytes(FLOW_BYTES)
"""The line of all messages that have no gates."""


@dataclass(slots=True)
class MemoryLines:
    """The lines of messages with gates in one lane, and whose turn it is."""

    waiting: dict[bytes, list[bytes]] = field(default_factory=dict[bytes, list[bytes]])
    """Payloads by flow, the oldest first."""
    tags: dict[bytes, float] = field(default_factory=dict[bytes, float])
    served: float = 0.0
    own: dict[str, float] = field(default_factory=dict[str, float])
    """The last tag of each tenant."""

    def __len__(self) -> int:
        """Return how many messages wait."""
        return sum(map(len, self.waiting.values()))

    def __iter__(self) -> Iterator[bytes]:
        """Give the payloads, line by line."""
        for line in self.waiting.values():
            yield from line

    def put(self, payload: bytes, extension: Extension, gates: MemoryGates) -> None:
        """Let a message wait by its age."""
        line = self.waiting.setdefault(extension.flow, [])
        if not line:
            self._tag(extension.flow, extension.tenant, gates)
        if payload not in line:  # one that was stored twice in the same instant is one
            bisect.insort(line, payload, key=_age)

    def remove(self, payload: bytes) -> None:
        """Take a message out of its line."""
        flow = gates_of(payload).flow
        self.waiting[flow].remove(payload)
        if not self.waiting[flow]:
            del self.waiting[flow], self.tags[flow]
        if not self.waiting:
            self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.waiting.clear()
        self.tags.clear()
        self.own.clear()
        self.served = 0.0

    def next_line(
        self,
        gates: MemoryGates,
        queue: str,
        now_ms: int,
        *,
        has_plain: bool,
        closed: set[LimitKey],
        taken: set[MessageId],
    ) -> bytes | None:
        """Return the flow that is to be served now, None when all wait for something.

        `closed` are limits somebody before waits for: nobody behind overtakes him there. `taken`
        are messages leased by this claim: one that was stored twice waits for the next.
        """
        if has_plain and self.waiting:
            if PLAIN not in self.tags:
                self._tag(PLAIN, "", gates)
        elif not has_plain:
            self.tags.pop(PLAIN, None)
        passed = {flow for flow, line in self.waiting.items() if _id_of(line[0]) in taken}
        while flow := self._lowest(passed):
            extension = NO_EXTENSION if flow == PLAIN else gates_of(self.waiting[flow][0])
            due = self.own.get(extension.tenant, 0.0) + 1 / _weight(extension.tenant, gates)
            if extension.tenant in self.own and due > self.tags[flow]:
                self.tags[flow] = due  # its tenant was served through another line
            elif not gates.full_cap(queue, extension):
                limit = gates.closed_limit(extension, now_ms)
                if limit is not None:
                    closed.add(limit[0])
                elif not any((use.name, use.key) in closed for use in extension.limits):
                    return flow
                passed.add(flow)
            else:
                passed.add(flow)
        return PLAIN if has_plain else None

    def _lowest(self, passed: set[bytes]) -> bytes | None:
        left = [(tag, flow) for flow, tag in self.tags.items() if flow not in passed]
        if all(flow == PLAIN for _, flow in left):
            self.tags.pop(PLAIN, None)  # nobody to take turns with
            return None
        return min(left)[1]

    def serve(self, flow: bytes, gates: MemoryGates) -> bytes:
        """Take the first message out of a line that has its turn."""
        payload = self.waiting[flow][0]
        self._served(flow, gates_of(payload).tenant, gates)
        self.remove(payload)
        return payload

    def serve_plain(self, gates: MemoryGates) -> None:
        """Note that the messages without gates had their turn."""
        if PLAIN in self.tags:
            self._served(PLAIN, "", gates)

    def _served(self, flow: bytes, tenant: str, gates: MemoryGates) -> None:
        tag = self.tags[flow]
        self.served = max(self.served, tag)
        self.own[tenant] = tag
        self.tags[flow] = self.served + 1 / _weight(tenant, gates)

    def _tag(self, flow: bytes, tenant: str, gates: MemoryGates) -> None:
        own, weight = self.own.get(tenant, 0.0), _weight(tenant, gates)
        self.tags[flow] = next_tag(served=self.served, own=own, weight=weight)


def _weight(tenant: str, gates: MemoryGates) -> float:
    return gates.defined.share_of(tenant).weight if tenant else 1.0


def _id_of(payload: bytes) -> MessageId:
    return unpack_header(payload).message_id


def _age(payload: bytes) -> tuple[int, bytes]:
    return unpack_header(payload).ready_at_ms, payload


def gates_of(payload: bytes) -> Extension:
    """Return what a message must pass; nothing when that cannot be read."""
    try:
        return extension_of(payload)
    except EnvelopeError:
        return NO_EXTENSION
