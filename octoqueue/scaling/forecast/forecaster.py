"""`ArrivalForecaster`: learns from every minute, and says what the next ones will bring."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from octoqueue.primitives.signals import ArrivalForecast, ExpectedArrivals
from octoqueue.scaling.forecast.bias import Bias
from octoqueue.scaling.forecast.errors import Errors
from octoqueue.scaling.forecast.headroom import follows_of, highest_of, tail_of
from octoqueue.scaling.forecast.level import FORGETS_AFTER_MINUTES, Level
from octoqueue.scaling.forecast.made import Made
from octoqueue.scaling.forecast.profile import Profile
from octoqueue.scaling.forecast.recent import WEEK_MINUTES, Recent
from octoqueue.scaling.forecast.regression import PRIOR, Regression
from octoqueue.scaling.forecast.skill import Skill
from octoqueue.scaling.forecast.zone import Zone

if TYPE_CHECKING:
    from octoqueue.scaling.forecast.arrays import Floats, Integers

NODES: Final = np.array([1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 45, 60])
"""Horizons in minutes for which weights and errors are learnt; between them is interpolated."""
_ALL: Final = np.arange(len(NODES))
_LEARNING_DELAY: Final = 90
"""Minutes until a profile learns one: more than the longest horizon and a slot."""
_SET_BACK_MINUTES: Final = 60
_MOST_OF_LARGEST: Final = 3.0
"""More than so often the largest minute of late is never expected, whatever the errors were."""
_MINUTE_MS: Final = 60_000


class ArrivalForecaster:
    """Forecasts the arrivals of one stream, learning from each minute that is observed.

    It reads no clock: moments are those it is given, in milliseconds since the epoch, and minutes
    may be missing.
    """

    def __init__(self, *, zone: str = "UTC") -> None:
        """Know nothing yet; days and weeks begin at midnight of `zone`."""
        self.zone = Zone(zone)
        self.level = Level()
        self.week = Profile(period_minutes=WEEK_MINUTES)
        self.day = Profile(period_minutes=WEEK_MINUTES // 7)
        self.regression = Regression(NODES)
        self.errors = Errors(len(NODES))
        self.skill = Skill(len(NODES))
        self.bias = Bias(len(NODES))
        self.recent = Recent()
        self.made = Made(len(NODES), len(PRIOR))
        self.last_minute = -1
        """The newest minute that was observed, in minutes since the epoch; -1 before the first."""
        self._expected: Floats | None = None
        """What was expected for each of `NODES` after that minute; None: not asked yet."""

    def observe(self, minute_start_ms: int, arrivals: float) -> bool:
        """Learn that so many arrived in the minute that began at `minute_start_ms`.

        Returns False for a minute that is not newer than the newest, and learns nothing from it.
        Minutes that are left out are taken for unknown, not for zero. One that is older by over an
        hour means that a clock was set back: what was observed after it is taken for unknown, too.

        Raises:
            ValueError: `arrivals` is negative or no number.
        """
        if not 0 <= arrivals < math.inf:
            raise ValueError(f"arrivals: {arrivals} must be a number, 0 or more")
        minute = minute_start_ms // _MINUTE_MS
        if minute < self.last_minute - _SET_BACK_MINUTES:
            self._go_back_to(minute)
        elif minute <= self.last_minute:
            return False
        self._skip_to(minute)
        self.level.add(arrivals)
        self._score(minute, arrivals)
        self.recent.put(minute, arrivals)
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
        lower, upper = self._widened(expected, ahead, tail, 1 - tail)
        low, high = np.minimum(expected, lower), np.maximum(expected, upper)
        node = int(np.searchsorted(NODES, min(lead_minutes, int(NODES[-1]))))
        after_running = np.maximum(np.arange(horizon_minutes), 1)
        spreads = np.interp(after_running, NODES, self.errors.spreads())
        follows = np.interp(after_running, NODES, follows_of(self.regression.theta))
        follows[:1] = 1.0
        return ArrivalForecast(
            made_at_ms=now_ms,
            minutes=tuple(
                ExpectedArrivals(
                    starts_at_ms=(first + i) * _MINUTE_MS,
                    per_second=float(expected[i]) / 60,
                    low_per_second=float(low[i]) / 60,
                    high_per_second=float(high[i]) / 60,
                    follows=float(follows[i]),
                    spread=float(spreads[i]),
                )
                for i in range(horizon_minutes)
            ),
            interval=interval,
            skill_against_now=self.skill.against_now(node),
            skill_against_last_week=self.skill.against_last_week(node),
            scored_minutes=int(self.errors.scored[node]),
            scored_beside_week=int(self.skill.beside_week[node]),
            offset_per_second=self.level.offset / 60,
            tail=tail_of(self.errors, max(node - 1, 0)),
            highest_per_second=highest_of(self.recent, self.last_minute) / 60,
        )

    def expected(self, ahead: Integers) -> Floats:
        """Return the arrivals expected `ahead` minutes (1 or more) after the newest one."""
        known = self._expected
        if known is not None and np.array_equal(ahead, NODES[: len(ahead)]):
            return known[: len(ahead)]
        signs = self._signs(self.last_minute, ahead)
        plain = self._plain(signs, self._interpolation(ahead) @ self.regression.theta)
        corrected = plain * np.interp(ahead, NODES, self.bias.factors())
        return np.minimum(corrected, self._most)

    def at_quantile(self, q: float, ahead: Integers) -> Floats:
        """Return what the arrivals of a minute stay below with probability `q`."""
        return self._widened(self.expected(ahead), ahead, q)[0]

    def _widened(self, expected: Floats, ahead: Integers, *shares: float) -> list[Floats]:
        widths: list[Floats] = list(self.errors.quantiles(*shares) * self.errors.spreads())
        offset, most = self.level.offset, self._most
        above = expected + offset
        return [
            np.clip(np.exp(np.interp(ahead, NODES, row)) * above - offset, 0.0, most)
            for row in widths
        ]

    @property
    def _most(self) -> float:
        return _MOST_OF_LARGEST * self.level.largest

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

    def _go_back_to(self, minute: int) -> None:
        self.recent.forget(minute, self.last_minute + 1)
        self.made.forget()
        self.level.begin_anew()
        self.last_minute = minute - 1

    def _skip_to(self, minute: int) -> None:
        if self.last_minute < 0:
            return
        if minute - self.last_minute - 1 > FORGETS_AFTER_MINUTES:
            self.level.begin_anew()
        self.recent.forget(self.last_minute + 1, minute)

    def _score(self, minute: int, arrivals: float) -> None:
        made, after = self.made, minute - NODES
        known = made.were_made(after)
        if not known.any():
            return
        rows = made.rows(after)
        offsets, logs = made.offset[rows], made.logs[rows, _ALL]
        came = np.log(arrivals + offsets)
        self.errors.learn(came - logs, made.spreads[rows, _ALL], known)
        targets = came - np.log(made.level[rows] + offsets)
        self.regression.learn(made.signs[rows, _ALL], targets, known)
        self.bias.learn(self.level.newest, made.plain[rows, _ALL], known)
        self.skill.learn(
            arrivals,
            expected=np.maximum(0.0, np.exp(logs) - offsets),
            now=made.now[rows],
            last_week=self.recent.of(minute - WEEK_MINUTES),
            known=known,
        )

    def _learn_shape(self, minute: int) -> None:
        delayed = minute - _LEARNING_DELAY
        arrivals = self.recent.of(delayed)
        if arrivals is None:
            return
        local = self.zone.local(delayed)
        log = math.log(arrivals + self.level.offset)
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
        made, level, row = self.made, self.level, minute % len(self.made.at)
        signs = self._signs(minute, NODES)
        plain = self._plain(signs, self.regression.theta)
        made.at[row] = minute
        made.now[row] = arrivals
        made.level[row] = level.fast
        made.offset[row] = level.offset
        made.signs[row] = signs
        made.plain[row] = plain
        expected = np.minimum(plain * self.bias.factors(), self._most)
        self._expected = expected
        made.logs[row] = np.log(expected + level.offset)
        made.spreads[row] = self.errors.spreads()

    def _plain(self, signs: Floats, theta: Floats) -> Floats:
        change: Floats = np.einsum("hk,hk->h", signs, theta)
        offset = self.level.offset
        plain: Floats = np.maximum(0.0, np.exp(change) * (self.level.fast + offset) - offset)
        return plain
