"""What a HorizontalPodAutoscaler remembers, and how far that lets it move.

Kubernetes 1.36, `pkg/controller/podautoscaler/horizontal.go`: recommendations are kept for the
stabilization windows, changes of size for the periods of the rate policies. Times are seconds of
any clock that the caller keeps to. A clock that was set back counts as one that stood still.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from octoqueue.scaling.behavior import Behavior, DirectionRules, RatePolicy


class Noted(NamedTuple):
    """A number of replicas and when it was recommended, added or removed."""

    at: float
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaState:
    """The memory of one autoscaler between its syncs; a fresh one is that of a new controller."""

    at: float = -math.inf
    """When it was last used."""
    recommendations: tuple[Noted, ...] = ()
    """What was proposed before it was stabilized. None yet: the first sync puts the current size
    in, as a controller does when it starts."""
    added: tuple[Noted, ...] = ()
    """By how much syncs made it grow."""
    removed: tuple[Noted, ...] = ()
    """By how much syncs made it shrink."""

    def at_moment(self, now: float) -> HpaState:
        """Return it as seen at `now`: after a step back all that is known keeps its age."""
        if now >= self.at:
            return self if now == self.at else replace(self, at=now)
        back = self.at - now
        return HpaState(
            at=now,
            recommendations=tuple(
                Noted(entry.at - back, entry.replicas) for entry in self.recommendations
            ),
            added=tuple(Noted(entry.at - back, entry.replicas) for entry in self.added),
            removed=tuple(Noted(entry.at - back, entry.replicas) for entry in self.removed),
        )

    def seeded(self, current: int) -> HpaState:
        """Return it with the current size as first recommendation if it has none."""
        if self.recommendations:
            return self
        return replace(self, recommendations=(Noted(self.at, current),))

    def recommended(self, replicas: int, *, forgotten_before: float) -> HpaState:
        """Return it with a recommendation of now, in the place of one that no window needs."""
        entry = Noted(self.at, replicas)
        kept = _with(self.recommendations, entry, forgotten_before=forgotten_before)
        return replace(self, recommendations=kept)

    def resized(self, before: int, after: int, behavior: Behavior | None) -> HpaState:
        """Return it with a change of size of now; without behavior nobody needs it."""
        if behavior is None or before == after:
            return self
        change = Noted(self.at, abs(after - before))
        if after > before:
            cutoff = self.at - _longest_period(behavior.up)
            return replace(self, added=_with(self.added, change, forgotten_before=cutoff))
        cutoff = self.at - _longest_period(behavior.down)
        return replace(self, removed=_with(self.removed, change, forgotten_before=cutoff))

    def size_before(self, current: int, *, period_seconds: float) -> int:
        """Return the size at the beginning of the period that ends now."""
        cutoff = self.at - period_seconds
        added = sum(change.replicas for change in self.added if change.at > cutoff)
        removed = sum(change.replicas for change in self.removed if change.at > cutoff)
        return current - added + removed


def _with(
    entries: tuple[Noted, ...], entry: Noted, *, forgotten_before: float
) -> tuple[Noted, ...]:
    """Return the entries and one more.

    As the controller does, the last obsolete entry gives up its place and all others stay. This
    shows: changes are kept as long as the longest period of their own direction, and a longer
    period of the other direction finds those that happened not to be replaced.
    """
    for index in range(len(entries) - 1, -1, -1):
        if entries[index].at < forgotten_before:
            return (*entries[:index], entry, *entries[index + 1 :])
    return (*entries, entry)


def _longest_period(rules: DirectionRules) -> int:
    return max((policy.period_seconds for policy in rules.policies), default=0)


def most_allowed(state: HpaState, current: int, rules: DirectionRules) -> int:
    """Return the size that the policies allow to grow to; never below `current`."""
    if rules.select == "Disabled":
        return current
    limits = [_grown(state, current, policy) for policy in rules.policies]
    return max(current, min(limits) if rules.select == "Min" else max(limits))


def least_allowed(state: HpaState, current: int, rules: DirectionRules) -> int:
    """Return the size that the policies allow to shrink to; never above `current`."""
    if rules.select == "Disabled":
        return current
    limits = [_shrunk(state, current, policy) for policy in rules.policies]
    return min(current, max(limits) if rules.select == "Min" else min(limits))


def _grown(state: HpaState, current: int, policy: RatePolicy) -> int:
    start = state.size_before(current, period_seconds=policy.period_seconds)
    if policy.kind == "Pods":
        return start + policy.value
    # Rounded up, or a single replica could never grow by less than 100 %.
    return math.ceil(start * (1 + policy.value / 100))


def _shrunk(state: HpaState, current: int, policy: RatePolicy) -> int:
    start = state.size_before(current, period_seconds=policy.period_seconds)
    if policy.kind == "Pods":
        return start - policy.value
    return math.trunc(start * (1 - policy.value / 100))
