"""How long work waited: pieces of it, each with a wait that runs straight between two values.

A message is a piece of one with the same wait at both ends. Of a flow, the pieces lie between the
moments at which its arrivals or its completions change their rate: there the wait of the work that
is `w`-th in order, completed(w) - arrived(w), is a straight line, so that its maximum and the share
below a bound are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from octoqueue.scaling.simulator.traces import Floats

_NOTHING = 1e-9
_BISECTIONS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Pieces of work in the order of arrival."""

    arrived_seconds: Floats
    """When the first of each piece arrived."""
    amount: Floats
    """Messages, or seconds of work."""
    first_seconds: Floats
    """How long the first of it waited, and the last of it."""
    last_seconds: Floats

    @property
    def longest_seconds(self) -> float:
        """The longest wait of all."""
        if not len(self.amount):
            return 0.0
        return float(max(self.first_seconds.max(), self.last_seconds.max()))

    @property
    def mean_seconds(self) -> float:
        """The mean wait."""
        total = self.amount.sum()
        if not total > 0:
            return 0.0
        means = (self.first_seconds + self.last_seconds) / 2
        return float((self.amount * means).sum() / total)

    def share_within(self, seconds: float) -> float:
        """Return which share waited no longer; 1 without any work."""
        total = self.amount.sum()
        return float(self._within(seconds).sum() / total) if total > 0 else 1.0

    def percentile_seconds(self, q: float) -> float:
        """Return the wait that a share `q` does not exceed."""
        low, high = 0.0, self.longest_seconds
        if high <= 0 or self.share_within(0.0) >= q:
            return 0.0
        if not np.isfinite(high):
            finite = np.maximum(self.first_seconds, self.last_seconds)
            high = float(finite[np.isfinite(finite)].max(initial=0.0)) + 1
            if self.share_within(high) < q:
                return float("inf")
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            if self.share_within(middle) >= q:
                high = middle
            else:
                low = middle
        return high

    def longest_per_step(self, step_seconds: float, steps: int) -> Floats:
        """Return the longest wait of what arrived in each step; NaN where nothing did."""
        longest = np.full(steps, np.nan)
        step_of = self._steps(step_seconds, steps)
        np.fmax.at(longest, step_of, np.maximum(self.first_seconds, self.last_seconds))
        return longest

    def _steps(self, step_seconds: float, steps: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        # A piece that begins at an edge may have been computed just before it.
        step_of = np.floor(self.arrived_seconds / step_seconds + _NOTHING).astype(np.int64)
        return np.clip(step_of, 0, steps - 1)

    def _within(self, seconds: float) -> Floats:
        low = np.minimum(self.first_seconds, self.last_seconds)
        high = np.maximum(self.first_seconds, self.last_seconds)
        spread = np.subtract(high, low, out=np.zeros_like(high), where=np.isfinite(high))
        sloped = spread > _NOTHING
        share = np.where(high <= seconds + _NOTHING, 1.0, 0.0)
        shares = np.clip((seconds - low[sloped]) / spread[sloped], 0.0, 1.0)
        share[sloped] = np.maximum(share[sloped], shares)
        return self.amount * share


def waits_of_flow(
    *,
    arrived_at: Floats,
    arrived_work: Floats,
    done_at: Floats,
    done_work: Floats,
) -> Waits:
    """Return the waits of a flow from its two cumulative curves.

    Both are straight between their points. Work that is not done at the end waits for ever.
    """
    total = arrived_work[-1]
    levels = np.union1d(arrived_work, np.minimum(done_work, total))
    levels = levels[np.concatenate(([True], np.diff(levels) > _NOTHING))] if len(levels) else levels
    low, high = levels[:-1], levels[1:]
    first = _reached(low, done_at, done_work, after=True) - _reached(
        low, arrived_at, arrived_work, after=True
    )
    arrived_low = _reached(low, arrived_at, arrived_work, after=True)
    last = _reached(high, done_at, done_work, after=False) - _reached(
        high, arrived_at, arrived_work, after=False
    )
    return Waits(
        arrived_seconds=arrived_low,
        amount=high - low,
        first_seconds=np.maximum(np.where(first < _NOTHING * 1e3, 0.0, first), 0.0),
        last_seconds=np.maximum(np.where(last < _NOTHING * 1e3, 0.0, last), 0.0),
    )


def _reached(levels: Floats, at: Floats, cumulative: Floats, *, after: bool) -> Floats:
    """Return when a cumulative curve stands at each level.

    Where it stands there for a while: at the end of that time (`after`), else at its beginning.
    A level that is never reached is reached at infinity.
    """
    tolerance = -_NOTHING if not after else _NOTHING
    index = np.searchsorted(cumulative, levels + tolerance, side="right" if after else "left")
    never = index >= len(cumulative)
    upper = np.clip(index, 1, len(cumulative) - 1)
    lower = upper - 1
    rise = cumulative[upper] - cumulative[lower]
    share = np.divide(
        levels - cumulative[lower], rise, out=np.zeros_like(levels), where=rise > _NOTHING
    )
    moments = at[lower] + np.clip(share, 0.0, 1.0) * (at[upper] - at[lower])
    return np.where(never, np.inf, moments)
