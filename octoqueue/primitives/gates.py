"""Gates: what may keep a message from running although it is ready. Definitions and arithmetic.

A *cap* bounds how many messages run at once: of a tenant, an actor, a queue. A *rate limit* bounds
how many units begin in a time. A *share* says how often a tenant is served in its lane.

Rate limits are GCRA ("virtual scheduling", ITU-T I.371, 1996): units occupy one after the other
`unit_ms` of virtual time each, and a limit is open while the virtual time taken reaches at most a
burst beyond now. So any window of W ms begins at most `burst + W / unit_ms` units. A message that
costs more than the burst (its limit was made smaller) waits for an untouched bucket and then pays
in full.

Tenants take turns by self-clocked fair queueing (Golestani, INFOCOM 1994): a line is served at its
virtual finish tag, the lowest first, and each service puts the next tag `1 / weight` further on.

`redis/lua/includes/gates.lua` computes the same with the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from octoqueue.errors import ConfigError
from octoqueue.primitives.extension import MOST_UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST_WEIGHT, MOST_WEIGHT = 0.01, 100.0
_LONGEST_UNIT_MS = 10 * 366 * 86_400_000
DEFAULT_TENANT = ""
"""Names the share of tenants that have none of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantShare:
    """How often a tenant is served, and how many of its messages run at once in each queue."""

    weight: float = 1.0
    concurrency: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: one of them is impossible; names it.
        """
        if not LEAST_WEIGHT <= self.weight <= MOST_WEIGHT:
            reason = f"weight is {self.weight}, it must be {LEAST_WEIGHT} to {MOST_WEIGHT:g}"
            raise ConfigError(reason, key="tenants.weight")
        if self.concurrency is not None:
            _require_positive("tenants.concurrency", self.concurrency)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """`rate` units in each `per`, and up to `burst` of them at once."""

    rate: float
    per: timedelta
    burst: int

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: one of them is impossible; names it.
        """
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise ConfigError(f"rate is {self.rate}, it must be above 0", key="limits.rate")
        if self.per <= timedelta(0):
            raise ConfigError(f"per is {self.per}, it must be above 0", key="limits.per")
        _require_positive("limits.burst", self.burst)
        if self.burst > MOST_UNITS:
            reason = f"burst is above {MOST_UNITS}, no message costs more"
            raise ConfigError(reason, key="limits.burst")
        if not 0 < self.unit_ms <= _LONGEST_UNIT_MS:
            reason = f"rate is {self.rate} in {self.per}: a unit must take more than nothing"
            raise ConfigError(f"{reason} and at most ten years", key="limits.rate")

    @property
    def unit_ms(self) -> float:
        """Virtual time one unit takes."""
        return self.per / timedelta(milliseconds=1) / self.rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Aging:
    """After how long a message that waits moves up a lane; None for never."""

    normal: timedelta | None = None
    low: timedelta | None = None

    @property
    def normal_ms(self) -> int:
        """Milliseconds in `normal`, 0 for any number."""
        return _whole_ms(self.normal)

    @property
    def low_ms(self) -> int:
        """Milliseconds in `low`, 0 for any number."""
        return _whole_ms(self.low)


def _whole_ms(time: timedelta | None) -> int:
    return 0 if time is None else max(1, time // timedelta(milliseconds=1))


NO_AGING = Aging()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """Everything that is defined. A gate a message names that is not defined is open."""

    tenants: Mapping[str, TenantShare] = field(default_factory=dict[str, TenantShare])
    """By name; `DEFAULT_TENANT` for all that are not named."""
    caps: Mapping[str, int] = field(default_factory=dict[str, int])
    """Messages that run at once, by the cap's name, in each queue."""
    limits: Mapping[str, RateLimit] = field(default_factory=dict[str, RateLimit])
    """By name; for each of its keys by itself."""
    queue_caps: Mapping[str, int] = field(default_factory=dict[str, int])
    """Messages that run at once, by queue."""

    def __post_init__(self) -> None:
        """Check the caps.

        Raises:
            ConfigError: one of them is below 1; names it.
        """
        for name, slots in self.caps.items():
            _require_positive(f"concurrency of {name}", slots)
        for name, slots in self.queue_caps.items():
            _require_positive(f"lanes.queues.{name}.concurrency", slots)

    def share_of(self, tenant: str) -> TenantShare:
        """Return the share of a tenant."""
        return self.tenants.get(tenant) or self.tenants.get(DEFAULT_TENANT) or _EVEN


_EVEN = TenantShare()


def _require_positive(key: str, count: int) -> None:
    if count < 1:
        raise ConfigError(f"{key} is {count}, it must be at least 1", key=key)


def share_of_cap(slots: int, *, index: int, shares: int) -> int:
    """Return the slots of one of several shares of a cap: their sum, but at least one each."""
    return max(1, slots // shares + (index < slots % shares))


class Reservation(NamedTuple):
    """Units a message took out of a limit when it was claimed."""

    units: int
    begins_ms: float
    """Where they begin in virtual time."""
    shift_ms: float
    """All that had been refunded of the limit by then."""
    unit_ms: float

    def refund_ms(self, used: int, *, now_ms: float, shift_ms: float) -> float:
        """Return how much virtual time comes back when only `used` of the units were needed.

        What lay behind moves forward by it, so nothing may come before now: a unit that is given
        back after its time cannot be used by anybody. Refunds since it was reserved may have moved
        it, at most by all of them. More than was reserved makes the refund negative: a debt.
        """
        spare = (self.units - used) * self.unit_ms
        if spare <= 0:
            return spare
        begins = self.begins_ms - (shift_ms - self.shift_ms)
        passed = max(0.0, now_ms - (begins + used * self.unit_ms))
        return max(0.0, spare - passed)


def opens_at_ms(limit: RateLimit, arrival_ms: float, units: int) -> float:
    """Return when `units` fit, given the theoretical arrival time of the next unit."""
    return arrival_ms - (max(limit.burst, units) - units) * limit.unit_ms


def next_tag(*, served: float, own: float, weight: float) -> float:
    """Return the finish tag of a line that begins to wait, or waits for its next turn.

    `served` is the tag served last, `own` the last of the line's tenant.
    """
    return max(served, own) + 1 / weight
