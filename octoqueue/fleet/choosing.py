"""Which workers a fleet loses when it shrinks. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A worker that may be drained."""

    name: str
    is_ready: bool
    running: int | None = None
    """Messages it runs; None when it has not said so."""
    at_risk_seconds: float = 0.0
    at_risk_cost: float = 0.0
    since: float = 0.0
    """When it was started, on any clock that all candidates share."""


def idlest(candidates: Iterable[Candidate], count: int) -> tuple[str, ...]:
    """Return whom to drain, at most `count`, the first first.

    Who is not ready yet has nothing to lose. Then those who run nothing; of those who run something
    the ones without work at risk, then by what it has cost, by how long it took, and by how many
    messages. Of equals the youngest goes: the old ones have warm caches. Who has not said what it
    runs is taken to be busy without anything at risk.
    """
    return tuple(each.name for each in sorted(candidates, key=_worth)[: max(count, 0)])


def _worth(candidate: Candidate) -> tuple[bool, bool, bool, float, float, int, float, str]:
    running = 1 if candidate.running is None else candidate.running
    return (
        candidate.is_ready,
        running > 0,
        candidate.at_risk_seconds > 0 or candidate.at_risk_cost > 0,
        candidate.at_risk_cost,
        candidate.at_risk_seconds,
        running,
        -candidate.since,
        candidate.name,
    )
