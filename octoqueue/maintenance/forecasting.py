"""`Forecasting`: learns what arrives for each fleet, and publishes what is expected.

    PostgreSQL: minutes ──► forecaster ──► scaling memory ──► whoever decides
                               │  ▲
                               ▼  │ after a restart
                      PostgreSQL: what was learnt

Minutes that a forecaster has not seen are read from history, so it does not matter who dies where,
nor which of several processes makes a round. Without anything kept it learns from four weeks of
history, oldest first.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from octoqueue.errors import ForecastStateUnreadable, StoreError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from octoqueue.metrics.scaling_memory import ScalingMemory
    from octoqueue.postgres.minutes import MinuteArrivals, Minutes
    from octoqueue.primitives.signals import ArrivalForecast
    from octoqueue.scaling.forecast.forecaster import ArrivalForecaster
    from octoqueue.scaling.policy import ForecastUse, ScalingPolicy

log = logging.getLogger(__name__)

T = TypeVar("T")

LEARNT_FROM: Final = timedelta(weeks=4)
"""How much history is read when nothing is kept."""
_SAVED_EVERY_MINUTES: Final = 10
_MOST_SAVED_A_ROUND: Final = 200
"""Of thousands of fleets not all are saved in one round, but in turns; each takes some ms."""
_READ_AT_ONCE: Final = 10_000
_MOST_A_ROUND: Final = 60_000
"""Minutes learnt in one round, about ten seconds of work; the next round goes on."""
_ALWAYS_LEARNT_MINUTES: Final = 60
"""Who is no more behind than this catches up, however much the others have to learn."""
_MINUTE_MS: Final = 60_000
_BEYOND_LEAD_MINUTES: Final = 5
_MOST_PUBLISHED_MINUTES: Final = 240
"""Whoever decides reads them every few seconds; errors are known for an hour ahead."""
_LEAST_INTERVAL: Final = 0.5


@dataclass(slots=True, kw_only=True)
class _Learner:
    forecaster: ArrivalForecaster
    saved_minute: int = -1
    saved_at: datetime | None = None
    """When what this one goes on from was saved, by whomever; None: it began with nothing."""
    is_behind: bool = False
    """Whether there are minutes that it could not learn yet."""


class Forecasting:
    """Forecasters of some fleets."""

    def __init__(
        self,
        minutes: Minutes,
        memory: ScalingMemory,
        policies: Sequence[ScalingPolicy],
        *,
        zone: str = "UTC",
    ) -> None:
        """Know nothing until the first round.

        Args:
            minutes: the history.
            memory: where forecasts are published.
            policies: those of the fleets; one without `forecast` or without queues is left alone.
            zone: days and weeks begin at midnight there.
        """
        self._minutes = minutes
        self._memory = memory
        self._policies = [each for each in policies if each.forecast and each.queues]
        self._zone = zone
        self._learners: dict[str, _Learner] = {}
        self._lock = asyncio.Lock()
        self._room = 0
        """Minutes that may still be learnt in this round."""
        self._saves_left = 0

    async def round(self) -> dict[str, ArrivalForecast]:
        """Learn the minutes that are new and publish a forecast for each fleet; return them.

        A fleet of which no minute is known, or more than a round can read, or whose forecast fails,
        is left out.

        Raises:
            StoreError: a server did not answer; the other fleets had their turn.
        """
        made: dict[str, ArrivalForecast] = {}
        failure: StoreError | None = None
        async with self._lock:
            self._room, self._saves_left = _MOST_A_ROUND, _MOST_SAVED_A_ROUND
            for policy in self._policies:
                try:
                    forecast = await self._forecast(policy)
                except StoreError as error:
                    failure = error
                except Exception:
                    # A defect, but not of the other fleets. What is kept is of before it.
                    log.exception("forecast_failed", extra={"fleet": policy.fleet})
                    self._learners.pop(policy.fleet, None)
                else:
                    if forecast is not None:
                        made[policy.fleet] = forecast
        if failure is not None:
            raise failure
        return made

    async def _forecast(self, policy: ScalingPolicy) -> ArrivalForecast | None:
        remembered = await self._memory.recall(policy.fleet)
        learner = await self._learn(policy, remembered.now_ms)
        if learner.is_behind:
            return None
        lead_seconds = remembered.lead_seconds
        if lead_seconds is None:
            lead_seconds = policy.start_up_seconds
        lead_minutes = 1 + math.ceil(lead_seconds / 60)
        assert policy.forecast is not None  # noqa: S101 - see the constructor
        used_until = lead_minutes + math.ceil(policy.forecast.stale_after_seconds / 60)
        forecast = learner.forecaster.forecast(
            remembered.now_ms,
            min(used_until + _BEYOND_LEAD_MINUTES, _MOST_PUBLISHED_MINUTES),
            interval=interval_for(policy.forecast),
            lead_minutes=lead_minutes,
        )
        if forecast is not None:
            await self._memory.publish(policy.fleet, forecast)
        return forecast

    async def _learn(self, policy: ScalingPolicy, now_ms: int) -> _Learner:
        learner = self._learners.get(policy.fleet)
        if learner is None or await self._is_outdated(policy, learner):
            learner = self._learners[policy.fleet] = await self._opened(policy)
        forecaster = learner.forecaster
        end = now_ms // _MINUTE_MS
        first = end - LEARNT_FROM // timedelta(minutes=1)
        if forecaster.last_minute > end:
            # A clock was ahead: what is true is read again from when it is now.
            first = max(first, end - _SAVED_EVERY_MINUTES)
        else:
            first = max(first, forecaster.last_minute + 1)
        while first < end and (self._room > 0 or end - first <= _ALWAYS_LEARNT_MINUTES):
            until = min(end, first + _READ_AT_ONCE)
            found = await self._minutes.arrivals(
                policy.queues, since_ms=first * _MINUTE_MS, until_ms=until * _MINUTE_MS
            )
            await _to_the_end(asyncio.to_thread(_observe, forecaster, found))
            self._room -= len(found)
            first = until
        learner.is_behind = first < end
        await self._save(policy, learner)
        return learner

    async def _is_outdated(self, policy: ScalingPolicy, learner: _Learner) -> bool:
        """Return whether somebody has saved more, or removed it, as who imports history does."""
        return not await self._minutes.is_kept(
            policy.fleet, policy.queues, saved_at=learner.saved_at
        )

    async def _opened(self, policy: ScalingPolicy) -> _Learner:
        # numpy is loaded by those who learn, not by those who import this module.
        from octoqueue.scaling.forecast.forecaster import ArrivalForecaster  # noqa: PLC0415
        from octoqueue.scaling.forecast.state import forecaster_from  # noqa: PLC0415

        kept = await self._minutes.load_forecast(policy.fleet, policy.queues)
        if kept is not None:
            try:
                forecaster = await asyncio.to_thread(forecaster_from, kept.state)
            except ForecastStateUnreadable as error:
                log.warning(
                    "forecast_learnt_anew", extra={"fleet": policy.fleet, "why": str(error)}
                )
            else:
                if forecaster.zone.name == self._zone:
                    return _Learner(
                        forecaster=forecaster,
                        saved_minute=forecaster.last_minute,
                        saved_at=kept.saved_at,
                    )
        return _Learner(
            forecaster=ArrivalForecaster(zone=self._zone),
            saved_at=None if kept is None else kept.saved_at,
        )

    async def _save(self, policy: ScalingPolicy, learner: _Learner) -> None:
        from octoqueue.scaling.forecast.state import state_of  # noqa: PLC0415 - as above

        newest = learner.forecaster.last_minute
        if 0 <= newest - learner.saved_minute < _SAVED_EVERY_MINUTES or newest < 0:
            return
        if self._saves_left <= 0:
            return
        self._saves_left -= 1
        state = await _to_the_end(asyncio.to_thread(state_of, learner.forecaster))
        saved_at = await self._minutes.save_forecast(
            policy.fleet,
            policy.queues,
            newest_ms=newest * _MINUTE_MS,
            state=state,
            after=learner.saved_at,
        )
        if saved_at is not None:
            learner.saved_minute, learner.saved_at = newest, saved_at


def interval_for(use: ForecastUse) -> float:
    """Return the interval whose upper end is the quantile that a policy is ready for."""
    return max(_LEAST_INTERVAL, abs(2 * use.quantile - 1))


def _observe(forecaster: ArrivalForecaster, minutes: Sequence[MinuteArrivals]) -> None:
    for minute in minutes:
        forecaster.observe(minute.starts_at_ms, minute.arrivals)


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await what a thread does to a forecaster, also when cancelled: the next round has it then."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
