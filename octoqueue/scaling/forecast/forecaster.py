"""`ArrivalForecaster`: learns from every minute, and says what the next ones will bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from octoqueue.primitives.signals import ArrivalForecast, ExpectedArrivals
from octoqueue.scaling.forecast.errors import Errors
from octoqueue.scaling.forecast.level import FORGETS_AFTER_MINUTES, Level
from octoqueue.scaling.forecast.profile import Profile
from octoqueue.scaling.forecast.regression import PRIOR, Regression
from octoqueue.scaling.forecast.skill import Skill
from octoqueue.scaling.forecast.zone import Zone

if TYPE_CHECKING:
    from octoqueue.scaling.forecast.arrays import Floats, Integers

NODES: Final = np.array([1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 45, 60])
"""Horizons in minutes for which weights and errors are learnt; between them is interpolated."""
_DAY: Final = 1440
_WEEK: Final = 7 * _DAY
_KEPT: Final = _WEEK + 64
_MADE: Final = 64
_LEARNING_DELAY: Final = 90
"""Minutes until a profile learns one: more than the longest horizon and a slot."""
_MINUTE_MS: Final = 60_000
_ROWS: Final = np.arange(len(NODES))


class ArrivalForecaster:
    """Forecasts the arrivals of one stream, learning from each minute that is observed.

    It reads no clock: moments are those it is given, in milliseconds since the epoch, and minutes
    may be missing.
    """

    def __init__(self, *, zone: str = "UTC") -> None:
        """Know nothing yet; days and weeks begin at midnight of `zone`."""
        self.zone = Zone(zone)
        self.level = Level()
        self.week = Profile(period_minutes=_WEEK)
        self.day = Profile(period_minutes=_DAY)
        self.regression = Regression(NODES)
        self.errors = Errors(len(NODES))
        self.skill = Skill(len(NODES))
        self.last_minute = -1
        """The newest minute that was observed, in minutes since the epoch; -1 before the first."""
        self._recent: Floats = np.full(_KEPT, np.nan)
        self._made_at: Integers = np.full(_MADE, -1, dtype=np.int64)
        self._made_offset: Floats = np.ones(_MADE)
        self._made_level: Floats = np.ones(_MADE)
        self._made_now: Floats = np.zeros(_MADE)
        self._made_signs: Floats = np.zeros((_MADE, len(NODES), len(PRIOR)))
        self._made_logs: Floats = np.zeros((_MADE, len(NODES)))
        self._made_spreads: Floats = np.zeros((_MADE, len(NODES)))

    def observe(self, minute_start_ms: int, arrivals: float) -> bool:
        """Learn that so many arrived in the minute that began at `minute_start_ms`.

        Returns False for a minute that is not newer than the newest, and learns nothing from it.
        Minutes that are left out are taken for unknown, not for zero.
        """
        minute = minute_start_ms // _MINUTE_MS
        if minute <= self.last_minute or not 0 <= arrivals < float("inf"):
            return False
        self._skip_to(minute)
        self._score(minute, arrivals)
        self._recent[minute % _KEPT] = arrivals
        self.level.add(arrivals)
        self._learn_shape(minute)
        self.last_minute = minute
        self._look_ahead(minute, arrivals)
        return True

    def forecast(
        self,
        now_ms: int,
        horizon_minutes: int = 60,
        *,
        interval: float = 0.9,
        lead_minutes: int = 2,
    ) -> ArrivalForecast | None:
        """Return what is expected of the `horizon_minutes` from the one of `now_ms` on.

        Args:
            now_ms: when it is; a moment before the newest minute counts as right after it.
            horizon_minutes: how many minutes.
            interval: how often what comes should lie between low and high.
            lead_minutes: the horizon whose skill is told.

        Returns:
            None as long as no minute was observed.
        """
        if self.last_minute < 0:
            return None
        first = max(now_ms // _MINUTE_MS, self.last_minute + 1)
        ahead = np.arange(first, first + horizon_minutes) - self.last_minute
        expected = self.expected(ahead)
        tail = (1 - interval) / 2
        low = self.at_quantile(tail, ahead)
        high = self.at_quantile(1 - tail, ahead)
        node = int(np.searchsorted(NODES, min(lead_minutes, int(NODES[-1]))))
        return ArrivalForecast(
            made_at_ms=now_ms,
            minutes=tuple(
                ExpectedArrivals(
                    starts_at_ms=(first + i) * _MINUTE_MS,
                    per_second=float(expected[i]) / 60,
                    low_per_second=float(min(low[i], expected[i])) / 60,
                    high_per_second=float(max(high[i], expected[i])) / 60,
                )
                for i in range(horizon_minutes)
            ),
            interval=interval,
            skill_against_now=self.skill.against_now(node),
            skill_against_last_week=self.skill.against_last_week(node),
            scored_minutes=int(self.errors.scored[node]),
        )

    def expected(self, ahead: Integers) -> Floats:
        """Return the arrivals expected `ahead` minutes (1 or more) after the newest one."""
        return np.maximum(0.0, np.exp(self._logs(ahead)) - self.level.offset)

    def at_quantile(self, q: float, ahead: Integers) -> Floats:
        """Return what the arrivals of a minute stay below with probability `q`."""
        widths = self.errors.quantiles(q) * self.errors.spreads()
        width = np.interp(ahead, NODES, widths)
        return np.maximum(0.0, np.exp(self._logs(ahead) + width) - self.level.offset)

    def _logs(self, ahead: Integers) -> Floats:
        signs = self._signs(self.last_minute, ahead)
        theta = self._interpolation(ahead) @ self.regression.theta
        change: Floats = np.einsum("hk,hk->h", signs, theta)
        change += np.log(self.level.fast + self.level.offset)
        return change

    def _interpolation(self, ahead: Integers) -> Floats:
        clipped = np.clip(ahead, 1, NODES[-1])
        right = np.maximum(1, np.searchsorted(NODES, clipped))
        left = right - 1
        share = (clipped - NODES[left]) / (NODES[right] - NODES[left])
        weights = np.zeros((len(ahead), len(NODES)))
        rows = np.arange(len(ahead))
        weights[rows, left] = 1 - share
        weights[rows, right] += share
        return weights

    def _skip_to(self, minute: int) -> None:
        if self.last_minute < 0:
            return
        skipped = minute - self.last_minute - 1
        if skipped > FORGETS_AFTER_MINUTES:
            self.level.begin_anew()
        if skipped >= _KEPT:
            self._recent[:] = np.nan
        elif skipped:
            self._recent[np.arange(self.last_minute + 1, minute) % _KEPT] = np.nan

    def _score(self, minute: int, arrivals: float) -> None:
        made = (minute - NODES) % _MADE
        known = (self._made_at[made] == minute - NODES).astype(np.float64)
        if not known.any():
            return
        offsets = self._made_offset[made]
        logs = self._made_logs[made, _ROWS]
        came = np.log(arrivals + offsets)
        expected = np.maximum(0.0, np.exp(logs) - offsets)
        self.errors.learn(came - logs, self._made_spreads[made, _ROWS], known)
        self.regression.learn(
            self._made_signs[made, _ROWS], came - np.log(self._made_level[made] + offsets), known
        )
        last_week = float(self._recent[(minute - _WEEK) % _KEPT])
        self.skill.learn(
            arrivals, expected=expected, now=self._made_now[made], last_week=last_week, known=known
        )

    def _learn_shape(self, minute: int) -> None:
        delayed = minute - _LEARNING_DELAY
        arrivals = float(self._recent[delayed % _KEPT])
        if arrivals != arrivals:  # noqa: PLR0124 - not a number: unknown
            return
        local = self.zone.local(delayed)
        log = float(np.log(arrivals + self.level.offset))
        self.week.learn(local, log)
        self.day.learn(local, log)

    def _signs(self, minute: int, ahead: Integers) -> Floats:
        level, offset = self.level, self.level.offset
        fast, middle = np.log(level.fast + offset), np.log(level.middle + offset)
        minutes = self.zone.locals(minute, np.concatenate(([0], ahead)))
        week, week_known = self.week.at(minutes)
        day, day_known = self.day.at(minutes)
        signs = np.empty((len(ahead), len(PRIOR)))
        signs[:, 0] = np.log(level.newest + offset) - fast
        signs[:, 1] = fast - middle
        signs[:, 2] = middle - np.log(level.slow + offset)
        both = week_known[1:] & week_known[0]
        signs[:, 3] = (week[1:] - week[0]) * both
        signs[:, 4] = np.where(day_known[1:] & day_known[0], day[1:] - day[0], 0.0)
        signs[:, 5] = (middle - week[0] - self.week.deviation) if week_known[0] else 0.0
        return signs

    def _look_ahead(self, minute: int, arrivals: float) -> None:
        row = minute % _MADE
        offset = self.level.offset
        signs = self._signs(minute, NODES)
        self._made_at[row] = minute
        self._made_offset[row] = offset
        self._made_level[row] = self.level.fast
        self._made_now[row] = arrivals
        self._made_signs[row] = signs
        change = np.einsum("hk,hk->h", signs, self.regression.theta)
        self._made_logs[row] = change + np.log(self.level.fast + offset)
        self._made_spreads[row] = self.errors.spreads()
