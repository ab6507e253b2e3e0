"""`Gatekeeper`: what of caps, limits and shares holds in this process, from code and configuration.

Actors declare caps and limits in code; the configuration adds the shares of tenants and the caps of
queues, and wins over the code where both define a limit. Workers write all of it into the store
when their session registers: what the last one that registered knows of a name holds for that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors import DeclarationError
from octoqueue.primitives.gates import DEFAULT_TENANT, Gates, TenantShare
from octoqueue.primitives.gates import RateLimit as Rate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from octoqueue.broker.admission import Admission
    from octoqueue.broker.limiting import RateLimit
    from octoqueue.settings.gates import LimitSettings
    from octoqueue.settings.root import Settings

_DEFAULT = "default"
"""The name in the configuration of the share of tenants that have none of their own."""


class Gatekeeper:
    """Knows every definition this process has."""

    def __init__(self) -> None:
        self._declared: dict[str, tuple[str, RateLimit]] = {}
        self._limits: dict[str, Rate] = {}
        self._tenants: dict[str, TenantShare] = {}
        self._queue_caps: dict[str, int] = {}

    def configure(self, settings: Settings) -> None:
        """Take what the configuration defines."""
        self._limits = {name: _rate_from(limit) for name, limit in settings.limits.items()}
        self._tenants = {
            DEFAULT_TENANT if name == _DEFAULT else name: TenantShare(
                weight=share.weight, concurrency=share.concurrency
            )
            for name, share in settings.tenants.items()
        }
        self._queue_caps = {
            queue: own.concurrency
            for queue, own in settings.lanes.queues.items()
            if own.concurrency is not None
        }

    def admit(self, actor: str, admission: Admission | None) -> None:
        """Take what an actor declares.

        Raises:
            DeclarationError: another actor defines a limit of that name in another way.
        """
        for use in () if admission is None else admission.limits:
            name = use.limit.name
            known = self._declared.setdefault(name, (actor, use.limit))
            if known[1] != use.limit and known[0] != actor:
                raise DeclarationError(
                    f"actor {actor!r}: limits defines {name!r} as {use.limit}, but actor "
                    f"{known[0]!r} as {known[1]}; share one RateLimit between them"
                )
            self._declared[name] = (actor, use.limit)

    def burst_of(self, limit: RateLimit) -> int:
        """Return how many units a limit gives at once; the configuration wins over the code."""
        configured = self._limits.get(limit.name)
        return limit.most if configured is None else configured.burst

    def gates(self, admissions: Iterable[Admission]) -> Gates:
        """Return all definitions, with the caps and limits of these actors."""
        caps: dict[str, int] = {}
        limits: dict[str, Rate] = {}
        for admission in admissions:
            if admission.concurrency is not None:
                caps.update(dict.fromkeys(admission.caps, admission.concurrency))
            for use in admission.limits:
                limit = use.limit
                limits[limit.name] = Rate(rate=limit.rate, per=limit.per, burst=limit.most)
        return Gates(
            tenants=dict(self._tenants),
            caps=caps,
            limits=limits | self._limits,
            queue_caps=dict(self._queue_caps),
        )


def _rate_from(limit: LimitSettings) -> Rate:
    burst = max(1, int(limit.rate)) if limit.burst is None else limit.burst
    return Rate(rate=limit.rate, per=limit.per, burst=burst)
