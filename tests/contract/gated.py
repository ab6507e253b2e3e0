"""Words to build messages with gates, and the gates, for contract and property tests."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.primitives.envelope import Flag, Header, extension_of, pack_header
from octoqueue.primitives.extension import Extension, LimitUse, pack_extension
from octoqueue.primitives.gates import RateLimit
from octoqueue.primitives.ids import MessageId, new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Enqueue, Lease, Settlement
from tests.contract.world import ack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def gated(
    tenant: str = "",
    *,
    caps: tuple[str, ...] = (),
    limits: tuple[LimitUse, ...] = (),
    lane: Lane = Lane.NORMAL,
    queue: str = "coder",
    body: str = "{}",
    delay_ms: int = 0,
    message_id: MessageId | None = None,
) -> Enqueue:
    header = Header(
        lane=lane, flags=Flag.EXTENDED, message_id=message_id or new_message_id(beside=None)
    )
    extension = pack_extension(Extension(tenant=tenant, caps=caps, limits=limits))
    payload = pack_header(header) + extension + body.encode()
    return Enqueue(queue=queue, lane=lane, payload=payload, delay_ms=delay_ms)


def uses(units: int = 1, *, name: str = "openai", key: str = "") -> tuple[LimitUse, ...]:
    return (LimitUse(name, key, units),)


def per_second(rate: float, *, burst: int) -> RateLimit:
    return RateLimit(rate=rate, per=timedelta(seconds=1), burst=burst)


def tenants(leases: Iterable[Lease]) -> list[str]:
    return [extension_of(lease.payload).tenant for lease in leases]


def served(leases: Iterable[Lease]) -> Counter[str]:
    return Counter(tenants(leases))


def used(
    lease: Lease, units: int, *, name: str = "openai", key: str = "", like: Settlement | None = None
) -> Settlement:
    """The end of a message that really used so much."""
    end = like or ack(lease)
    amount: Mapping[tuple[str, str], int] = {(name, key): units}
    return Settlement(lease=lease, outcome=end.outcome, delay_ms=end.delay_ms, used=amount)
